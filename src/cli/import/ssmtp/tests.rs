use super::super::Kind::Ssmtp;
use super::super::tests::{imported, tried};

const GMAIL: &str = "\
#
# Config file for sSMTP sendmail
#
root=ops@shop.example
mailhub=smtp.gmail.com:587
hostname=web1.shop.example
FromLineOverride=YES
AuthUser=shop@gmail.com
AuthPass=abcd efgh ijkl mnop
UseTLS=Yes
UseSTARTTLS=YES
TLS_CA_File=/etc/pki/tls/certs/ca-bundle.crt
";

#[test]
fn gmail_as_every_tutorial_has_it() {
    let found = imported(
        Ssmtp,
        &[("/etc/ssmtp/ssmtp.conf", GMAIL), ("/etc/ssmtp/revaliases", "root:shop@gmail.com:smtp.gmail.com:587\n")],
    );
    let wanted = [
        "PROVIDER=gmail",
        "USERNAME=shop@gmail.com",
        "PASSWORD=abcd efgh ijkl mnop",
        "HELO_NAME=web1.shop.example",
        "FROM=shop@gmail.com",
        "LOCAL_RECIPIENT=ops@shop.example",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["abcd", "certificate was not", "plain text", "app password"]);
    found.says(&["/etc/ssmtp/revaliases line 1: revaliases: a server for each user"]);
}

#[test]
fn an_account_password_is_noticed() {
    let found = imported(Ssmtp, &[("ssmtp.conf", &GMAIL.replace("abcd efgh ijkl mnop", "Hunter2!"))]);
    found.says(&["SIDEPOST_PASSWORD: does not look like an app password (16 letters)"]);
    found.is_silent_about(&["Hunter2"]);
}

#[test]
fn its_own_ways_are_said() {
    let odd = "mailhub=mail.test\nAuthUser=joe\nAuthPass=\"a#b\"\nrewriteDomain=shop.example\nFromLineOverride=no\nUseTLS=YES\n\
               AuthMethod=cram-md5\nUseTLSCert=yes\nTLS_CA_Dir=/srv/certs\nMade=up\nno value\nhostname=localhost\nroot=postmaster\n";
    let found = imported(Ssmtp, &[("ssmtp.conf", odd)]);
    let wanted = ["PROVIDER=smtp", "HOST=mail.test", "PORT=25", "USERNAME=joe", "PASSWORD=\"a"];
    assert_eq!(found.working(), wanted);
    found.says(&[
        "ssmtp.conf line 3: sSMTP ends the password at its first #",
        "ssmtp.conf line 3: quotation marks are part of the password",
        "ssmtp.conf line 4: rewriteDomain completes",
        "ssmtp.conf line 5: FromLineOverride is not YES",
        "ssmtp.conf line 1: TLS begins after STARTTLS on port 25",
        "ssmtp.conf line 7: AuthMethod",
        "ssmtp.conf line 8: UseTLSCert",
        "ssmtp.conf line 9: TLS_CA_Dir: a folder",
        "not known here ... Made (line 10)",
        "ssmtp.conf line 11: not of the form `key=value`",
        "ssmtp.conf line 13: root names no whole address",
    ]);
    let none = imported(Ssmtp, &[("ssmtp.conf", "root=postmaster\n")]);
    none.says(&["ssmtp.conf: mailhub is not set ... Cannot open mail:25", "SIDEPOST_PROVIDER: nothing says"]);
    assert!(
        tried(Ssmtp, &[("ssmtp.conf", "mailhub=a b\n")]).unwrap_err().starts_with("ssmtp.conf line 1: mailhub: `a b`")
    );
}
