//! A file for the refresh token of the moment, where the issuer gives a new one at each refresh.
//!
//! It belongs to the token that the settings gave at the beginning: with another one in the settings, it no longer
//! counts. The initial token itself is not in it, only its digest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use crate::config::secret::Secret;

const LARGEST: u64 = 64 * 1024;

/// A place for a refresh token.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// A refresh token and since when it is known.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The token.
    pub refresh_token: Secret,
    /// Seconds since 1970.
    pub since: u64,
}

/// As it is written.
#[derive(Deserialize, Serialize)]
struct Written {
    /// The digest of the token at the beginning.
    derived_from: String,
    since: u64,
    refresh_token: String,
}

impl Store {
    /// A store in that file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What is kept for that initial token; nothing where there is no file yet, or one of another token.
    ///
    /// # Errors
    /// A file that cannot be read or understood, in a sentence.
    pub fn read(&self, initial: &Secret) -> Result<Option<Kept>, String> {
        let text = match self.text() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.trouble("cannot be read", &error)),
        };
        // What a full disk left behind is no mistake of anybody's.
        if text.is_empty() {
            return Ok(None);
        }
        let written: Written =
            serde_json::from_slice(&text).map_err(|_| self.trouble("is not what Sidepost wrote there", &"not used"))?;
        let refresh_token = Secret::new(written.refresh_token.into_bytes());
        let whole = !refresh_token.expose().is_empty() && refresh_token.expose().iter().all(u8::is_ascii_graphic);
        if !whole {
            return Err(self.trouble("is not what Sidepost wrote there", &"not used"));
        }
        let kept = Kept { refresh_token, since: written.since };
        Ok((written.derived_from == fingerprint(initial)).then_some(kept))
    }

    fn text(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(Vec::new());
        File::open(&self.0)?.take(LARGEST).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Puts a token in the place of the one before, all of it or nothing.
    ///
    /// # Errors
    /// Why that did not work, in a sentence.
    pub fn write(&self, initial: &Secret, kept: &Kept) -> Result<(), String> {
        let written = Written {
            derived_from: fingerprint(initial),
            since: kept.since,
            refresh_token: String::from_utf8_lossy(kept.refresh_token.expose()).into_owned(),
        };
        let text = serde_json::to_vec(&written).map(Zeroizing::new).map_err(|error| error.to_string());
        drop(Zeroizing::new(written.refresh_token));
        replace(&self.0, &text?).map_err(|error| self.trouble("cannot be written", &error))
    }

    fn trouble(&self, what: &str, why: &dyn std::fmt::Display) -> String {
        format!("SIDEPOST_OAUTH_TOKEN_STORE: {} {what} ({why})", self.0.display())
    }
}

/// Writes a secret file in one step: readers see the old content or the new one, and only the owner sees either.
///
/// # Errors
/// Where the folder is not writable or full; the old content stays.
pub fn replace(path: &std::path::Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // From a process that ended in the middle.
    let _ = fs::remove_file(&beside);
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    // The name is safe only once the folder is written, too; not every file system can be told to.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn write_new(path: &std::path::Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn fingerprint(initial: &Secret) -> String {
    digest(&SHA256, initial.expose()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    fn kept(text: &str) -> Kept {
        Kept { refresh_token: secret(text), since: 7 }
    }

    #[test]
    fn what_is_written_is_read_for_the_same_initial_token_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let store = Store::new(path.clone());
        assert!(store.read(&secret("initial")).unwrap().is_none());
        for token in ["second", "third"] {
            store.write(&secret("initial"), &kept(token)).unwrap();
            let read = store.read(&secret("initial")).unwrap().unwrap();
            assert_eq!((read.refresh_token.expose(), read.since), (token.as_bytes(), 7));
        }
        assert!(store.read(&secret("another")).unwrap().is_none());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!fs::read_to_string(&path).unwrap().contains("initial"));
    }

    #[test]
    fn what_is_not_ours_is_said_and_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let store = Store::new(path.clone());
        for bad in ["{}", "hunter2", "[1]", "{\"derived_from\":\"x\",\"since\":1,\"refresh_token\":\"a\\nb\"}"] {
            fs::write(&path, bad).unwrap();
            let sentence = store.read(&secret("initial")).unwrap_err();
            assert!(sentence.contains("SIDEPOST_OAUTH_TOKEN_STORE") && !sentence.contains("hunter2"), "{sentence}");
        }
        fs::write(&path, "").unwrap();
        assert!(store.read(&secret("initial")).unwrap().is_none());
        fs::write(&path, " ".repeat(1 << 20)).unwrap();
        assert!(store.read(&secret("initial")).is_err());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(store.read(&secret("initial")).is_err());
        assert!(store.write(&secret("initial"), &kept("x")).unwrap_err().contains("cannot be written"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
