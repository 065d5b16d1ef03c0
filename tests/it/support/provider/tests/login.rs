//! AUTH in every form, right and wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const TOKEN: &str = "ya29.token";

fn script() -> Script {
    Script::new().login(USER, PASSWORD).token(USER, TOKEN)
}

fn encoded(text: String) -> String {
    STANDARD.encode(text)
}

fn plain(password: &str) -> String {
    encoded(format!("\0{USER}\0{password}"))
}

fn xoauth2(token: &str) -> String {
    encoded(format!("user={USER}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

fn oauthbearer(token: &str) -> String {
    encoded(format!("n,a={USER},\u{1}host=localhost\u{1}port=587\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

/// Lines to say, each with the code to hear.
async fn talk(client: &mut Client, lines: &[(String, &str)]) {
    for (line, code) in lines {
        client.ask(line, code).await;
    }
}

#[tokio::test]
async fn every_mechanism_lets_the_right_one_in_and_nobody_else() {
    let user = encoded(USER.into());
    let passwords = [(PASSWORD, TOKEN, "235"), ("wrong", "stale", "535")];
    for (password, token, end) in passwords {
        let challenged = if end == "535" { "334" } else { "235" };
        let mut dialogues = vec![
            vec![(format!("AUTH PLAIN {}", plain(password)), end)],
            vec![("AUTH PLAIN".into(), "334 "), (plain(password), end)],
            vec![("AUTH LOGIN".into(), "334 VXNl"), (user.clone(), "334 UGFz"), (encoded(password.into()), end)],
            vec![(format!("AUTH LOGIN {user}"), "334 UGFz"), (encoded(password.into()), end)],
            vec![(format!("AUTH XOAUTH2 {}", xoauth2(token)), challenged)],
            vec![(format!("AUTH OAUTHBEARER {}", oauthbearer(token)), challenged)],
        ];
        if end == "535" {
            dialogues[4].push((String::new(), end));
            dialogues[5].push(("AQ==".into(), end));
        }
        for lines in dialogues {
            let (provider, mut client) = meet(script()).await;
            talk(&mut client, &lines).await;
            client.ask("MAIL FROM:<a@sender.test>", if end == "235" { "250" } else { "530" }).await;
            let login = provider.ledger.logins().remove(0);
            assert_eq!((login.user.as_str(), login.accepted, login.tls), (USER, end == "235", false), "{lines:?}");
            assert!(provider.ledger.auth_in_clear());
        }
    }
}

#[tokio::test]
async fn the_token_challenge_says_why() {
    let (_provider, mut client) = meet(script()).await;
    let challenge = client.ask(&format!("AUTH XOAUTH2 {}", xoauth2("stale")), "334").await;
    let json = STANDARD.decode(challenge[4..].trim_end()).unwrap();
    assert!(json.starts_with(br#"{"status":"401""#));
}

#[tokio::test]
async fn a_good_server_is_strict_about_logins() {
    let (provider, mut client) = meet(script()).await;
    client.ask("AUTH GSSAPI", "504").await;
    client.ask("AUTH PLAIN !", "501").await;
    client.ask(&format!("AUTH PLAIN {}", plain(PASSWORD)), "235").await;
    client.ask(&format!("AUTH PLAIN {}", plain(PASSWORD)), "503").await;
    assert_eq!((provider.ledger.counts().auths, provider.ledger.counts().logins), (4, 1));
}

#[tokio::test]
async fn what_is_offered_can_be_odd_or_nothing() {
    let (_provider, mut client) = meet(script().mechanisms(&["CRAM-MD5", "NTLM"])).await;
    assert!(client.ask("EHLO c", "250").await.contains("250 AUTH CRAM-MD5 NTLM\r\n"));
    client.ask("AUTH CRAM-MD5", "334").await;
    client.ask("eA==", "535").await;
    let (_provider, mut client) = meet(script().mechanisms(&[])).await;
    assert!(!client.ask("EHLO c", "250").await.contains("AUTH"));
    client.ask("AUTH PLAIN AGEAYg==", "502").await;
    client.ask("MAIL FROM:<a@sender.test>", "530").await;
}

#[tokio::test]
async fn scripted_answers() {
    let bad = Action::reply(535, "5.7.8 Bad credentials");
    let script = script().on(Step::Auth, bad).on(Step::Auth, Action::reply(454, "4.7.0 Too many logins"));
    let (provider, mut client) = meet(script.on(Step::Auth, Action::goodbye())).await;
    let line = format!("AUTH PLAIN {}", plain(PASSWORD));
    for code in ["535 5.7.8 Bad", "454", "421"] {
        client.ask(&line, code).await;
    }
    assert_eq!(client.pieces().await, (vec![], None));
    assert_eq!(provider.ledger.logins().iter().filter(|login| !login.accepted).count(), 3);
}

#[tokio::test]
async fn a_login_that_is_good_after_a_refresh() {
    let (_provider, mut client) = meet(script().on(Step::Auth, Action::reply(535, "5.7.8 Expired"))).await;
    let line = format!("AUTH XOAUTH2 {}", xoauth2(TOKEN));
    client.ask(&line, "535").await;
    client.ask(&line, "235").await;
}

#[tokio::test]
async fn a_slow_login_is_still_checked() {
    let script = script().always(Step::Auth, Action::good().after(MOMENT));
    let (_provider, mut client) = meet(script).await;
    let began = std::time::Instant::now();
    client.ask(&format!("AUTH PLAIN {}", plain("wrong")), "535").await;
    assert!(began.elapsed() >= MOMENT);
}

#[tokio::test]
async fn challenges_without_end() {
    let (provider, mut client) = meet(script().endless_challenges()).await;
    client.ask("AUTH LOGIN", "334").await;
    for _ in 0..50 {
        client.ask("", "334").await;
    }
    assert_eq!(provider.ledger.counts().auth_answers, 50);
    let (_provider, mut client) = meet(script().on(Step::AuthAnswer, Action::stall())).await;
    client.ask("AUTH LOGIN", "334").await;
    client.send("eA==\r\n").await;
    assert!(client.hears_nothing(MOMENT).await);
}
