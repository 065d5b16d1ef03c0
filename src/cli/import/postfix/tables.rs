//! Tables: `hash:/etc/postfix/sasl_passwd` and its kin, read from the text that they were made from (postmap(1)).

use super::super::draft::Draft;
use super::super::source::{Files, Place, Text};

/// Types with a text file of keys and values behind them.
const OF_TEXT: [&str; 8] = ["hash", "btree", "lmdb", "texthash", "cdb", "dbm", "sdbm", "default"];
/// Types of which a `postmap` makes a file, by its ending.
const MADE: [(&str, &str); 5] = [("hash", "db"), ("btree", "db"), ("lmdb", "lmdb"), ("cdb", "cdb"), ("default", "db")];

/// One entry of a table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is for.
    pub key: String,
    /// What it says.
    pub value: String,
    /// Where it stands.
    pub at: Place,
}

/// A table as a parameter names it.
#[derive(Debug)]
pub enum Table {
    /// Keys and values.
    Entries(Vec<Entry>),
    /// `static:value`: the same for all.
    Static(String),
    /// Patterns, one a line: `regexp:` and `pcre:`.
    Patterns(Vec<Entry>),
}

/// The tables that a value lists; what cannot be read is told and passed over.
pub fn read(parameter: &str, value: &str, at: &Place, main: &Text, files: &Files, draft: &mut Draft) -> Vec<Table> {
    let mut tables = Vec::new();
    for item in split(value) {
        match one(item, main, files, draft) {
            Ok(table) => tables.push(table),
            Err(why) => draft.lose(at, format!("{parameter}: {why}")),
        }
    }
    tables
}

/// At commas and white space, unless in braces.
fn split(value: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let items = value.split(move |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth <= 0 && (c == ',' || c.is_whitespace())
    });
    items.filter(|item| !item.is_empty()).collect()
}

fn one(item: &str, main: &Text, files: &Files, draft: &mut Draft) -> Result<Table, String> {
    let item = item.strip_prefix("proxy:").unwrap_or(item);
    let (kind, rest) = match item.split_once(':') {
        Some((kind, rest)) => (kind, rest),
        None => ("default", item),
    };
    match kind {
        "static" => Ok(Table::Static(rest.trim_matches(['{', '}']).trim().to_owned())),
        "inline" => Ok(Table::Entries(inline(rest, &main.at(0)))),
        "regexp" | "pcre" => Ok(Table::Patterns(entries(&table_text(rest, main, files)?))),
        _ if OF_TEXT.contains(&kind) => {
            let text = table_text(rest, main, files).map_err(|why| without_text(kind, rest, why, files))?;
            older_map(kind, &text, files, draft);
            Ok(Table::Entries(entries(&text)))
        }
        _ => Err(format!("a table of the type `{kind}:` cannot be read; only those made from a text file can")),
    }
}

fn table_text(path: &str, main: &Text, files: &Files) -> Result<Text, String> {
    files.named_by(main, path)
}

fn without_text(kind: &str, path: &str, why: String, files: &Files) -> String {
    let made = MADE.iter().find(|(known, _)| *known == kind).map(|(_, ending)| format!("{path}.{ending}"));
    match made {
        Some(made) if files.is_file(std::path::Path::new(&made)) => {
            format!("{why}, only what was made of it; `postmap -s {kind}:{path} > {path}` writes the text anew")
        }
        _ => why,
    }
}

/// What Postfix uses is the made file: an edit without a `postmap` has not been in force yet.
fn older_map(kind: &str, text: &Text, files: &Files, draft: &mut Draft) {
    let Some((_, ending)) = MADE.iter().find(|(known, _)| *known == kind) else { return };
    let mut made = text.path.as_os_str().to_owned();
    made.push(format!(".{ending}"));
    if let (Some(made), Some(edited)) = (files.changed(made.as_ref()), files.changed(&text.path))
        && made < edited
    {
        let sentence = "edited after its last `postmap`: Postfix still uses the older content, and this is the newer";
        draft.look(&text.at(0), sentence);
    }
}

/// `key value`; a key with white space in it stands in quotation marks.
pub fn entries(text: &Text) -> Vec<Entry> {
    let entry = |(at, line): (Place, String)| {
        let (key, value) = match line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((key, value)) => (key.to_owned(), value.trim().to_owned()),
            None => {
                let (key, value) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
                (key.to_owned(), value.trim().to_owned())
            }
        };
        Entry { key, value, at }
    };
    text.joined_lines().into_iter().map(entry).collect()
}

/// `{ key = value, { key = value } }` (inline(5)).
fn inline(rest: &str, at: &Place) -> Vec<Entry> {
    let inside = rest.trim().trim_start_matches('{').trim_end_matches('}');
    let pairs = inside.split([',', '{', '}']).filter_map(|pair| pair.split_once('='));
    let entry = |(key, value): (&str, &str)| Entry {
        key: key.trim().to_owned(),
        value: value.trim().to_owned(),
        at: at.clone(),
    };
    pairs.map(entry).collect()
}
