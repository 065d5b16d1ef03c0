//! `serve --install-shim DIR`: this binary by the name of `sendmail`, and the PHP setting that uses it, on a volume that
//! another container mounts at the same path.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder that the other container mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim(PathBuf);

impl Shim {
    /// Reads the folder's name.
    ///
    /// # Errors
    /// A sentence, where it cannot stand in PHP's setting as it is: that goes through a shell in another container.
    pub fn parse(folder: OsString) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
        match folder.into_string() {
            Ok(folder) if folder.starts_with('/') && folder.chars().all(plain) => Ok(Self(folder.into())),
            _ => Err("--install-shim wants an absolute path of letters, digits and /._-+@".to_owned()),
        }
    }

    /// Puts both files there; what is there already and is the same stays untouched.
    ///
    /// # Errors
    /// A sentence, where the folder cannot be written.
    pub fn install(&self) -> Result<(), String> {
        let program = self.0.join("bin/sendmail");
        let setting = format!("sendmail_path = \"{} -t -i\"\n", program.display());
        put(&program, 0o755, &|| Ok(Box::new(File::open(std::env::current_exe()?)?)))
            .and_then(|()| put(&self.0.join("php/mail.ini"), 0o644, &|| Ok(Box::new(io::Cursor::new(setting.clone())))))
            .map_err(|error| self.trouble(&error))
    }

    fn trouble(&self, error: &io::Error) -> String {
        let user =
            fs::metadata("/proc/self").map_or_else(|_| "this user".to_owned(), |of| format!("user {}", of.uid()));
        let folder = self.0.display();
        format!("--install-shim: {folder} cannot be written ({error}); mount a volume there that {user} may write to")
    }
}

/// What a file is to have.
type Content<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read>>;

/// In one step, since another container may start the program or read the setting at any time.
fn put(path: &Path, mode: u32, content: Content<'_>) -> io::Result<()> {
    if holds(path, mode, content).unwrap_or(false) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    // A name of its own: two sidecars may share the volume, each of them process 1 of its container.
    let moment = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let beside = path.with_extension(format!("{moment:x}.new"));
    let written = write(&beside, mode, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Others have to come in, whatever the mask says.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn write(path: &Path, mode: u32, content: Content<'_>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    io::copy(&mut content()?, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn holds(path: &Path, mode: u32, content: Content<'_>) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.permissions().mode() & 0o777 != mode {
        return Ok(false);
    }
    let (mut there, mut wanted) = (BufReader::new(File::open(path)?), BufReader::new(content()?));
    loop {
        let (one, other) = (there.fill_buf()?, wanted.fill_buf()?);
        let both = one.len().min(other.len());
        if both == 0 || one[..both] != other[..both] {
            return Ok(one.is_empty() && other.is_empty());
        }
        there.consume(both);
        wanted.consume(both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_text(path: &Path, text: &str) -> io::Result<()> {
        let text = text.to_owned();
        put(path, 0o644, &|| Ok(Box::new(io::Cursor::new(text.clone()))))
    }

    #[test]
    fn a_path_that_a_shell_would_read_otherwise_is_refused() {
        for fine in ["/opt/sidepost", "/srv/mail-1/shim.d"] {
            assert_eq!(Shim::parse(fine.into()), Ok(Shim(fine.into())));
        }
        for bad in ["", "opt", "./x", "/a b", "/a;id", "/a\"", "/$HOME", "/a\nb", "/ä"] {
            assert!(Shim::parse(bad.into()).unwrap_err().contains("--install-shim"), "{bad:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_only_where_it_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("php/mail.ini");
        put_text(&path, "one").unwrap();
        let first = fs::metadata(&path).unwrap().ino();
        put_text(&path, "one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), first);
        for other in ["on", "one and more", "two", ""] {
            put_text(&path, other).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        put_text(&path, "").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("mail.ini"), folder.path().join("elsewhere"));
        fs::write(&elsewhere, "mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        put_text(&path, "mine").unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        put_text(&path, "theirs").unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bin"), "a file").unwrap();
        let said = Shim(folder.path().into()).install().unwrap_err();
        assert!(said.contains(&folder.path().display().to_string()) && said.contains("may write to"), "{said}");
    }
}
