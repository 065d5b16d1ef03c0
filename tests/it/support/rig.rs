//! The real provider: Postfix and Dovecot, started once for all tests of this process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The running rig. It ends with this process, which holds the other end of its standard input.
pub struct Rig {
    values: HashMap<String, String>,
    _child: Child,
}

impl Rig {
    /// The rig of this process.
    pub fn get() -> &'static Self {
        static RIG: OnceLock<Rig> = OnceLock::new();
        RIG.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("sidepost-rig-{}", std::process::id()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/rig.sh");
        let mut child = Command::new(script)
            .arg("run")
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/rig/rig.sh");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "the rig did not start; scripts/install-test-tools.sh installs what it needs");
        let json = std::fs::read_to_string(folder.join("rig.json")).unwrap();
        let values: HashMap<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
        let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self { values: values.into_iter().map(|(name, value)| (name, text(value))).collect(), _child: child }
    }

    /// A value of `rig.env`.
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).unwrap_or_else(|| panic!("rig.json has no {name}: {:?}", self.values.keys()))
    }

    /// The settings to send through it, over STARTTLS or implicit TLS.
    pub fn settings(&self, tls: &'static str) -> Vec<(&str, &str)> {
        let port = self.value(if tls == "implicit" { "TLS_PORT" } else { "STARTTLS_PORT" });
        vec![
            ("PROVIDER", "smtp"),
            ("HOST", "localhost"),
            ("PORT", port),
            ("TLS", tls),
            ("USERNAME", self.value("USERNAME")),
            ("PASSWORD", self.value("PASSWORD")),
            ("CA_FILE", self.value("CA_FILE")),
        ]
    }

    /// All messages whose text contains the mark, once there are so many, or when time is up.
    pub fn messages(&self, mark: &str, count: usize) -> Vec<Vec<u8>> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.search(mark);
            if found.len() >= count || Instant::now() > until {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn search(&self, mark: &str) -> Vec<Vec<u8>> {
        let folder = PathBuf::from(self.value("MAILDIR")).join("new");
        let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let contents = files.filter_map(|file| std::fs::read(file.path()).ok());
        contents.filter(|content| memchr::memmem::find(content, mark.as_bytes()).is_some()).collect()
    }
}

/// The body of a delivered message: what follows the first empty line. The rig keeps LF line ends.
pub fn body(message: &[u8]) -> &[u8] {
    let lf = memchr::memmem::find(message, b"\n\n").map(|at| at + 2);
    let crlf = memchr::memmem::find(message, b"\r\n\r\n").map(|at| at + 4);
    let at = [lf, crlf].into_iter().flatten().min().expect("an empty line");
    &message[at..]
}

/// A word that no other message has.
pub fn mark() -> String {
    format!("mark-{}", sidepost::message::Id::new().simple())
}
