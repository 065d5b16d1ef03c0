//! `sidepost doctor` as somebody runs it who has nothing but a shell: beside a running sidecar, and alone.

use serde_json::Value;

use crate::support::provider::{Action, PASSWORD, Provider, Script, Step, USER};
use crate::support::sidecar::{Sidecar, run};

fn settings(provider: &Provider) -> Vec<(String, String)> {
    let port = provider.addr.port().to_string();
    [("PROVIDER", "smtp"), ("HOST", "127.0.0.1"), ("PORT", &port), ("TLS", "none"), ("FROM", "shop@shop.test")]
        .iter()
        .chain(&[("USERNAME", USER), ("PASSWORD", PASSWORD), ("CONTROL_HOSTS", "off")])
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn good() -> Script {
    Script::new().login(USER, PASSWORD).auth_before_tls()
}

/// Exit code and output of `doctor` with these settings.
async fn doctor(arguments: &'static [&'static str], settings: Vec<(String, String)>) -> (i32, String, String) {
    let done = tokio::task::spawn_blocking(move || {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        run(&[&["doctor"], arguments].concat(), &settings, "")
    });
    done.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_it_looks_itself_and_leaves_nothing_behind() {
    let provider = Provider::start(good());
    let (code, out, _) = doctor(&[], settings(&provider)).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("smtp by smtp:") && out.contains("no sidecar is running here"), "{out}");
    assert!(out.contains("ok       auth      it lets us in") && out.contains("skipped  tls"), "{out}");
    assert_eq!((provider.ledger.counts().auths, provider.ledger.counts().mails), (1, 0), "one login, no mail");
    let (code, out, _) = doctor(&["--json", "--to", "ops@example.org"], settings(&provider)).await;
    let whole: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &whole["test"]["status"]), (0, &"sent".into()), "{out}");
    assert_eq!(provider.ledger.only().recipients, ["ops@example.org"]);
    assert_eq!(provider.ledger.only().sender, "shop@shop.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_and_the_words_name_the_broken_link() {
    let refuses = Provider::start(good().always(Step::Auth, Action::reply(535, "5.7.8 Wrong for bob@example.org")));
    let (code, out, _) = doctor(&[], settings(&refuses)).await;
    assert_eq!(code, 77, "{out}");
    assert!(out.contains("FAILED   auth") && out.contains("535 5.7.8") && out.contains("remedy: "), "{out}");
    assert!(!out.contains("bob@") && !out.contains(PASSWORD), "{out}");
    let closed = Provider::start(Script::refusing_connections());
    let (code, out, _) = doctor(&[], settings(&closed)).await;
    assert_eq!(code, 69, "{out}");
    assert!(out.contains("FAILED   connect") && out.contains("ok       dns"), "{out}");
    let (code, out, said) = doctor(&["--json"], vec![("PROVIDER".into(), "sendgird".into())]).await;
    assert_eq!(code, 78, "{said}");
    let whole: Value = serde_json::from_str(&out).unwrap();
    assert!(whole["stage"] == "config" && said.contains("Did you mean sendgrid?"), "{out} {said}");
}

/// Two who ask at once cause one look, and a third soon after none.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_sidecar_is_asked_and_not_hammered() {
    let provider = Provider::start(good().always(Step::Auth, Action::reply(535, "5.7.8 No")));
    let given = settings(&provider);
    let pairs: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let sidecar = Sidecar::start(&[&pairs[..], &[("API_TOKEN", "first, second"), ("PROBE_INTERVAL", "off")]].concat());
    let door = [("HTTP_LISTEN".to_owned(), sidecar.http.to_string()), ("API_TOKEN".to_owned(), "second".to_owned())];
    let with_door: Vec<_> = given.iter().cloned().chain(door.clone()).collect();
    let (one, two) = tokio::join!(doctor(&[], with_door.clone()), doctor(&[], with_door.clone()));
    for (code, out, _) in [one, two, doctor(&[], with_door).await] {
        assert_eq!(code, 77, "{out}");
        assert!(out.contains(&format!("asked the sidecar at {}", sidecar.http)), "{out}");
    }
    assert_eq!(provider.ledger.counts().auths, 1);
    let wrong = given.into_iter().chain([door[0].clone(), ("API_TOKEN".to_owned(), "third".to_owned())]).collect();
    let (code, _, said) = doctor(&[], wrong).await;
    assert!(code == 70 && said.contains("401"), "{code} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_finds_a_server_by_its_name() {
    let sidecar = Sidecar::start(&[]);
    let sent = async |server: String| {
        let arguments = ["send", "--to=b@example.org", "--from=a@example.com", "--text=x"].map(str::to_owned);
        tokio::task::spawn_blocking(move || {
            let server = format!("--server={server}");
            run(&arguments.iter().chain([&server]).map(String::as_str).collect::<Vec<_>>(), &[], "")
        })
        .await
        .unwrap()
    };
    let (code, out, err) = sent(format!("localhost:{}", sidecar.http.port())).await;
    assert!(code == 0 && out.contains("\"sent\""), "{code} {out} {err}");
    let (code, _, err) = sent("nobody.invalid:8025".to_owned()).await;
    assert!(code == 75 && err.contains("nobody.invalid:8025: "), "{code} {err}");
    for bad in ["localhost", "localhost:", "localhost:99999", "localhost:0"] {
        let (code, _, err) = sent(bad.to_owned()).await;
        assert!(code == 64 && err.contains("--server wants a host with its port"), "{bad}: {code} {err}");
    }
}
