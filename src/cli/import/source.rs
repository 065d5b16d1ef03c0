//! The files that are read: bounded, text only, and every line knows where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// Larger files are no configuration of a mail program.
const LARGEST: u64 = 1 << 20;
/// Where programs have their settings, the deepest first.
const HOMES: [&str; 8] = [
    "/etc/postfix",
    "/etc/mail",
    "/etc/ssmtp",
    "/etc/nullmailer",
    "/etc/exim4",
    "/run/secrets",
    "/var/www/html",
    "/etc",
];
/// Read by all who have an account on the machine.
const OTHERS_READ: u32 = 0o004;

/// Where a value stands: a file and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path as it was found.
    pub file: Rc<Path>,
    /// The line; 0 means the file as a whole.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a file may have a line end in it.
        let file = self.file.display().to_string().replace(char::is_control, "?");
        match self.line {
            0 => f.write_str(&file),
            line => write!(f, "{file} line {line}"),
        }
    }
}

/// A file's text.
#[derive(Clone, Debug)]
pub struct Text {
    /// Where it was found.
    pub path: Rc<Path>,
    content: Rc<str>,
}

impl Text {
    /// Text without a file of its own.
    pub fn new(path: &Path, content: &str) -> Self {
        Self { path: path.into(), content: content.into() }
    }

    /// All of it.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The file's name without its folder.
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The folder it is in.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// A place in it.
    pub fn at(&self, line: usize) -> Place {
        Place { file: Rc::clone(&self.path), line }
    }

    /// Its lines without their ends, each with its place.
    pub fn lines(&self) -> impl Iterator<Item = (Place, &str)> {
        self.content.lines().enumerate().map(|(index, line)| (self.at(index + 1), line))
    }

    /// Lines as Postfix joins them: one that begins with white space goes on the line before; comments and empty lines
    /// count for nothing, even in between (postconf(5), postmap(1)).
    pub fn joined_lines(&self) -> Vec<(Place, String)> {
        let mut joined: Vec<(Place, String)> = Vec::new();
        for (place, line) in self.lines() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            match joined.last_mut() {
                Some((_, before)) if line.starts_with(char::is_whitespace) => {
                    before.push(' ');
                    before.push_str(trimmed);
                }
                _ => joined.push((place, trimmed.to_owned())),
            }
        }
        joined
    }
}

/// Where files come from.
#[derive(Debug)]
pub enum Files {
    /// This machine's disk.
    Disk,
    /// A map, for tests.
    Memory(BTreeMap<PathBuf, Vec<u8>>),
}

impl Files {
    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be had, in a sentence that names it.
    pub fn read(&self, path: &Path) -> Result<Text, String> {
        let bytes = match self {
            Self::Disk => from_disk(path),
            Self::Memory(files) => files.get(path).cloned().ok_or_else(|| "there is no such file".to_owned()),
        };
        let bytes = bytes.map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
        Ok(Text { path: path.into(), content: text(path, &bytes)?.into() })
    }

    /// Whether there is a file of that name, and no device, pipe or folder.
    pub fn is_file(&self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_file(),
            Self::Memory(files) => files.contains_key(path),
        }
    }

    /// Whether there is a folder of that name.
    pub fn is_folder(&self, path: &Path) -> bool {
        match self {
            Self::Disk => path.is_dir(),
            Self::Memory(files) => files.keys().any(|file| file.parent() == Some(path)),
        }
    }

    /// The mode of a file that everybody on the machine can read.
    pub fn readable_by_all(&self, path: &Path) -> Option<u32> {
        let mode = match self {
            Self::Disk => std::fs::metadata(path).ok()?.permissions().mode() & 0o777,
            Self::Memory(_) => return None,
        };
        (mode & OTHERS_READ != 0).then_some(mode)
    }

    /// When a file was last changed.
    pub fn changed(&self, path: &Path) -> Option<SystemTime> {
        match self {
            Self::Disk => std::fs::metadata(path).ok()?.modified().ok(),
            Self::Memory(_) => None,
        }
    }

    /// A file that another one names by a path of the machine it was made for. In a copy of that machine's files it is
    /// looked for in the copy, in a copied folder at its place in the folder or beside the file that names it.
    ///
    /// # Errors
    /// That it is not there, in a sentence.
    pub fn named_by(&self, text: &Text, path: &str) -> Result<Text, String> {
        let path = Path::new(path);
        let copy = root_of_copy(text.folder());
        let in_copy = copy.iter().map(|root| root.join(path.strip_prefix("/").unwrap_or(path)));
        let below = HOMES.iter().filter_map(|home| Some(text.folder().join(path.strip_prefix(home).ok()?)));
        let beside = path.file_name().map(|name| text.folder().join(name));
        let as_said = copy.is_none().then(|| path.to_owned());
        let candidates = in_copy.chain(below).chain(beside).chain(as_said);
        let found = candidates.into_iter().find(|candidate| self.is_file(candidate));
        found.map_or_else(|| Err(format!("{} is not there", path.display())), |path| self.read(&path))
    }
}

/// The folder below which a folder such as `/etc/postfix` has its usual place, unless that is the whole machine.
fn root_of_copy(folder: &Path) -> Option<PathBuf> {
    let home = HOMES.iter().map(|home| Path::new(home.trim_start_matches('/'))).find(|home| folder.ends_with(home))?;
    let root: PathBuf = folder.components().take(folder.components().count() - home.components().count()).collect();
    (root != Path::new("/")).then_some(root)
}

/// Metadata first: a pipe would be waited for, and a device has no end.
fn from_disk(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn text(path: &Path, bytes: &[u8]) -> Result<String, String> {
    let shown = path.display();
    if bytes.len() as u64 > LARGEST {
        return Err(format!("{shown} is larger than 1 MiB, which no configuration of a mail program is"));
    }
    let line = |at: usize| 1 + bytes[..at].iter().filter(|&&b| b == b'\n').count();
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(format!(
            "{shown} line {}: binary data; where this is a compiled map (.db, .lmdb), name the text file it was made from",
            line(at)
        ));
    }
    match std::str::from_utf8(bytes) {
        // Windows editors put a mark in front.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => Err(format!("{shown} line {}: not UTF-8 text", line(error.valid_up_to()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_as_postfix_does() {
        let text = Text::new(Path::new("main.cf"), "a = 1\n# b\n\n  2\n   # c\n\t3\nb = 4\r\n");
        let joined: Vec<_> = text.joined_lines().into_iter().map(|(place, line)| (place.line, line)).collect();
        assert_eq!(joined, [(1, "a = 1 2 3".to_owned()), (7, "b = 4".to_owned())]);
        assert_eq!(text.at(2).to_string(), "main.cf line 2");
        assert_eq!(text.at(0).to_string(), "main.cf");
    }

    #[test]
    fn what_is_no_text_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("main.cf");
        let said = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Files::Disk
                .read(&path)
                .map(|text| text.content().to_owned())
                .map_err(|said| said.strip_prefix(path.to_str().unwrap()).expect("the file is named").to_owned())
        };
        assert_eq!(said(b"\xef\xbb\xbfa\n"), Ok("a\n".to_owned()));
        assert!(said(b"a\nb\0").unwrap_err().starts_with(" line 2: binary data"));
        assert_eq!(said(b"a\n\nb\xff"), Err(" line 3: not UTF-8 text".to_owned()));
        assert!(said(&vec![b'a'; (1 << 20) + 1]).unwrap_err().contains("larger than 1 MiB"));
        for odd in [folder.path(), Path::new("/dev/zero")] {
            assert!(Files::Disk.read(odd).unwrap_err().contains("no regular file"));
        }
        let missing = Files::Disk.read(&folder.path().join("none")).unwrap_err();
        assert!(missing.contains("cannot be read: No such file"), "{missing}");
    }

    #[test]
    fn a_copied_folder_is_read_as_a_whole() {
        let file = |path: &str| (PathBuf::from(path), path.as_bytes().to_vec());
        let files = ["/backup/sasl/passwd", "/backup/ca.pem", "/etc/postfix/sasl/passwd", "/srv/other"];
        let files = Files::Memory(files.into_iter().map(file).collect());
        let main = Text::new(Path::new("/backup/main.cf"), "");
        let found = |path: &str| files.named_by(&main, path).map(|text| text.content().to_owned());
        assert_eq!(found("/etc/postfix/sasl/passwd").unwrap(), "/backup/sasl/passwd");
        assert_eq!(found("/usr/local/ca.pem").unwrap(), "/backup/ca.pem");
        assert_eq!(found("/srv/other").unwrap(), "/srv/other");
        assert_eq!(found("/srv/none").unwrap_err(), "/srv/none is not there");
        let copied = Text::new(Path::new("old/etc/postfix/main.cf"), "");
        let files = ["old/etc/aliases", "/etc/aliases", "/srv/other"].into_iter().map(file);
        let files = Files::Memory(files.collect());
        assert_eq!(files.named_by(&copied, "/etc/aliases").unwrap().content(), "old/etc/aliases");
        assert!(files.named_by(&copied, "/srv/other").is_err(), "of this machine, and not of the copied one");
        assert_eq!(root_of_copy(Path::new("/etc/postfix")), None);
        assert_eq!(root_of_copy(Path::new("etc")), Some(PathBuf::new()));
    }
}
