use super::super::Kind::Nullmailer;
use super::super::tests::{imported, tried};

#[test]
fn a_folder_of_files() {
    let found = imported(
        Nullmailer,
        &[
            (
                "/etc/nullmailer/remotes",
                "# relay\nsmtp.sendgrid.net smtp --port=587 --starttls --user=apikey --pass='SG.a b'\n",
            ),
            ("/etc/nullmailer/me", "web1.shop.example\n"),
            ("/etc/nullmailer/adminaddr", "ops@shop.example\n"),
            ("/etc/nullmailer/allmailfrom", "shop@shop.example\n"),
            ("/etc/nullmailer/defaultdomain", "shop.example\n"),
        ],
    );
    let wanted = [
        "PROVIDER=sendgrid",
        "API_KEY=SG.a b",
        "HELO_NAME=web1.shop.example",
        "FROM=shop@shop.example",
        "FROM_MODE=force",
        "LOCAL_RECIPIENT=ops@shop.example",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["SG.a", "plain text"]);
    found.says(&["/etc/nullmailer/defaultdomain line 1: completes addresses"]);
}

#[test]
fn options_with_and_without_dashes() {
    for (line, wanted) in [
        ("mail.test", &["HOST=mail.test", "PORT=25"][..]),
        ("mail.test smtp tls", &["HOST=mail.test", "PORT=465"]),
        ("[192.0.2.1] smtp ssl port=4650", &["HOST=192.0.2.1", "PORT=4650", "TLS=implicit"]),
        (
            "mail.test smtp port=587 starttls user=joe pass=\"a \\\" b\" auth-login",
            &["HOST=mail.test", "PORT=587", "USERNAME=joe", "PASSWORD=a \" b", "AUTH=login"],
        ),
        (
            "mail.test smtp --port=submission --user='j o' --pass=x\\ y",
            &["HOST=mail.test", "PORT=587", "USERNAME=j o", "PASSWORD=x y"],
        ),
    ] {
        assert_eq!(imported(Nullmailer, &[("remotes", line)]).working()[1..], *wanted, "{line}");
    }
}

#[test]
fn what_has_no_equivalent_is_said() {
    let odd = "mail.test smtp port=587 starttls insecure x509certfile=/c.pem source=eth0 user=joe more\nother.test\n";
    let found = imported(Nullmailer, &[("remotes", odd)]);
    found.says(&[
        "remotes line 1: so far the server's certificate was not checked",
        "remotes line 1: x509certfile",
        "remotes line 1: source",
        "remotes line 1: user= and pass= belong together",
        "not known here ... (not a name) (line 1)",
        "remotes line 2: a further server",
    ]);
    imported(Nullmailer, &[("remotes", "# none\n")]).says(&["remotes: no server in it"]);
    assert_eq!(
        tried(Nullmailer, &[("remotes", "a pass='x\n")]).unwrap_err(),
        "remotes line 1: a quotation mark is not closed"
    );
    assert_eq!(tried(Nullmailer, &[("remotes", "a port=x\n")]).unwrap_err(), "remotes line 1: port: not a port");
    assert!(tried(Nullmailer, &[("me", "a.test\n")]).unwrap_err().contains("no `remotes`"));
}
