use super::super::Kind::Msmtp;
use super::super::tests::{imported, tried};

const SHOP: &str = "\
# a comment
defaults
tls            on
tls_trust_file /etc/ssl/certs/ca-certificates.crt
logfile        ~/.msmtp.log

account        shop
host           smtp.fastmail.com
port           587
from           shop@shop.example
auth           on
user           shop@shop.example
password       \"a #b: c\"
aliases        /etc/aliases

account        other : shop
from           other@shop.example
password       other-secret

account default : shop
";

#[test]
fn accounts_inherit_and_one_is_taken() {
    let found = imported(Msmtp, &[("/etc/msmtprc", SHOP), ("/etc/aliases", "root: ops@shop.example\n")]);
    let wanted = [
        "PROVIDER=smtp",
        "HOST=smtp.fastmail.com",
        "PORT=587",
        "USERNAME=shop@shop.example",
        "PASSWORD=a #b: c",
        "FROM=shop@shop.example",
        "LOCAL_RECIPIENT=ops@shop.example",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["other-secret", "a #b", "certificate was not"]);
}

#[test]
fn tls_from_the_first_byte_has_a_port_of_its_own() {
    let found = imported(Msmtp, &[(".msmtprc", "host mail.test\ntls on\ntls_starttls off\ntls_certcheck off\n")]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=465"]);
    found.says(&[".msmtprc line 4: so far the server's certificate was not checked"]);
    let plain = imported(Msmtp, &[("msmtprc", "account a\nhost mail.test\n")]);
    assert_eq!(plain.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=25"]);
    plain.says(&["msmtprc line 2: so far mail, and a password with it, went in plain text"]);
}

#[test]
fn what_only_msmtp_can_do_is_said() {
    let rc = "account a\nhost smtp.gmail.com\nport 587\ntls on\nauth on\nuser joe@gmail.com\npasswordeval gpg -d ~/.p\n\
              from %U@shop.example\ntls_fingerprint 00:11\nproxy_host 127.0.0.1\nsource_ip 192.0.2.1\neval echo host x\n\
              tls_trust_file /srv/none.pem\nset_from_header on\nwhatever 1\nBroken line\ndomain localhost\ntimeout 20\n\
              account b\nhost b.test\n";
    let found = imported(Msmtp, &[("msmtprc", rc)]);
    assert_eq!(found.lines(), ["PROVIDER=gmail", "USERNAME=joe@gmail.com", "CONNECT_TIMEOUT=20s"]);
    found.says(&[
        "msmtprc line 7: the password comes from a command",
        "msmtprc line 8: from is made of the user's",
        "msmtprc line 9: tls_fingerprint:",
        "msmtprc line 10: proxy_host:",
        "msmtprc line 11: source_ip:",
        "msmtprc line 12: eval:",
        "msmtprc line 13: tls_trust_file names a file",
        "msmtprc line 14: set_from_header:",
        "not known here ... whatever (line 15)",
        "msmtprc line 16: not a command",
        "msmtprc: the account `a` is taken; ... (1)",
        "SIDEPOST_PASSWORD: needed with SIDEPOST_PROVIDER=gmail",
    ]);
}

#[test]
fn logins() {
    let with = |more: &str| {
        imported(Msmtp, &[("msmtprc", &format!("host a.test\nport 587\ntls on\nuser joe\npassword x\n{more}"))])
    };
    assert_eq!(with("auth login\n").working()[3..], ["USERNAME=joe", "PASSWORD=x", "AUTH=login"]);
    with("").says(&["msmtprc line 5: auth is not on"]);
    with("auth cram-md5\n").says(&["msmtprc line 6: auth cram-md5: Sidepost logs in by PLAIN or LOGIN"]);
    with("auth xoauth2\n").says(&["msmtprc line 6: auth: the login is by OAuth ... sidepost oauth login"]);
}

#[test]
fn what_makes_no_sense_names_its_line() {
    for (rc, said) in [
        ("", "msmtprc: no account in it"),
        ("account a : b\n", "msmtprc line 1: there is no account `b` before this line"),
        ("host a\nport x\n", "msmtprc line 2: port: not a port"),
    ] {
        assert_eq!(tried(Msmtp, &[("msmtprc", rc)]).unwrap_err(), said);
    }
    let accounts: String = (0..300).map(|n| format!("account a{n}\n")).collect();
    assert!(tried(Msmtp, &[("msmtprc", &accounts)]).unwrap_err().contains("line 201: more than 200 accounts"));
    let commands: String = (0..300).map(|n| format!("c{n} 1\n")).collect();
    assert!(tried(Msmtp, &[("msmtprc", &commands)]).unwrap_err().contains("line 201: more than 200 commands"));
}
