//! TLS: right, wrong, and tampered with.

use std::io::ErrorKind;

use tokio_rustls::TlsConnector;

use super::*;
use crate::support::certificates::Certificate;

async fn after_starttls(script: Script) -> (Provider, Client) {
    let (provider, mut client) = meet(script).await;
    client.ask("STARTTLS", "220").await;
    (provider, client)
}

#[tokio::test]
async fn starttls_then_login_then_mail() {
    let (provider, mut client) = meet(Script::secure()).await;
    assert!(!client.ask("EHLO c", "250").await.contains("AUTH"));
    client.ask("MAIL FROM:<a@sender.test>", "530 5.7.0 Must issue").await;
    client.ask("STARTTLS", "220").await;
    let mut client = client.secure().await.unwrap();
    let offer = client.ask("EHLO c", "250").await;
    assert!(offer.contains("AUTH PLAIN LOGIN") && !offer.contains("STARTTLS"), "{offer}");
    client.ask("MAIL FROM:<a@sender.test>", "530 5.7.0 Authentication").await;
    client.ask("STARTTLS", "502").await;
    let login = "AUTH PLAIN AHVzZXJAc2lkZXBvc3QudGVzdABjb3JyZWN0IGhvcnNlICMgJGJhdHRlcnk=";
    client.ask(login, "235").await;
    assert!(client.mail("1@sender.test").await.starts_with("250"));
    client.ask("QUIT", "221").await;
    assert_eq!(client.pieces().await, (vec![], None), "close_notify is missing");

    assert_eq!(provider.ledger.only().user.as_deref(), Some(USER));
    assert!(provider.ledger.logins()[0].tls && !provider.ledger.auth_in_clear());
    let tls = provider.ledger.connections()[0].tls.clone();
    let server_name = Some("localhost".to_string());
    assert_eq!(tls, TlsState::Secured { version: "TLSv1_3".into(), server_name, resumed: false });
    assert!(provider.ledger.commands().iter().any(|command| command.line.starts_with("MAIL") && command.tls));
}

#[tokio::test]
async fn implicit_tls_resumes() {
    for script in [Script::new(), Script::new().tls12_only()] {
        let provider = Provider::start(script.implicit_tls(Certificate::Good));
        let connector = TlsConnector::from(Certificates::new().client());
        for number in 0..2 {
            let client = Client::connect(provider.addr).await;
            let mut client = client.secure_with(connector.clone()).await.unwrap();
            client.expect("220").await;
            client.ask("EHLO c", "250").await;
            assert!(client.mail(&format!("{number}@sender.test")).await.starts_with("250"));
        }
        assert_eq!((provider.ledger.counts().handshakes, provider.ledger.counts().resumptions), (2, 1));
    }
}

#[tokio::test]
async fn a_refused_certificate_is_in_the_books() {
    let (provider, client) = after_starttls(Script::secure().starttls(Certificate::Expired)).await;
    assert!(client.secure().await.is_err());
    assert!(provider.ledger.wait_until(SOON, |counts| counts.failed_handshakes == 1).await);
    let TlsState::Failed(why) = provider.ledger.connections()[0].tls.clone() else { panic!("not failed") };
    assert!(why.contains("CertificateExpired"), "{why}");
}

#[tokio::test]
async fn a_server_without_starttls_tempts() {
    let (provider, mut client) = meet(Script::secure().without("STARTTLS")).await;
    let offer = client.ask("EHLO c", "250").await;
    assert!(offer.contains("AUTH PLAIN LOGIN") && !offer.contains("STARTTLS"), "{offer}");
    client.ask("STARTTLS", "502").await;
    client.ask("AUTH PLAIN AGEAYg==", "535").await;
    assert!(provider.ledger.auth_in_clear());
}

#[tokio::test]
async fn auth_can_be_offered_too_early() {
    let (_provider, mut client) = meet(Script::secure().auth_before_tls()).await;
    assert!(client.ask("EHLO c", "250").await.contains("AUTH PLAIN LOGIN"));
    client.ask("AUTH PLAIN AGEAYg==", "535").await;
}

#[tokio::test]
async fn starttls_refused() {
    for (code, text) in [(454, "4.7.0 TLS not available"), (501, "5.5.4 Syntax error"), (502, "5.5.1 No")] {
        let (_provider, mut client) = meet(Script::secure().on(Step::StartTls, Action::reply(code, text))).await;
        client.ask("STARTTLS", &format!("{code} {text}")).await;
        client.ask("NOOP", "250").await;
    }
}

#[tokio::test]
async fn handshakes_that_fail() {
    let at_handshake = |action| Script::secure().on(Step::Handshake, action);
    let (_provider, client) = after_starttls(at_handshake(Action::close())).await;
    assert_eq!(client.secure().await.err().unwrap().kind(), ErrorKind::UnexpectedEof);
    let (_provider, client) = after_starttls(at_handshake(Action::reset())).await;
    assert_eq!(client.secure().await.err().unwrap().kind(), ErrorKind::ConnectionReset);
    let (_provider, client) = after_starttls(at_handshake(Action::garbage())).await;
    assert_eq!(client.secure().await.err().unwrap().kind(), ErrorKind::InvalidData);
    let (_provider, client) = after_starttls(at_handshake(Action::tls_alert())).await;
    assert!(client.secure().await.err().unwrap().to_string().contains("UnexpectedMessage"));
    let (_provider, client) = after_starttls(at_handshake(Action::tls10())).await;
    let error = client.secure().await.err().unwrap().to_string();
    assert!(error.contains("TLS 1.2 or 1.3") || error.contains("version") || error.contains("Tls12"), "{error}");
    let (_provider, client) = after_starttls(at_handshake(Action::stall())).await;
    assert!(tokio::time::timeout(MOMENT, client.secure()).await.is_err());
}

#[tokio::test]
async fn closed_instead_of_a_handshake() {
    let bye = Action::reply(220, "2.0.0 Ready to start TLS").then_close();
    let (_provider, mut client) = after_starttls(Script::secure().on(Step::StartTls, bye)).await;
    assert_eq!(client.pieces().await, (vec![], None));
}

#[tokio::test]
async fn plain_text_behind_the_220() {
    let injections = [
        (Injection::Reply, "250-provider.test\r\n250 HELP\r\n"),
        (Injection::Mechanisms, "250-provider.test\r\n250 AUTH PLAIN LOGIN\r\n"),
        (Injection::MechanismsOutOfNowhere, "250-provider.test\r\n250 AUTH PLAIN LOGIN\r\n"),
        (Injection::HalfALine, "250-provider.test"),
    ];
    for (injection, words) in injections {
        let (_provider, mut client) = meet(Script::secure().inject_after_starttls(injection)).await;
        client.send("STARTTLS\r\n").await;
        let piece = client.piece().await.unwrap();
        assert_eq!(String::from_utf8(piece).unwrap(), format!("220 2.0.0 Ready to start TLS\r\n{words}"));
        // Somebody who does not notice is served on.
        let mut client = client.secure().await.unwrap();
        let offer = client.ask("EHLO c", "250").await;
        assert_eq!(offer.contains("AUTH"), injection != Injection::MechanismsOutOfNowhere);
    }
}

#[tokio::test]
async fn commands_before_the_handshake_are_thrown_away_and_noted() {
    let (provider, mut client) = meet(Script::secure()).await;
    client.send("STARTTLS\r\nMAIL FROM:<a@sender.test>\r\n").await;
    client.expect("220").await;
    let mut client = client.secure().await.unwrap();
    client.ask("EHLO c", "250").await;
    assert_eq!((provider.ledger.counts().talked_early, provider.ledger.counts().mails), (1, 0));
}

#[tokio::test]
async fn the_two_hellos_are_told_apart() {
    let (_provider, client) =
        after_starttls(Script::secure().on(Step::EhloAfterTls, Action::reply(421, "4.3.0 No"))).await;
    client.secure().await.unwrap().ask("EHLO c", "421").await;
}
