use super::super::Kind::Sendmail;
use super::super::tests::{imported, tried};

const MACROS: &str = "\
divert(-1)dnl
# Copyright, it's nobody's
divert(0)dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
VERSIONID(`$Id: sendmail.mc $')
OSTYPE(`debian')dnl
dnl define(`SMART_HOST', `[old.test]')
define(`confPRIVACY_FLAGS',dnl
`needmailhelo,authwarnings')dnl
define(`SMART_HOST',`[smtp.gmail.com]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h 587')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h 587')dnl
define(`confAUTH_OPTIONS', `A p')dnl
define(`confDOMAIN_NAME', `web1.shop.example')dnl
define(`confMAX_MESSAGE_SIZE', `20971520')dnl
TRUST_AUTH_MECH(`EXTERNAL DIGEST-MD5 CRAM-MD5 LOGIN PLAIN')dnl
FEATURE(`authinfo',`hash -o /etc/mail/authinfo.db')dnl
MAILER(`smtp')dnl
";

#[test]
fn gmail_as_tutorials_have_it() {
    let authinfo =
        "# logins\nAuthInfo:smtp.gmail.com \"U:root\" \"I:shop@gmail.com\" \"P:abcdefghijklmnop\" \"M:PLAIN\"\n";
    let found = imported(Sendmail, &[("/etc/mail/sendmail.mc", MACROS), ("/etc/mail/authinfo", authinfo)]);
    let wanted = [
        "PROVIDER=gmail",
        "USERNAME=shop@gmail.com",
        "PASSWORD=abcdefghijklmnop",
        "HELO_NAME=web1.shop.example",
        "MAX_MESSAGE_BYTES=20971520",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["abcdef", "old.test", "app password"]);
    found.says(&["/etc/mail/sendmail.mc line 10: so far mail went in plain text wherever"]);
}

#[test]
fn entries_of_authinfo() {
    let with = |line: &str| imported(Sendmail, &[("/etc/mail/sendmail.mc", MACROS), ("/etc/mail/authinfo", line)]);
    assert_eq!(
        with("AuthInfo:smtp.gmail.com \"U:shop@gmail.com\" \"P=YSBiOmM=\"").working()[1..3],
        ["USERNAME=shop@gmail.com", "PASSWORD=a b:c"]
    );
    assert_eq!(with("AuthInfo: \"I:shop@gmail.com\"\n  \"P:x\"").working()[2], "PASSWORD=x");
    assert_eq!(with("AuthInfo:smtp.gmail.com:587 I:shop@gmail.com P:x").working()[2], "PASSWORD=x");
    with("AuthInfo:[smtp.gmail.com] \"I:a@gmail.com\" \"P:x\"")
        .says(&["authinfo line 1: Sendmail asks with the server's name alone"]);
    with("AuthInfo:mail.test \"I:a\" \"P:hunter2\"").is_silent_about(&["hunter2"]);
    with("AuthInfo:mail.test \"I:a\" \"P:hunter2\"")
        .says(&["authinfo line 1: no entry is for smtp.gmail.com", "SIDEPOST_PASSWORD: needed"]);
    with("AuthInfo:smtp.gmail.com \"I:a\" \"P=***\" \"hunter2\"").says(&[
        "authinfo line 1: a value with `=` is no base64",
        "authinfo line 1: an item is not of the form",
        "authinfo line 1: a login needs",
    ]);
    let two = with("AuthInfo:smtp.gmail.com \"I:a@gmail.com\" \"P:x\"\nAuthInfo:b.test \"I:a\" \"P:x\"");
    two.says(&["authinfo line 1: Sidepost has one login ... (1)"]);
    let alone = imported(Sendmail, &[("authinfo", "AuthInfo:smtp.sendgrid.net \"I:apikey\" \"P:SG.x\"\n")]);
    assert_eq!(alone.working(), ["PROVIDER=sendgrid", "API_KEY=SG.x"]);
}

#[test]
fn what_has_no_equivalent_is_said() {
    let odd = "define(`SMART_HOST', `relay:mail.test.')\nFEATURE(`mailertable')\nMASQUERADE_AS(`shop.example')dnl\n\
               INPUT_MAIL_FILTER(`dkim', `S=local:/run/dkim')\ndefine(`confCACERT', `/srv/none.pem')\nFEATURE(`authinfo')\n\
               define(`confCLIENT_CERT', `/c.pem')\ndefine(`ALIAS_FILE', `/etc/aliases')\nFEATURE(`greet_pause', `1000')\n";
    let found =
        imported(Sendmail, &[("/etc/mail/sendmail.mc", odd), ("/etc/aliases", "root: ann, joe@shop.example\n")]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=25"]);
    found.says(&[
        "sendmail.mc line 1: SMART_HOST without brackets",
        "sendmail.mc line 2: mailertable",
        "sendmail.mc line 3: MASQUERADE_AS",
        "sendmail.mc line 4: INPUT_MAIL_FILTER: a filter",
        "sendmail.mc line 5: confCACERT names a file",
        "sendmail.mc line 6: authinfo: /etc/mail/authinfo is not there",
        "sendmail.mc line 7: confCLIENT_CERT",
        "/etc/aliases line 1: mail for root goes to no single address",
    ]);
    imported(Sendmail, &[("x.mc", "OSTYPE(`linux')\n")]).says(&["x.mc: SMART_HOST is not defined"]);
    let open = tried(Sendmail, &[("x.mc", "\ndefine(`SMART_HOST', `a.test'\n")]).unwrap_err();
    assert_eq!(open, "x.mc line 2: define is not closed");
    let bad = tried(Sendmail, &[("x.mc", "define(`SMART_HOST', `a b')\n")]).unwrap_err();
    assert!(bad.starts_with("x.mc line 1: SMART_HOST: `a b`"), "{bad}");
}
