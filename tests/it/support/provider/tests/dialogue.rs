//! A good server and a true ledger.

use super::*;

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let (provider, mut client) = meet(Script::new()).await;
    client.ask("MAIL FROM:<a@sender.test> SIZE=60 BODY=8BITMIME", "250").await;
    client.ask("RCPT TO:<b@recipient.test>", "250").await;
    client.ask("RCPT TO:<c@recipient.test> NOTIFY=NEVER", "250").await;
    client.ask("DATA", "354").await;
    client.ask("Message-ID:\r\n <1@sender.test>\r\n\r\n..dot\r\n...\r\n.", "250 2.0.0 Ok: queued as ").await;
    client.ask("QUIT", "221").await;
    assert_eq!(client.pieces().await, (vec![], None));

    let message = provider.ledger.only();
    assert_eq!((message.sender.as_str(), message.parameters.as_str()), ("a@sender.test", "SIZE=60 BODY=8BITMIME"));
    assert_eq!(message.recipients, ["b@recipient.test", "c@recipient.test"]);
    assert_eq!(message.bytes, b"Message-ID:\r\n <1@sender.test>\r\n\r\n.dot\r\n..\r\n");
    assert_eq!((message.length, message.digest), (message.bytes.len(), digest(&message.bytes)));
    assert_eq!(provider.ledger.copies(), [("1@sender.test".to_string(), 1)].into());
    assert!(provider.ledger.wait_until(SOON, |counts| counts.open == 0).await);
    assert_eq!(provider.ledger.connections()[0].ended, Some(End::Quit));
    let counts = provider.ledger.counts();
    assert_eq!((counts.hellos, counts.mails, counts.rcpts, counts.datas, counts.quits), (1, 1, 2, 1, 1));
    assert_eq!((counts.nonsense, counts.talked_early, counts.bare_newlines), (0, 0, 0));
}

#[tokio::test]
async fn pipelined_commands_are_one_flight_and_their_replies_one_write() {
    let (provider, mut client) = meet(Script::new()).await;
    client.send(format!("{ENVELOPE}DATA\r\n")).await;
    let replies = client.piece().await.unwrap();
    assert_eq!(replies.split(|&byte| byte == b'\n').count(), 4, "{:?}", String::from_utf8_lossy(&replies));
    client.ask("Subject: x\r\n\r\nx\r\n.", "250").await;
    client.ask("QUIT", "221").await;
    assert_eq!(provider.ledger.flights(0), [vec!["EHLO"], vec!["MAIL", "RCPT", "DATA"], vec!["QUIT"]]);
    assert!(provider.ledger.commands()[1].behind > 0);
    let flights = provider.ledger.commands().iter().map(|command| command.flight).collect::<Vec<_>>();
    assert_eq!(flights, [1, 2, 2, 2, 4]);
    assert_eq!(provider.ledger.only().flight, 3);
}

#[tokio::test]
async fn flights_are_told_apart_without_pipelining() {
    let (provider, mut client) = meet(Script::new().without("PIPELINING")).await;
    for line in ENVELOPE.lines() {
        client.ask(line, "250").await;
    }
    client.ask("DATA", "354").await;
    assert_eq!(provider.ledger.flights(0), [["EHLO"], ["MAIL"], ["RCPT"], ["DATA"]]);
}

#[tokio::test]
async fn chunks_need_one_flight() {
    let (provider, mut client) = meet(Script::new()).await;
    client.send(format!("{ENVELOPE}BDAT 6 LAST\r\n.\r\n..\r")).await;
    for _ in 0..3 {
        client.expect("250").await;
    }
    let message = provider.ledger.only();
    assert_eq!((message.bytes.as_slice(), message.chunked, message.flight), (&b".\r\n..\r"[..], true, 2));
    assert!(message.has_bare_newline());
}

#[tokio::test]
async fn a_chunk_that_comes_late_belongs_to_its_flight() {
    let (provider, mut client) = meet(Script::new()).await;
    client.send(format!("{ENVELOPE}BDAT 4\r\n")).await;
    client.expect("250").await;
    client.send("ab").await;
    tokio::time::sleep(MOMENT).await;
    client.send("cdBDAT 0 LAST\r\n").await;
    for _ in 0..3 {
        client.expect("250").await;
    }
    assert_eq!(provider.ledger.only().bytes, b"abcd");
    assert_eq!(provider.ledger.counts().chunks, 2);
}

#[tokio::test]
async fn what_is_cut_before_its_end_is_not_held() {
    let (provider, mut client) = meet(Script::new()).await;
    client.send(format!("{ENVELOPE}DATA\r\n")).await;
    client.send("Message-ID: <cut@sender.test>\r\n\r\nhalf\r\n").await;
    drop(client);
    assert!(provider.ledger.wait_until(SOON, |counts| counts.incomplete == 1 && counts.open == 0).await);
    assert_eq!(provider.ledger.held().len(), 0);
    assert_eq!(provider.ledger.incomplete()[0].message_id.as_deref(), Some("cut@sender.test"));
    assert_eq!(provider.ledger.connections()[0].ended, Some(End::Client));
}

#[tokio::test]
async fn a_good_server_is_strict() {
    let wrong = [
        ("RCPT TO:<b@recipient.test>", "503"),
        ("DATA", "503"),
        ("BDAT 0 LAST", "503"),
        ("MAIL FROM:a@sender.test", "501"),
        ("MAIL FROM:<a@sender.test> AUTH=<>", "555"),
        ("MAIL FROM:<a@sender.test> SIZE=99999999", "552"),
        ("MAIL FROM:<ä@sender.test>", "553"),
        ("BDAT many", "501"),
        ("STARTTLS", "502"),
        ("AUTH PLAIN AGEAYg==", "502"),
        ("GET / HTTP/1.1", "500"),
    ];
    let (provider, mut client) = meet(Script::new()).await;
    for (line, code) in wrong {
        client.ask(line, code).await;
    }
    client.ask("MAIL FROM:<ä@sender.test> SMTPUTF8", "250").await;
    client.ask("MAIL FROM:<a@sender.test>", "503").await;
    client.ask("DATA", "554").await;
    client.ask("RSET", "250").await;
    client.ask("NOOP\n", "250").await;
    let counts = provider.ledger.counts();
    assert_eq!((counts.nonsense, counts.rsets, counts.bare_newlines), (2, 1, 1));
}

#[tokio::test]
async fn what_is_not_offered_is_not_taken() {
    let provider = Provider::start(Script::new().extensions(&["PIPELINING"]));
    let mut client = Client::connect(provider.addr).await;
    client.expect("220").await;
    assert_eq!(client.ask("EHLO c", "250").await, "250-provider.test at your service\r\n250 PIPELINING\r\n");
    for parameter in ["SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS"] {
        client.ask(&format!("MAIL FROM:<a@sender.test> {parameter}"), "555").await;
    }
    client.ask("BDAT 1 LAST", "502").await;
}

#[tokio::test]
async fn a_provider_can_go_and_come_back_with_its_books() {
    let (provider, mut client) = meet(Script::new()).await;
    assert!(client.mail("1@sender.test").await.starts_with("250"));
    let (addr, ledger) = (provider.addr, provider.ledger.clone());
    provider.stop().await;
    assert_eq!(ledger.connections()[0].ended, Some(End::Stopped));
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    let _again = Provider::start_at(addr, Script::new(), ledger.clone());
    assert!(Client::greeted(addr).await.mail("2@sender.test").await.starts_with("250"));
    assert_eq!((ledger.counts().held, ledger.counts().connections, ledger.counts().most_open), (2, 2, 1));
}

#[tokio::test]
async fn a_script_can_change_under_an_open_connection() {
    let (provider, mut client) = meet(Script::new()).await;
    provider.change(Script::new().always(Step::Mail, Action::reply(451, "4.3.0 Not now")));
    client.ask("MAIL FROM:<a@sender.test>", "451").await;
    provider.change(Script::new());
    assert!(client.mail("1@sender.test").await.starts_with("250"));
}

#[test]
fn nothing_is_left_when_it_is_dropped() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (provider, mut client) = meet(Script::new().on(Step::Mail, Action::freeze())).await;
        client.send("MAIL FROM:<a@sender.test>\r\n").await;
        let ledger = provider.ledger.clone();
        drop(provider);
        assert!(ledger.wait_until(SOON, |counts| counts.open == 0).await);
        tokio::task::yield_now().await;
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_no_bottleneck() {
    const CLIENTS: usize = 20;
    const EACH: usize = 200;
    let provider = Provider::start(Script::new().keep(Keep::Summary));
    let began = std::time::Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let addr = provider.addr;
        clients.spawn(async move {
            let mut client = Client::greeted(addr).await;
            for message in 0..EACH {
                let content = format!("Message-ID: <{number}.{message}@sender.test>\r\n\r\n{}", "x".repeat(4096));
                client.send(format!("{ENVELOPE}BDAT {} LAST\r\n{content}", content.len())).await;
                for _ in 0..3 {
                    client.expect("250").await;
                }
            }
        });
    }
    clients.join_all().await;
    let rate = (CLIENTS * EACH) as f64 / began.elapsed().as_secs_f64();
    assert_eq!(provider.ledger.copies().len(), CLIENTS * EACH);
    assert_eq!(provider.ledger.counts().most_open, CLIENTS);
    assert!(rate > 500.0, "{rate:.0} messages per second");
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_arrive_byte_for_byte() {
    let content = "..0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 012\r\n".repeat(100_000);
    let stuffed = content.replace("..0", "...0");
    for wire in [format!("DATA\r\n{stuffed}.\r\n"), format!("BDAT {} LAST\r\n{content}", content.len())] {
        let (provider, mut client) = meet(Script::new()).await;
        client.send(format!("{ENVELOPE}{wire}")).await;
        assert!(provider.ledger.wait_for(1, SOON).await);
        assert!(provider.ledger.only().bytes == content.as_bytes(), "the content changed");
    }
}
