//! Settings: all mistakes at once, nothing secret shown, the README's table as the code has it.

mod chart;

use std::path::Path;

use sidepost::config;

use crate::support::sidecar::run;

#[test]
fn all_mistakes_are_listed_and_the_exit_code_is_78() {
    let settings =
        [("PROVIDER", "sendgird"), ("SEND_TIMEOUT", "hunter2"), ("PASWORD", "hunter2"), ("MAX_RECIPIENTS", "0")];
    for arguments in [&[][..], &["config", "--check"], &["healthcheck"]] {
        let (code, out, err) = run(arguments, &settings, "");
        assert_eq!(code, 78, "{arguments:?}: {err}");
        for wanted in [
            "SIDEPOST_PROVIDER: no such provider. Did you mean sendgrid?",
            "SIDEPOST_SEND_TIMEOUT: expected a duration",
            "SIDEPOST_PASWORD: no such setting; did you mean SIDEPOST_PASSWORD?",
            "SIDEPOST_MAX_RECIPIENTS: expected a whole number",
        ] {
            assert!(err.contains(wanted), "{wanted} is not in {err}");
        }
        assert!(!format!("{out}{err}").contains("hunter2"));
    }
}

#[test]
fn config_shows_what_is_in_force_and_where_it_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "SG.hunter2\n").unwrap();
    let settings = [("PROVIDER", "sendgrid"), ("API_KEY_FILE", file.to_str().unwrap()), ("SEND_TIMEOUT", "45s")];
    let (code, out, _) = run(&["config"], &settings, "");
    assert_eq!(code, 0);
    for wanted in [
        "SIDEPOST_PROVIDER = sendgrid  (environment)",
        "SIDEPOST_HOST = smtp.sendgrid.net  (preset)",
        "SIDEPOST_USERNAME = apikey  (preset)",
        "SIDEPOST_SEND_TIMEOUT = 45s  (environment)",
        "SIDEPOST_RETRY_MAX = 10s  (default)",
        "SIDEPOST_PASSWORD = unset  (default)",
        &format!("SIDEPOST_API_KEY = set  (file {})", file.display()),
    ] {
        assert!(out.lines().any(|line| line == wanted), "{wanted} is not in\n{out}");
    }
    assert!(!out.contains("hunter2"));
    let (code, out, _) = run(&["config", "--check"], &settings, "");
    assert_eq!((code, out.as_str()), (0, ""));
}

#[test]
fn a_port_in_use_ends_the_start_with_its_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&[], &[("HTTP_LISTEN", &address)], "");
    assert_eq!(code, 69);
    assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
}

#[test]
fn an_open_relay_must_be_asked_for_by_name() {
    let check = |settings: &[(&str, &str)]| {
        let everywhere = [("SMTP_LISTEN", "*:2525"), ("HTTP_LISTEN", "127.0.0.1:8025")];
        run(&["config", "--check"], &[&everywhere[..], settings].concat(), "")
    };
    for clients in ["any", "0.0.0.0/0", "::/0", "loopback,8.0.0.0/8"] {
        let (code, _, err) = check(&[("ALLOWED_CLIENTS", clients)]);
        assert!(code == 78 && err.contains("SIDEPOST_ALLOWED_CLIENTS: ") && err.contains("an open relay"), "{err}");
        assert!(err.contains("SIDEPOST_SMTP_USERS") && !err.contains("SIDEPOST_API_TOKEN"), "{err}");
        assert_eq!(check(&[("ALLOWED_CLIENTS", clients), ("SMTP_USERS", "a:b")]).0, 0);
        assert_eq!(check(&[("ALLOWED_CLIENTS", clients), ("ALLOW_OPEN_RELAY", "yes")]).0, 0);
        assert_eq!(check(&[("ALLOWED_CLIENTS", clients), ("SMTP_LISTEN", "127.0.0.1:25,unix:/run/a")]).0, 0);
        let http = [("ALLOWED_CLIENTS", clients), ("SMTP_USERS", "a:b"), ("HTTP_LISTEN", "*:8025")];
        let (code, _, err) = check(&http);
        assert!(code == 78 && err.contains("SIDEPOST_API_TOKEN"), "{err}");
        assert_eq!(check(&[&http[..], &[("API_TOKEN", "token")]].concat()).0, 0);
    }
    assert_eq!(check(&[("ALLOWED_CLIENTS", "loopback,10.0.0.0/8,192.0.2.7,fd00::/8,8.8.8.8")]).0, 0);
}

#[test]
fn tls_settings_that_cannot_work() {
    let (code, _, err) = run(&["config", "--check"], &[("SMTPS_LISTEN", "*:465")], "");
    assert!(code == 78 && err.contains("SIDEPOST_SMTPS_LISTEN: needs SIDEPOST_TLS_CERT_FILE"), "{err}");
    let missing = [("TLS_CERT_FILE", "/nowhere/tls.crt"), ("TLS_KEY_FILE", "/nowhere/tls.key")];
    let (code, _, err) = run(&["config", "--check"], &missing, "");
    assert!(code == 78 && err.contains("cannot read /nowhere/tls.crt"), "{err}");
    let (code, _, err) = run(&[], &missing, "");
    assert!(code == 69 && err.contains("cannot read /nowhere/tls.crt"), "{err}");
    let (code, _, err) = run(&["config", "--check"], &[("SMTP_USERS", "joe:hunter2,hunter3")], "");
    assert!(code == 78 && err.contains("SIDEPOST_SMTP_USERS: expected `user:password` pairs"), "{err}");
    assert!(!err.contains("hunter"), "{err}");
}

#[test]
fn help_version_and_misuse() {
    let (code, out, _) = run(&["--help"], &[], "");
    assert!(code == 0 && out.contains("sidepost config --check"));
    let (code, out, _) = run(&["--version"], &[], "");
    assert_eq!((code, out), (0, format!("sidepost {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, _, err) = run(&["sned"], &[], "");
    assert!(code == 64 && err.contains("no such verb: sned"));
}

/// The table between the marks in the README is made by this test: `SIDEPOST_TEST_UPDATE=1 cargo test` writes it anew.
#[test]
fn the_readme_has_the_settings_table_of_the_code() {
    const BEGIN: &str = "<!-- settings: made by tests/it/settings.rs -->\n";
    const END: &str = "<!-- end of settings -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the mark where the table begins");
    let (table, after) = rest.split_once(END).expect("the mark where it ends");
    if std::env::var_os("SIDEPOST_TEST_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", made_table())).unwrap();
    } else {
        assert_eq!(table, made_table(), "run SIDEPOST_TEST_UPDATE=1 cargo test --test it settings");
    }
}

fn made_table() -> String {
    let mut table = "| Variable `SIDEPOST_...` | Default | Meaning |\n|---|---|---|\n".to_owned();
    for setting in config::settings() {
        let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
        table.push_str(&format!(
            "| `{}` | {default} | {} |\n",
            setting.name(),
            setting.help.trim().replace('|', "\\|")
        ));
    }
    table
}
