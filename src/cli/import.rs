//! `sidepost import`: the settings of the program that sent mail until now, as variables for Sidepost.
//!
//! What is printed can be used as it is; what has no equivalent is said in words, and so is what was wrong already. A
//! secret is never printed: it goes to a file where `--secrets` says so.

mod authorities;
mod destination;
mod docker_postfix;
mod draft;
mod exim;
mod kind;
mod msmtp;
mod nullmailer;
mod postfix;
mod sendmail;
mod source;
mod ssmtp;
mod told;
mod variables;
mod wordpress;

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lexopt::prelude::{Long, Short, Value as Word};

use self::draft::Draft;
use self::told::{Told, secret_file};
use self::variables::{Value, Variable};
use super::{Exit, Verb};
use crate::oauth::write_secret;

pub use self::kind::Kind;
pub use self::source::{Files, Text};

const HELP: &str = "\
Usage: sidepost import [FILE|FOLDER...] [OPTIONS]

Reads the settings of a program that sends mail and prints the same for Sidepost, as an env file; on standard error what
has no equivalent, and what looks wrong. Without a file it looks where such programs keep them.

  --from KIND     postfix, sendmail, msmtp, ssmtp, nullmailer, exim, docker-postfix or wordpress; else it is guessed
  --secrets DIR   write passwords and keys to files in DIR (mode 0600); without it they are left out
  --json          everything as JSON

The environment of a running docker-postfix is read by `--from docker-postfix` without a file.
";

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    paths: Vec<PathBuf>,
    from: Option<Kind>,
    secrets: Option<PathBuf>,
    json: bool,
}

/// Reads the rest of the command line.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse(parser: &mut lexopt::Parser) -> Result<Verb, String> {
    let mut options = Options::default();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("help") | Short('h') => return Ok(Verb::Say(HELP.to_owned())),
            Long("json") => options.json = true,
            Long("from") => options.from = Some(Kind::of_word(&super::text(parser)?)?),
            Long("secrets") => options.secrets = Some(parser.value().map_err(|error| error.to_string())?.into()),
            Word(path) => options.paths.push(path.into()),
            Long(_) | Short(_) => return Err(argument.unexpected().to_string()),
        }
    }
    Ok(Verb::Import(options))
}

/// What became of a configuration.
#[derive(Debug)]
pub struct Imported {
    kind: Kind,
    sources: Vec<String>,
    draft: Draft,
    outcome: variables::Outcome,
}

impl Imported {
    /// The variables as a process would have them, secrets included.
    #[must_use]
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        variables::environment(&self.outcome.variables)
    }

    /// Why these variables cannot work yet.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.outcome.missing
    }

    /// The env file and the report, as they are printed without `--secrets`.
    #[must_use]
    pub fn shown(&self) -> (String, String) {
        let told = self.told(None);
        (told.env_file(), told.report())
    }

    fn told<'a>(&'a self, secrets: Option<&'a Path>) -> Told<'a> {
        Told { kind: self.kind, sources: self.sources.clone(), draft: &self.draft, outcome: &self.outcome, secrets }
    }
}

/// Reads and prints.
#[must_use]
pub fn run(options: &Options, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let imported = texts(options, variables).and_then(|(kind, texts)| read(kind, &texts, &Files::Disk));
    let imported = match imported {
        Ok(imported) => imported,
        Err(sentence) => {
            eprintln!("sidepost: {sentence}");
            return Exit::Input;
        }
    };
    // Whoever reads the variable may be in another folder.
    let folder = options.secrets.as_ref().map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    if let Some(folder) = &folder
        && let Err(sentence) = write_secrets(folder, &imported.outcome.variables)
    {
        eprintln!("sidepost: {sentence}");
        return Exit::Software;
    }
    let told = imported.told(folder.as_deref());
    if options.json {
        print!("{}", told.json());
    } else {
        print!("{}", told.env_file());
        eprint!("{}", told.report());
    }
    if imported.missing().is_empty() { Exit::Ok } else { Exit::Config }
}

/// What the texts say.
///
/// # Errors
/// Why they cannot be understood at all, in a sentence that names the file.
pub fn read(kind: Kind, texts: &[Text], files: &Files) -> Result<Imported, String> {
    let mut draft = Draft::default();
    match kind {
        Kind::Postfix => postfix::read(texts, files, &mut draft)?,
        Kind::Sendmail => sendmail::read(texts, files, &mut draft)?,
        Kind::Msmtp => msmtp::read(texts, files, &mut draft)?,
        Kind::Ssmtp => ssmtp::read(texts, files, &mut draft)?,
        Kind::Nullmailer => nullmailer::read(texts, files, &mut draft)?,
        Kind::Exim => exim::read(texts, &mut draft)?,
        Kind::DockerPostfix => docker_postfix::read(texts, files, &mut draft)?,
        Kind::WordPress => wordpress::read(texts, &mut draft)?,
    }
    say_who_can_read(&mut draft, files);
    let sources = texts.iter().map(|text| text.at(0).to_string()).collect();
    let outcome = variables::variables(&mut draft);
    Ok(Imported { kind, sources, draft, outcome })
}

/// A file with a password that everybody on the machine can read has given it away already.
fn say_who_can_read(draft: &mut Draft, files: &Files) {
    let mut places: Vec<_> =
        draft.secret.iter().chain(draft.secrets.iter().map(|(_, given)| given)).map(|given| given.at.clone()).collect();
    places.dedup_by(|a, b| a.file == b.file);
    for at in places {
        if let Some(mode) = files.readable_by_all(&at.file) {
            let sentence = format!(
                "the password stands here for every user of the machine to read (mode {mode:04o}); `chmod 600`, and a new \
                 password if anybody else could log in"
            );
            draft.look(&at, sentence);
        }
    }
}

/// The kind, and the files to read.
fn texts(
    options: &Options,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Kind, Vec<Text>), String> {
    match (options.from, &options.paths[..]) {
        (Some(Kind::DockerPostfix), []) => Ok((Kind::DockerPostfix, vec![docker_postfix::environment(variables)])),
        (from, []) => in_the_usual_place(from),
        (from, paths) => {
            let (mut kind, mut texts) = (from, Vec::new());
            for path in paths {
                let (found, more) = at(path, kind)?;
                if kind.is_some_and(|kind| kind != found) {
                    return Err(format!("{}: of another program than what stands before it", path.display()));
                }
                kind = Some(found);
                // A file that was named may also have come with its folder or with the one before.
                texts.extend(more.into_iter().filter(|text: &Text| !already(&texts, text)).collect::<Vec<_>>());
            }
            kind.map(|kind| (kind, texts)).ok_or_else(|| "nothing to read".to_owned())
        }
    }
}

fn already(texts: &[Text], text: &Text) -> bool {
    texts.iter().any(|known| known.path == text.path)
}

/// What a path holds: a folder's files, or a file with those that belong to it.
fn at(path: &Path, from: Option<Kind>) -> Result<(Kind, Vec<Text>), String> {
    let files = Files::Disk;
    if files.is_folder(path) {
        let kind = match from {
            Some(kind) => kind,
            None => only(Kind::ALL.into_iter().filter(|kind| kind.is_in(&files, path)), path)?,
        };
        let found = kind.in_folder(&files, path);
        if found.is_empty() {
            return Err(format!("{}: none of {} is there", path.display(), kind.files().join(", ")));
        }
        return Ok((kind, found.iter().map(|path| files.read(path)).collect::<Result<_, _>>()?));
    }
    let text = files.read(path)?;
    let kind = from.or_else(|| Kind::of(&text)).ok_or_else(|| {
        format!("{}: neither its name nor its content says which program it is for; `--from` does", path.display())
    })?;
    let beside = kind.in_folder(&files, text.folder()).into_iter().filter(|beside| **beside != *text.path);
    // Only where the file is one of the set: a copy under another name has nothing to do with its neighbours.
    let beside: Vec<_> = if kind.files().contains(&text.name()) { beside.collect() } else { Vec::new() };
    let beside = beside.iter().map(|path| files.read(path)).collect::<Result<Vec<_>, _>>()?;
    Ok((kind, std::iter::once(text).chain(beside).collect()))
}

fn only(mut kinds: impl Iterator<Item = Kind>, path: &Path) -> Result<Kind, String> {
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => Ok(kind),
        (Some(one), Some(other)) => {
            let (one, other) = (one.word(), other.word());
            Err(format!("{}: there are files of {one} and of {other}; `--from` says which", path.display()))
        }
        (None, _) => {
            let names: Vec<_> = Kind::ALL.iter().filter_map(|kind| kind.files().first().copied()).collect();
            Err(format!("{}: none of {} is there", path.display(), names.join(", ")))
        }
    }
}

fn in_the_usual_place(from: Option<Kind>) -> Result<(Kind, Vec<Text>), String> {
    let files = Files::Disk;
    let wanted = |kind: &Kind| from.is_none_or(|from| from == *kind);
    let places = Kind::ALL.into_iter().filter(wanted).filter_map(|kind| Some((kind, Path::new(kind.usual_folder()?))));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.as_deref().filter(|_| wanted(&Kind::Msmtp)).map(|home| (Kind::Msmtp, home));
    let found: Vec<_> = places.chain(home).filter(|(kind, folder)| kind.is_in(&files, folder)).collect();
    match found[..] {
        [] => Err("no configuration in the usual places; name the file or the folder".to_owned()),
        [(kind, folder)] => at(folder, Some(kind)),
        _ => {
            let places: Vec<_> =
                found.iter().map(|(kind, folder)| format!("{} in {}", kind.word(), folder.display())).collect();
            Err(format!("more than one program is set up here: {}; name one of the folders", places.join(", ")))
        }
    }
}

/// Never over a file with something else in it: it may be in use.
fn write_secrets(folder: &Path, variables: &[Variable]) -> Result<(), String> {
    let failed = |path: &str, error: std::io::Error| format!("{path} cannot be written: {error}");
    for variable in variables {
        let Value::Secret(secret) = &variable.value else { continue };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed(&folder.display().to_string(), error))?;
        let path = secret_file(folder, variable);
        // Whoever reads it drops one newline at the end.
        let mut bytes = secret.expose().to_vec();
        if bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        match std::fs::read(&path) {
            Ok(there) if there == bytes => continue,
            Ok(_) => return Err(format!("{path} is there already, with something else in it; name another folder")),
            Err(_) => write_secret(Path::new(&path), &bytes).map_err(|error| failed(&path, error))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
