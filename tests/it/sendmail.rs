//! `sidepost sendmail` as programs call it: what arrives at the provider, and what the exit code says.

use crate::support::provider::{Action, Content, Provider, Script, Step};
use crate::support::sidecar::{Sidecar, run};

const MESSAGE: &str = "Subject: Hello\nTo: Joe <joe@example.org>, ann@example.org\nBcc: secret@example.org\n\n.Hi\n";

fn through(provider: &Provider) -> Sidecar {
    let port = provider.addr.port().to_string();
    Sidecar::start(&[
        ("PROVIDER", "smtp"),
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("TLS", "none"),
        ("SEND_TIMEOUT", "1s"),
    ])
}

/// Exit code and standard error of a call with that command line.
async fn call(sidecar: &Sidecar, line: &str, more: &[(&str, &str)], message: &str) -> (i32, String) {
    let address = sidecar.smtp.to_string();
    let settings: Vec<_> = [("ADDRESS", address.as_str())].iter().chain(more).map(|(n, v)| pair(n, v)).collect();
    let arguments: Vec<_> = ["sendmail"].into_iter().chain(line.split_whitespace()).map(str::to_owned).collect();
    let message = message.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &settings, &message)
    });
    let (code, _, said) = done.await.unwrap();
    (code, said)
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn text(content: &Content) -> String {
    String::from_utf8(content.bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_its_recipients_in_the_header() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider);
    let (code, said) = call(&sidecar, "-t -i -fshop@example.com -F Shop", &[], MESSAGE).await;
    assert_eq!((code, said.as_str()), (0, ""));
    let held = provider.ledger.only();
    assert_eq!(held.sender, "shop@example.com");
    assert_eq!(held.recipients, ["joe@example.org", "ann@example.org", "secret@example.org"]);
    let sent = text(&held);
    assert!(sent.contains("\r\nFrom: \"Shop\" <shop@example.com>\r\nSubject: Hello\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n.Hi\r\n") && !sent.contains("Bcc") && !sent.contains("secret"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cron_writes() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider);
    let line = "-FCronDaemon -i -B8BITMIME -oem root";
    let message = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> date\n\nSun Nov 22\n.\nmore\n";
    let (code, said) = call(&sidecar, line, &[], message).await;
    assert_eq!(code, 67, "{said}");
    assert!(said.contains("SIDEPOST_LOCAL_RECIPIENT"), "{said}");
    let (code, said) = call(&sidecar, line, &[("LOCAL_RECIPIENT", "ops@example.com")], message).await;
    assert_eq!((code, said.as_str()), (0, ""));
    let held = provider.ledger.only();
    assert_eq!(held.recipients, ["ops@example.com"]);
    let sent = text(&held);
    assert!(sent.contains(&format!("From: {} (Cron Daemon)\r\n", held.sender)), "{sent}");
    assert!(sent.ends_with("\r\n\r\nSun Nov 22\r\n.\r\nmore\r\n"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_whether_a_repeat_makes_sense() {
    for (action, expected, word) in [
        (Action::reply(451, "4.3.0 Not now"), 75, "Not now"),
        (Action::reply(550, "5.7.1 Spam"), 65, "Spam"),
        (Action::close(), 75, ""),
    ] {
        let provider = Provider::start(Script::new().always(Step::Final, action));
        let sidecar = through(&provider);
        let (code, said) = call(&sidecar, "-t", &[], &format!("From: a@example.com\n{MESSAGE}")).await;
        assert_eq!(code, expected, "{said}");
        assert!(said.starts_with("sendmail: ") && said.contains(word), "{said}");
    }
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider);
    for (line, expected) in
        [("", 64), ("-Z x@example.org", 64), ("not@@an.address", 65), ("-f a@b@c x@example.org", 64)]
    {
        let (code, said) = call(&sidecar, line, &[], "Subject: x\n\nx\n").await;
        assert_eq!(code, expected, "{line}: {said}");
    }
    let (code, said) = call(&sidecar, "x@example.org", &[("ADDRESS", "127.0.0.1:1")], "Subject: x\n\nx\n").await;
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("no sidecar at 127.0.0.1:1"), "{said}");
    let (code, said) = call(&sidecar, "x@example.org", &[("ADDRESS", "here")], "Subject: x\n\nx\n").await;
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("SIDEPOST_ADDRESS"), "{said}");
    assert_eq!(provider.ledger.counts().mails, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_on_standard_input_and_output() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider);
    let address = sidecar.smtp.to_string();
    let talk = "EHLO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n";
    let done = tokio::task::spawn_blocking(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut command = crate::support::sidecar::command(&[("ADDRESS", &address)]);
        let mut child = command
            .args(["sendmail", "-bs"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(output.next().unwrap().starts_with("220 "));
        input.write_all(talk.as_bytes()).unwrap();
        assert!(output.by_ref().any(|line| line.starts_with("354 ")));
        input.write_all(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n").unwrap();
        let rest: Vec<_> = output.collect();
        (child.wait().unwrap().code(), rest)
    });
    let (code, rest) = done.await.unwrap();
    assert_eq!(code, Some(0));
    assert!(rest[0].starts_with("250 ") && rest.last().unwrap().starts_with("221 "), "{rest:?}");
    assert_eq!(provider.ledger.only().recipients, ["b@example.org"]);
}

/// The environment of a pod is often one for all containers: what is the sidecar's alone does not stop `sendmail`.
#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_none_of_its_business() {
    let provider = Provider::start(Script::new());
    let sidecar = through(&provider);
    let more = [("PASSWORD_FILE", "/does/not/exist"), ("PROVIDER", "sendgrid"), ("LATER", "x")];
    let (code, said) = call(&sidecar, "-f a@example.com b@example.org", &more, "Subject: x\n\nx\n").await;
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(provider.ledger.held().len(), 1);
}

/// What another container finds on the volume that both mount.
#[tokio::test(flavor = "multi_thread")]
async fn installed_for_another_container() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::{fs, process::Stdio};

    use crate::support::sidecar::{binary, command};

    let provider = Provider::start(Script::new());
    let sidecar = through(&provider);
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("bin/sendmail");
    let settings = [("HTTP_LISTEN", "off"), ("SMTP_LISTEN", "off"), ("ADMIN_LISTEN", "off"), ("LOG_LEVEL", "off")];
    // A listener that cannot be had ends it after the files are there.
    let install = || {
        let mut serve = command(&settings);
        serve.args(["serve", "--install-shim"]).arg(folder.path()).stderr(Stdio::piped()).stdout(Stdio::piped());
        serve.env("SIDEPOST_HTTP_LISTEN", "unix:/nowhere/at/all");
        serve.output().unwrap()
    };
    assert_eq!(install().status.code(), Some(69));
    assert_eq!(fs::read(&program).unwrap(), fs::read(binary()).unwrap());
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    let setting = fs::read_to_string(folder.path().join("php/mail.ini")).unwrap();
    assert_eq!(setting, format!("sendmail_path = \"{} -t -i\"\n", program.display()));

    // While one copy runs, as it may in the other container, the next start leaves it or replaces it whole.
    let inode = || fs::metadata(&program).unwrap().ino();
    let first = inode();
    let mut running = tokio::process::Command::new(&program);
    running.arg("-t").env("SIDEPOST_ADDRESS", sidecar.smtp.to_string()).stdin(Stdio::piped());
    let mut running = running.spawn().unwrap();
    install();
    assert_eq!(inode(), first);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    install();
    assert_ne!(inode(), first);
    use tokio::io::AsyncWriteExt as _;
    running.stdin.take().unwrap().write_all(format!("From: a@example.com\n{MESSAGE}").as_bytes()).await.unwrap();
    assert!(running.wait().await.unwrap().success());
    assert_eq!(provider.ledger.only().sender, "a@example.com");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_mistake() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let (code, _, said) = run(&["serve", "--install-shim", path], &[], "");
    assert_eq!(code, 78, "{said}");
    assert!(said.contains(path) && said.contains("mount a volume there"), "{said}");
    let (code, _, said) = run(&["serve", "--install-shim", "relative"], &[], "");
    assert_eq!(code, 64, "{said}");
}
