use super::super::Kind::Postfix;
use super::super::tests::{imported, tried};

const GMAIL: &str = "\
# See /usr/share/postfix/main.cf.dist
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
myhostname = web1.$mydomain
mydomain = shop.example
relay_port = 587
relayhost = [smtp.gmail.com]:$relay_port
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps =
    hash:/etc/postfix/sasl_passwd
# tls
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = encrypt
smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt
message_size_limit = 20480000
";
const APP_PASSWORD: &str = "[smtp.gmail.com]:587 shop@gmail.com:abcdefghijklmnop\n";

#[test]
fn gmail_as_everybody_sets_it_up() {
    let files = [("/etc/postfix/main.cf", GMAIL), ("/etc/postfix/sasl_passwd", APP_PASSWORD)];
    let found = imported(Postfix, &files);
    let wanted = [
        "PROVIDER=gmail",
        "USERNAME=shop@gmail.com",
        "PASSWORD=abcdefghijklmnop",
        "HELO_NAME=web1.shop.example",
        "MAX_MESSAGE_BYTES=20480000",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["abcdefgh", "relay_port", "not carried over:", "app password"]);
    let (variables, report) = found.shown();
    assert!(variables.contains("# /etc/postfix/sasl_passwd line 1\nSIDEPOST_USERNAME=shop@gmail.com\n"), "{variables}");
    assert!(report.contains("smtpd_banner (how mail is taken in"), "{report}");
}

#[test]
fn keys_that_postfix_does_not_find() {
    let with = |relay: &str, table: &str| {
        let main = format!(
            "relayhost = {relay}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:sasl_passwd\n"
        );
        imported(Postfix, &[("main.cf", &main), ("sasl_passwd", table)])
    };
    let wanted = ["PROVIDER=sendgrid", "API_KEY=SG.a:b"];
    for (relay, key) in [
        ("[smtp.sendgrid.net]:587", "[smtp.sendgrid.net]"),
        ("[smtp.sendgrid.net]:587", "smtp.sendgrid.net:587"),
        ("[smtp.sendgrid.net]:submission", "[smtp.sendgrid.net]:587"),
        ("smtp.sendgrid.net:587", "[smtp.sendgrid.net]:587"),
    ] {
        let found = with(relay, &format!("{key}\tapikey:SG.a:b\n"));
        assert_eq!(found.working(), wanted, "{relay} {key}");
        found.says(&[&format!(
            "sasl_passwd line 1: the key `{key}` is not what relayhost says, `{relay}`: brackets and port"
        )]);
    }
    for key in ["[smtp.sendgrid.net]:587", "smtp.sendgrid.net", "SMTP.sendgrid.NET", "\"smtp.sendgrid.net\""] {
        let found = with("[smtp.sendgrid.net]:587", &format!("# mine\n{key}\n   apikey:SG.a:b\n"));
        assert_eq!(found.working(), wanted, "{key}");
        found.is_silent_about(&["is not what relayhost"]);
    }
    let other = with("[smtp.sendgrid.net]:587", "[smtp.gmail.com]:587 joe:hunter2\n");
    other
        .says(&["sasl_passwd line 1: no entry is for the relay `[smtp.sendgrid.net]:587`", "SIDEPOST_API_KEY: needed"]);
    other.is_silent_about(&["hunter2"]);
    with("[a.test]", "a.test joe\n").says(&["sasl_passwd line 1: not of the form `user:password`"]);
    let two = with("[a.test]", "a.test joe:x\njoe@b.test ann:y\n@c.test z:z\n");
    two.says(&["main.cf line 1: smtp_sasl_password_maps: Sidepost has one login ... (2)"]);
}

#[test]
fn levels_of_tls() {
    let with = |more: &str| imported(Postfix, &[("main.cf", &format!("relayhost = [mail.test]:587\n{more}"))]);
    let starttls = ["PROVIDER=smtp", "HOST=mail.test", "PORT=587"];
    for (more, said) in [
        ("", "main.cf: so far mail, and a password with it, went in plain text"),
        ("smtp_tls_security_level = none\n", "main.cf line 2: so far mail, and a password with it, went in plain text"),
        (
            "smtp_tls_security_level = may\n",
            "main.cf line 2: so far mail went in plain text wherever the server offered no TLS",
        ),
        ("smtp_use_tls = yes\n", "main.cf line 2: so far mail went in plain text wherever"),
        ("smtp_enforce_tls = yes\n", "main.cf line 2: so far the server's certificate was not checked"),
        ("smtp_tls_security_level = encrypt\n", "main.cf line 2: so far the server's certificate was not checked"),
        ("smtp_tls_security_level = sure\n", "main.cf line 2: smtp_tls_security_level: there is no level sure"),
    ] {
        let found = with(more);
        assert_eq!(found.working(), starttls, "{more}");
        found.says(&[said]);
    }
    for fine in ["verify", "secure", "dane", "fingerprint"] {
        let found = with(&format!("smtp_tls_security_level = {fine}\n"));
        found.is_silent_about(&["plain text", "not checked"]);
    }
    let wrapped = imported(
        Postfix,
        &[("main.cf", "relayhost = [mail.test]:465\nsmtp_tls_wrappermode = yes\nsmtp_tls_security_level = may\n")],
    );
    assert_eq!(wrapped.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=465"]);
    wrapped.says(&["main.cf line 3: smtp_tls_wrappermode wants the level `encrypt` or above"]);
    let odd = imported(Postfix, &[("main.cf", "relayhost = [mail.test]:4650\nsmtp_tls_wrappermode = yes\n")]);
    assert_eq!(odd.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=4650", "TLS=implicit"]);
    let unwrapped =
        imported(Postfix, &[("main.cf", "relayhost = [mail.test]:465\nsmtp_tls_security_level = verify\n")]);
    unwrapped.says(&["main.cf line 1: TLS begins from the first byte on port 465"]);
    let master = "smtp unix - - y - - smtp\n  -o smtp_tls_wrappermode=yes -o syslog_name=postfix/$service_name\n\
                  relay unix - - y - - smtp\nsmtps unix - - y - - smtp -o smtp_tls_wrappermode=yes\nbad line\n";
    let by_master = imported(
        Postfix,
        &[("main.cf", "relayhost = [mail.test]:465\nsmtp_tls_security_level = encrypt\n"), ("master.cf", master)],
    );
    assert_eq!(by_master.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=465"]);
    by_master.is_silent_about(&["from the first byte on port"]);
    by_master
        .says(&["master.cf line 4: the transport smtps speaks TLS", "master.cf line 5: not of the form of a service"]);
}

#[test]
fn relays_of_every_kind() {
    let with = |main: &str| imported(Postfix, &[("main.cf", main)]);
    let none = with("myhostname = a.shop.example\nrelayhost =\n");
    none.says(&[
        "main.cf: relayhost is not set ... needs a provider",
        "SIDEPOST_PROVIDER: nothing says where mail leaves",
    ]);
    let mx = with("relayhost = shop.example\n");
    assert_eq!(mx.working(), ["PROVIDER=smtp", "HOST=shop.example", "PORT=25"]);
    mx.says(&[
        "main.cf line 1: relayhost without brackets ... (MX) of shop.example",
        "main.cf line 1: port 25 is for mail between",
    ]);
    let several = with("relayhost = [a.test]:587, [b.test]:587\nsmtp_fallback_relay = [c.test]\n");
    several.says(&[
        "main.cf line 1: relayhost names more than one",
        "main.cf line 2: smtp_fallback_relay: a second server",
    ]);
    let ses = with("relayhost = [email-smtp.eu-central-1.amazonaws.com]:587\n");
    assert_eq!(ses.lines(), ["PROVIDER=ses", "REGION=eu-central-1"]);
    assert_eq!(with("relayhost = [smtp-relay.gmail.com]:25\n").working(), ["PROVIDER=google-workspace-relay"]);
    assert_eq!(with("relayhost = [192.0.2.1]:2525\n").working(), ["PROVIDER=smtp", "HOST=192.0.2.1", "PORT=2525"]);
    for bad in ["[a.test", "http://a.test", "[a.test]:port"] {
        let said = tried(Postfix, &[("main.cf", &format!("\n\nrelayhost = {bad}\n"))]).unwrap_err();
        assert_eq!(said.split("is no server").next().unwrap(), format!("main.cf line 3: relayhost: `{bad}` "));
    }
    let circle = tried(Postfix, &[("main.cf", "relayhost = $a\na = $relayhost\n")]).unwrap_err();
    assert!(circle.starts_with("main.cf line 1: relayhost names parameters"), "{circle}");
}

#[test]
fn what_has_no_equivalent_is_said() {
    let main = "relayhost = [a.test]:587\nsmtp_tls_security_level = secure\ntransport_maps = hash:/etc/postfix/transport\n\
                header_checks = regexp:/etc/postfix/header_checks\nsmtpd_milters = inet:localhost:8891\nalways_bcc = a@b.test\n\
                sender_dependent_relayhost_maps = hash:/x\nmade_up = 3\nno parameter\nvirtual_alias_maps =\n\
                smtp_tls_CAfile = /srv/none.pem\nsmtp_tls_CApath = /srv/certs\nsmtp_connect_timeout = 7\n\
                smtp_destination_concurrency_limit = 3\ndefault_destination_concurrency_limit = many\nalias_maps = hash:/etc/aliases\n";
    let checks = "/^Received:/ IGNORE\n/^From:.*/ REPLACE From: Shop <shop@shop.example>\n";
    let found = imported(
        Postfix,
        &[
            ("/etc/postfix/main.cf", main),
            ("/etc/postfix/header_checks", checks),
            ("/etc/aliases", "postmaster: root\nroot: ops@shop.example\n"),
        ],
    );
    let wanted = [
        "PROVIDER=smtp",
        "HOST=a.test",
        "PORT=587",
        "CONNECTIONS=3",
        "CONNECT_TIMEOUT=7s",
        "FROM=Shop <shop@shop.example>",
        "FROM_MODE=force",
        "LOCAL_RECIPIENT=ops@shop.example",
    ];
    assert_eq!(found.working(), wanted);
    found.says(&[
        "main.cf line 3: transport_maps: mail goes different ways",
        "main.cf line 4: header_checks: messages are changed",
        "main.cf line 5: smtpd_milters: a filter sees every message ... DKIM",
        "main.cf line 6: always_bcc: copies",
        "main.cf line 7: sender_dependent_relayhost_maps: mail goes",
        "not known here ... made_up (line 8)",
        "main.cf line 9: not of the form `name = value`",
        "main.cf line 11: smtp_tls_CAfile names a file ... /srv/none.pem is not there",
        "main.cf line 12: smtp_tls_CApath: a folder",
    ]);
    found.is_silent_about(&["virtual_alias_maps"]);
}

#[test]
fn tables_that_cannot_be_read() {
    let with = |map: &str, more: &[(&str, &str)]| {
        let main = format!("relayhost = [a.test]:587\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = {map}\n");
        imported(Postfix, &[&[("/etc/postfix/main.cf", main.as_str())], more].concat())
    };
    with("mysql:/etc/postfix/sql.cf", &[])
        .says(&["main.cf line 3: smtp_sasl_password_maps: a table of the type `mysql:`"]);
    with("hash:/etc/postfix/sasl", &[])
        .says(&["main.cf line 3: smtp_sasl_password_maps: /etc/postfix/sasl is not there"]);
    with("hash:/etc/postfix/sasl", &[("/etc/postfix/sasl.db", "x")])
        .says(&["/etc/postfix/sasl is not there, only what was made of it; `postmap -s hash:/etc/postfix/sasl"]);
    let fine = ["PROVIDER=smtp", "HOST=a.test", "PORT=587", "USERNAME=joe", "PASSWORD=a:b c"];
    assert_eq!(with("static:{joe:a:b c}", &[]).working(), fine);
    assert_eq!(with("inline:{ {a.test = joe:a:b c} }", &[]).working(), fine);
    assert_eq!(with("proxy:lmdb:/etc/postfix/sasl", &[("/etc/postfix/sasl", "a.test joe:a:b c")]).working(), fine);
}

#[test]
fn a_table_of_logins_alone() {
    let found = imported(Postfix, &[("sasl_passwd", APP_PASSWORD)]);
    assert_eq!(found.working(), ["PROVIDER=gmail", "USERNAME=shop@gmail.com", "PASSWORD=abcdefghijklmnop"]);
    let said = tried(Postfix, &[("sasl_passwd", "joe@a.test x:y\n")]).unwrap_err();
    assert!(said.starts_with("sasl_passwd: no entry is of the form"), "{said}");
}
