//! What a provider puts up with.

use super::*;

#[tokio::test]
async fn the_size_that_was_offered_holds() {
    let (provider, mut client) = meet(Script::new().with("SIZE 50")).await;
    client.ask("MAIL FROM:<a@sender.test> SIZE=51", "552").await;
    assert!(client.mail("a-message-id-that-is-far-too-long@sender.test").await.starts_with("552"));
    assert!(client.mail("1@sender.test").await.starts_with("250"));
    assert_eq!((provider.ledger.counts().held, provider.ledger.counts().refused), (1, 1));
}

#[tokio::test]
async fn too_many_recipients() {
    let (provider, mut client) = meet(Script::new().most_recipients(1)).await;
    client.send(format!("{ENVELOPE}RCPT TO:<c@recipient.test>\r\nBDAT 0 LAST\r\n")).await;
    for code in ["250", "250", "452 4.5.3", "250"] {
        client.expect(code).await;
    }
    assert_eq!(provider.ledger.only().recipients, ["b@recipient.test"]);
}

#[tokio::test]
async fn too_many_connections() {
    let (provider, client) = meet(Script::new().most_connections(1)).await;
    Client::connect(provider.addr).await.expect("421 4.7.0").await;
    drop(client);
    assert!(provider.ledger.wait_until(SOON, |counts| counts.open == 0).await);
    Client::connect(provider.addr).await.expect("220").await;
}

#[tokio::test]
async fn too_many_messages() {
    let (provider, mut client) = meet(Script::new().messages_per_connection(1)).await;
    assert!(client.mail("1@sender.test").await.starts_with("250"));
    client.ask("MAIL FROM:<a@sender.test>", "421").await;
    assert_eq!(client.pieces().await, (vec![], None));
    assert!(provider.ledger.wait_until(SOON, |counts| counts.open == 0).await);
    assert_eq!(provider.ledger.connections()[0].ended, Some(End::Provider));
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let (_provider, mut client) = meet(Script::new().idle(MOMENT, Action::close())).await;
    assert_eq!(client.pieces().await, (vec![], None));
    let (_provider, mut client) = meet(Script::new().idle(MOMENT, Action::goodbye())).await;
    client.expect("421").await;
    assert_eq!(client.pieces().await, (vec![], None));
    let (_provider, mut client) = meet(Script::new().idle_after(MOMENT).on(Step::Idle, Action::reset())).await;
    assert_eq!(client.pieces().await.1, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn an_open_transaction_is_not_idle() {
    let (_provider, mut client) = meet(Script::new().idle(MOMENT, Action::close())).await;
    client.ask("MAIL FROM:<a@sender.test>", "250").await;
    assert!(client.hears_nothing(MOMENT * 3).await);
}

#[tokio::test]
async fn latency_is_felt_once_per_flight() {
    let wait = Duration::from_millis(20);
    let (_provider, mut client) = meet(Script::new().latency(wait, wait)).await;
    let began = std::time::Instant::now();
    assert!(client.mail("1@sender.test").await.starts_with("250"));
    let elapsed = began.elapsed();
    assert!((wait * 4..wait * 8).contains(&elapsed), "{elapsed:?} for two round trips");
}

#[tokio::test]
async fn a_slow_reader() {
    let (provider, mut client) = meet(Script::new().reads_slowly(20_000)).await;
    client.send(format!("{ENVELOPE}DATA\r\n")).await;
    let began = std::time::Instant::now();
    client.send(vec![b'x'; 10_000]).await;
    client.send("\r\n.\r\n").await;
    assert!(provider.ledger.wait_for(1, SOON).await);
    let elapsed = began.elapsed();
    assert!((400..3_000).contains(&elapsed.as_millis()), "{elapsed:?}");
    assert_eq!(provider.ledger.only().length, 10_002);
}

#[tokio::test]
async fn a_commit_takes_its_time_even_if_nobody_waits() {
    let (provider, mut client) = meet(Script::new().commit_delay(MOMENT)).await;
    client.send(format!("{ENVELOPE}BDAT 0 LAST\r\n")).await;
    client.expect("250").await;
    assert_eq!(provider.ledger.counts().held, 0);
    drop(client);
    assert!(provider.ledger.wait_for(1, SOON).await);
}
