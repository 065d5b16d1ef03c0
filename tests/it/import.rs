//! `sidepost import` as somebody runs it who moves: real files in, variables out, and those in force in the binary.
//!
//! What is read and printed is `docs/import.md`; `SIDEPOST_TEST_UPDATE=1 cargo test --test it import` writes it anew.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::provider::{Provider, Script};
use crate::support::sidecar::{Sidecar, command, letter, run};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/import");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/import.md");
const ABOUT: &str = "\
# From another mail program

`sidepost import` reads the settings of the program that sent mail until now and prints the same for Sidepost: an env file on
standard output, and on standard error what has no equivalent, what looks wrong, and what to do next. Without a file it looks
where such programs keep their settings.

```sh
sidepost import /etc/postfix --secrets /run/secrets/mail > sidepost.env
```

- A password is never printed. `--secrets DIR` writes it to a file (mode 0600), never over another one, and names that file;
  without it the line says only that there is one.
- A provider is known by its host, and `SIDEPOST_PROVIDER` stands for host, port, TLS and login name. Variables that could not
  work are not printed but told, so that what is printed passes `sidepost config --check`.
- The env file is what `docker run --env-file` and `env_file` in compose read. A copied folder is enough: a path such as
  `/etc/postfix/sasl_passwd` is looked for beside the file that names it first.
- `--from KIND` says whose settings they are where neither name nor content does; `--json` is for programs.
- Exit code 0: the variables can work; 78: something is still missing, and it is named; 74: a file cannot be read or understood.

These are real runs, which a test repeats and compares; the passwords are nobody's.
";

struct Case {
    word: &'static str,
    title: &'static str,
    about: &'static str,
    /// What is named on the command line.
    named: &'static str,
    /// Files in the order of the document; those with a secret first say so by their mode.
    files: &'static [(&'static str, u32)],
    code: i32,
    /// The secret's file and its content.
    secret: (&'static str, &'static str),
    /// What `sidepost config` shows with these variables, in part.
    in_force: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        word: "postfix",
        title: "Postfix",
        about: "`main.cf`, `master.cf`, the tables that they name (the text, not the `.db`), and what `postconf -n` prints. This one \
                never worked: the key in `sasl_passwd` is not what `relayhost` says, and Gmail takes no account password.",
        named: "etc/postfix",
        files: &[("etc/postfix/main.cf", 0o644), ("etc/postfix/sasl_passwd", 0o644), ("etc/aliases", 0o644)],
        code: 0,
        secret: ("password", "Hunter2:summer#2024"),
        in_force: &[
            "SIDEPOST_PROVIDER = gmail  (environment)",
            "SIDEPOST_HOST = smtp.gmail.com  (preset)",
            "SIDEPOST_USERNAME = shop.example@gmail.com  (environment)",
            "SIDEPOST_HELO_NAME = web1.shop.example  (environment)",
            "SIDEPOST_LOCAL_RECIPIENT = ops@shop.example  (environment)",
        ],
    },
    Case {
        word: "sendmail",
        title: "Sendmail",
        about: "`sendmail.mc` and `authinfo`; m4 itself is not run.",
        named: "etc/mail",
        files: &[("etc/mail/sendmail.mc", 0o644), ("etc/mail/authinfo", 0o600)],
        code: 0,
        secret: ("password", "it's \"odd\""),
        in_force: &[
            "SIDEPOST_PROVIDER = mailgun  (environment)",
            "SIDEPOST_USERNAME = postmaster@shop.example  (environment)",
            "SIDEPOST_MAX_MESSAGE_BYTES = 20971520  (environment)",
        ],
    },
    Case {
        word: "msmtp",
        title: "msmtp",
        about: "`msmtprc`: the default account, with what it inherits.",
        named: "etc/msmtprc",
        files: &[("etc/msmtprc", 0o600)],
        code: 0,
        secret: ("password", "BPx #1+/="),
        in_force: &[
            "SIDEPOST_PROVIDER = ses  (environment)",
            "SIDEPOST_REGION = eu-central-1  (environment)",
            "SIDEPOST_FROM = shop@shop.example  (environment)",
        ],
    },
    Case {
        word: "ssmtp",
        title: "sSMTP",
        about: "`ssmtp.conf` and `revaliases`.",
        named: "etc/ssmtp",
        files: &[("etc/ssmtp/ssmtp.conf", 0o640), ("etc/ssmtp/revaliases", 0o644)],
        code: 0,
        secret: ("password", "\"pa=ss word\""),
        in_force: &[
            "SIDEPOST_PROVIDER = microsoft365  (environment)",
            "SIDEPOST_USERNAME = shop@shop.example  (environment)",
            "SIDEPOST_LOCAL_RECIPIENT = ops@shop.example  (environment)",
        ],
    },
    Case {
        word: "nullmailer",
        title: "nullmailer",
        about: "`remotes`, and the files of one line beside it.",
        named: "etc/nullmailer",
        files: &[
            ("etc/nullmailer/remotes", 0o600),
            ("etc/nullmailer/me", 0o644),
            ("etc/nullmailer/adminaddr", 0o644),
            ("etc/nullmailer/defaultdomain", 0o644),
        ],
        code: 0,
        secret: ("api_key", "SG.abc def"),
        in_force: &["SIDEPOST_PROVIDER = sendgrid  (environment)", "SIDEPOST_USERNAME = apikey  (preset)"],
    },
    Case {
        word: "exim",
        title: "Exim",
        about: "As Debian sets it up: `update-exim4.conf.conf` and `passwd.client`.",
        named: "etc/exim4",
        files: &[("etc/exim4/update-exim4.conf.conf", 0o644), ("etc/exim4/passwd.client", 0o640)],
        code: 0,
        secret: ("password", "p:a:s:s"),
        in_force: &[
            "SIDEPOST_PROVIDER = smtp  (environment)",
            "SIDEPOST_HOST = mail.shop.example  (environment)",
            "SIDEPOST_PORT = 465  (environment)",
            "SIDEPOST_USERNAME = web1@shop.example  (environment)",
        ],
    },
    Case {
        word: "docker-postfix",
        title: "docker-postfix",
        about: "The environment of the image `boky/postfix`: an env file, a compose file, the values of its chart, or with `--from \
                docker-postfix` and no file that of the process.",
        named: "srv/mail/compose.yaml",
        files: &[("srv/mail/compose.yaml", 0o644), ("srv/mail/resend", 0o600)],
        code: 0,
        secret: ("api_key", "re_1234$5678"),
        in_force: &[
            "SIDEPOST_PROVIDER = resend  (environment)",
            "SIDEPOST_ALLOWED_SENDERS = shop.example  (environment)",
            "SIDEPOST_HELO_NAME = mail.shop.example  (environment)",
        ],
    },
    Case {
        word: "wordpress",
        title: "WordPress",
        about: "The constants of WP Mail SMTP, Post SMTP and FluentSMTP in `wp-config.php`; what the plugins keep in the database is \
                not seen.",
        named: "var/www/html/wp-config.php",
        files: &[("var/www/html/wp-config.php", 0o640)],
        code: 0,
        secret: ("password", "a\\b'c"),
        in_force: &[
            "SIDEPOST_HOST = ssl0.ovh.net  (environment)",
            "SIDEPOST_FROM = The Shop <shop@shop.example>  (environment)",
            "SIDEPOST_FROM_MODE = force  (environment)",
        ],
    },
];

/// A machine's root with the files of a case, and nothing else.
fn root(word: &str, files: &[(&str, u32)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    copy(&Path::new(HERE).join(word), root.path());
    for (file, mode) in files {
        std::fs::set_permissions(root.path().join(file), std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    root
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn installed(root: &Path, path: &str) -> String {
    root.join(path).display().to_string()
}

fn import(root: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done = command(&[]).arg("import").args(arguments).current_dir(root).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

/// As `docker run --env-file` reads it: no quotation marks, nothing is put in.
fn variables(env_file: &str) -> Vec<(String, String)> {
    let lines = env_file.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        line.split_once('=').map(|(name, value)| (name.replace("SIDEPOST_", ""), value.to_owned())).unwrap()
    };
    lines.map(pair).collect()
}

fn in_force(env_file: &str, arguments: &[&str]) -> (i32, String, String) {
    let variables = variables(env_file);
    let settings: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    run(arguments, &settings, "")
}

#[test]
fn every_program_and_the_document() {
    let mut document = ABOUT.to_owned();
    for case in CASES {
        let root = root(case.word, case.files);
        let (code, env_file, report) =
            import(root.path(), &[&installed(root.path(), case.named), "--secrets", "run/secrets/mail"]);
        assert_eq!(code, case.code, "{}: {report}", case.word);
        let (name, secret) = case.secret;
        let written = root.path().join("run/secrets/mail").join(name);
        assert_eq!(std::fs::read_to_string(&written).unwrap(), secret, "{}", case.word);
        assert_eq!(std::fs::metadata(&written).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!env_file.contains(secret) && !report.contains(secret), "{}: a secret is shown", case.word);

        let (code, shown, problems) = in_force(&env_file, &["config"]);
        assert_eq!(code, 0, "{}: {problems}", case.word);
        let secret_in_force = format!("SIDEPOST_{} = set  (file {})", name.to_uppercase(), written.display());
        for wanted in case.in_force.iter().copied().chain([secret_in_force.as_str()]) {
            assert!(shown.lines().any(|line| line == wanted), "{}: {wanted} is not in\n{shown}", case.word);
        }
        assert_eq!(in_force(&env_file, &["config", "--check"]).0, 0);
        same_without_secrets(case, root.path(), &env_file, secret);
        describe(case, root.path(), &env_file, &report, &mut document);
    }
    compare(&document);
}

/// Without `--secrets` nothing is written, and everything else is the same.
fn same_without_secrets(case: &Case, root: &Path, env_file: &str, secret: &str) {
    let (code, bare, report) = import(root, &[&installed(root, case.named)]);
    assert_eq!(code, case.code, "{report}");
    assert!(!bare.contains(secret) && !report.contains(secret) && bare.contains("= is not shown"), "{bare}");
    let open =
        |text: &str| variables(text).into_iter().filter(|(name, _)| !name.ends_with("_FILE")).collect::<Vec<_>>();
    assert_eq!(open(&bare), open(env_file));
    let (_, json, _) = import(root, &[&installed(root, case.named), "--json", "--from", case.word]);
    assert!(!json.contains(secret));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let listed = json["variables"].as_object().unwrap();
    assert_eq!(listed.len(), open(env_file).len());
    assert!(open(env_file).iter().all(|(name, value)| listed[&format!("SIDEPOST_{name}")] == *value), "{json}");
    assert_eq!(json["secrets"][0]["variable"], format!("SIDEPOST_{}", case.secret.0.to_uppercase()));
}

fn describe(case: &Case, root: &Path, env_file: &str, report: &str, into: &mut String) {
    let as_installed = |text: &str| text.replace(&root.display().to_string(), "");
    let _ = write!(into, "\n## {}\n\n{}\n", case.title, case.about);
    for (file, _) in case.files {
        let content = std::fs::read_to_string(root.join(file)).unwrap();
        let _ = write!(into, "\n`/{file}`\n\n```text\n{content}```\n");
    }
    let _ = write!(into, "\n`sidepost import /{} --secrets /run/secrets/mail`\n\n", case.named);
    let _ = write!(into, "```sh\n{}```\n\n```text\n{}```\n", as_installed(env_file), as_installed(report));
}

fn compare(document: &str) {
    if std::env::var_os("SIDEPOST_TEST_UPDATE").is_some() {
        std::fs::write(DOCUMENT, document).unwrap();
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(
        written == document,
        "docs/import.md is not what it says: SIDEPOST_TEST_UPDATE=1 cargo test --test it import"
    );
}

/// The variables, in force in a sidecar, log in where the program did.
#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_where_it_went_before() {
    let password = "a:b \"c\" #d $e \\f";
    let provider = Provider::start(Script::new().login("shop@shop.example", password).auth_before_tls());
    let root = tempfile::tempdir().unwrap();
    let port = provider.addr.port();
    let rc = format!(
        "host 127.0.0.1\nport {port}\ntls off\nauth on\nuser shop@shop.example\npassword {password}\nfrom shop@shop.example\n"
    );
    std::fs::write(root.path().join("msmtprc"), rc).unwrap();
    let (code, env_file, report) = import(root.path(), &["msmtprc", "--secrets", "secrets"]);
    assert_eq!(code, 0, "{report}");
    assert!(report.contains("SIDEPOST_TLS=none has to be asked for"), "{report}");
    let variables = variables(&env_file);
    let mut settings: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    settings.push(("TLS", "none"));
    let sidecar = Sidecar::start(&settings);
    let mut message = letter("joe@example.org");
    message.as_object_mut().unwrap().remove("from");
    let answer = sidecar.send(&message).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let held = provider.ledger.only();
    assert_eq!(
        (held.sender.as_str(), &held.recipients[..]),
        ("shop@shop.example", &["joe@example.org".to_owned()][..])
    );
    assert_eq!(provider.ledger.counts().auths, 1);
}

fn postconf(folder: &Path, arguments: &[&str]) -> String {
    let done =
        Command::new("/usr/sbin/postconf").arg("-c").arg(folder).args(arguments).output().expect("Postfix's postconf");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// Postfix itself reads the same files: what it says of them, and what is made of what it says, is the same.
#[test]
fn postfix_and_we_read_the_same() {
    let root = root("postfix", &[]);
    let folder = root.path().join("etc/postfix");
    // A path that Postfix would go to by itself.
    let main = std::fs::read_to_string(folder.join("main.cf")).unwrap();
    let odd = "helo = ${relayhost?{mail}:{none}}.$mydomain\nsmtp_helo_name =\n  $helo\n# a comment\n\n\n\tmore\n"
        .replace("\tmore", "");
    std::fs::write(folder.join("main.cf"), format!("{main}{odd}message_size_limit=${{unset?1}}${{unset:30000000}}\n"))
        .unwrap();

    let (_, from_folder, _) = import(root.path(), &["etc/postfix"]);
    std::fs::write(folder.join("said"), postconf(&folder, &["-n"])).unwrap();
    let (_, from_postconf, _) = import(root.path(), &["etc/postfix/said"]);
    assert_eq!(variables(&from_postconf), variables(&from_folder));
    let ours =
        |name: &str| variables(&from_folder).into_iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let theirs = |name: &str| postconf(&folder, &["-x", "-h", name]).trim().to_owned();
    assert_eq!(ours("HELO_NAME"), Some(theirs("smtp_helo_name")));
    assert_eq!(ours("MAX_MESSAGE_BYTES"), Some(theirs("message_size_limit")));
    assert_eq!(theirs("relayhost"), "[smtp.gmail.com]:587");
}

/// Everything that Postfix knows, and the files that Debian's packages bring.
#[test]
fn files_as_they_come_with_their_packages() {
    let root = tempfile::tempdir().unwrap();
    // Tables in values run over lines there, without the white space that a main.cf needs.
    let all: String = postconf(Path::new("/usr/share/postfix"), &["-d"])
        .lines()
        .filter(|line| line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(all.lines().count() > 500);
    std::fs::write(root.path().join("main.cf"), all).unwrap();
    let (code, env_file, report) = import(root.path(), &["main.cf"]);
    assert_eq!(code, 78, "no server: {report}");
    assert!(report.contains("relayhost is not set") && !report.contains("not of the form"), "{report}");
    assert!(variables(&env_file).iter().all(|(name, _)| name != "PROVIDER"), "{env_file}");

    let folder = Path::new("/usr/share/postfix");
    for name in ["main.cf.debian", "main.cf.dist", "main.cf.tls"] {
        let path = folder.join(name);
        let (code, _, report) = import(root.path(), &["--from", "postfix", path.to_str().unwrap()]);
        assert_eq!(code, 78, "{name}: {report}");
        assert!(!report.contains("not of the form") && !report.contains("not known here"), "{name}: {report}");
    }
    for (name, wanted) in [
        ("msmtprc-user.example", "SIDEPOST_HOST=smtp.freemail.example"),
        ("msmtprc-system.example", "SIDEPOST_PORT=465"),
    ] {
        let path = PathBuf::from("/usr/share/doc/msmtp/examples").join(name);
        // Small images leave /usr/share/doc out.
        if path.is_file() {
            let (_, env_file, report) = import(root.path(), &[path.to_str().unwrap()]);
            assert!(env_file.contains(wanted) && !report.contains("not known here"), "{env_file}{report}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_file() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(root.path().join(name), content).unwrap();
    write("main.cf", b"relayhost = [a.test]:587\nx\0");
    write("notes.txt", b"hello\n");
    write("big", &vec![b'a'; 2 << 20]);
    write("msmtprc", b"account a : b\n");
    write("wp-config.php", b"<?php\n\n define('WPMS_ON', 'x");
    std::fs::create_dir(root.path().join("empty")).unwrap();
    for (arguments, said) in [
        (&["main.cf"][..], "main.cf line 2: binary data"),
        (&["notes.txt"], "notes.txt: neither its name nor its content says"),
        (&["none"], "none cannot be read: No such file"),
        (&["/dev/zero"], "/dev/zero cannot be read: it is no regular file"),
        (&["big"], "big is larger than 1 MiB"),
        (&["empty"], "empty: none of main.cf, sendmail.mc"),
        (&["empty", "--from", "exim"], "empty: none of update-exim4.conf.conf"),
        (&["msmtprc"], "msmtprc line 1: there is no account `b`"),
        (&["wp-config.php"], "wp-config.php line 3: a quotation mark is not closed"),
        (&["."], ".: there are files of postfix and of msmtp; `--from` says which"),
        (&["msmtprc", "wp-config.php"], "msmtprc"),
    ] {
        let (code, out, report) = import(root.path(), arguments);
        assert_eq!((code, out.as_str()), (74, ""), "{arguments:?}: {report}");
        assert!(report.starts_with("sidepost: ") && report.contains(said), "{arguments:?}: {report}");
    }
    for wrong in [&["--from", "qmail"][..], &["--secrets"], &["--frm"]] {
        assert_eq!(import(root.path(), wrong).0, 64, "{wrong:?}");
    }
    let (code, help, _) = import(root.path(), &["--help"]);
    assert!(code == 0 && help.starts_with("Usage: sidepost import"));
}
