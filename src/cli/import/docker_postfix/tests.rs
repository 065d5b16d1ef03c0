use std::ffi::OsString;

use super::super::Kind::DockerPostfix;
use super::super::tests::{imported, tried};
use super::environment;

#[test]
fn an_env_file() {
    let env = "# mail\nTZ=Europe/Vienna\nRELAYHOST=[smtp.sendgrid.net]:587\nRELAYHOST_USERNAME=apikey\nRELAYHOST_PASSWORD=SG.a=b:c #d\n\
               ALLOWED_SENDER_DOMAINS=shop.example, shop.test\nPOSTFIX_myhostname=mail.shop.example\n\
               POSTFIX_message_size_limit=26214400\nPOSTFIX_mynetworks=10.0.0.0/8\nDKIM_AUTOGENERATE=true\nOTHER=1\n\
               POSTFIX_always_bcc=\nLOG_FORMAT=json\n";
    let found = imported(DockerPostfix, &[("mail.env", env)]);
    let wanted = [
        "PROVIDER=sendgrid",
        "API_KEY=SG.a=b:c #d",
        "HELO_NAME=mail.shop.example",
        "MAX_MESSAGE_BYTES=26214400",
        "ALLOWED_SENDERS=shop.example,shop.test",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["SG.a", "OTHER", "always_bcc"]);
    found.says(&[
        "mail.env line 9: mynetworks lets more than this machine send",
        "mail.env line 10: DKIM_AUTOGENERATE: the image signs",
        "mail.env: so far mail went in plain text wherever",
    ]);
}

#[test]
fn a_compose_file_and_the_values_of_a_chart() {
    let compose = "services:\n  mail:\n    image: boky/postfix\n    environment:\n      - RELAYHOST=[mail.test]:587\n      \
                   - \"RELAYHOST_USERNAME=joe\"\n      - RELAYHOST_PASSWORD=${SMTP_PASSWORD}\n      - RELAYHOST_PASSWORD_FILE=/run/secrets/smtp\n";
    let found = imported(DockerPostfix, &[("compose.yaml", compose), ("smtp", "pa ss\n")]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=587", "USERNAME=joe", "PASSWORD=pa ss"]);
    found.says(&["compose.yaml line 7: RELAYHOST_PASSWORD comes from another variable"]);
    let values = "config:\n  general:\n    RELAYHOST: \"[mail.test]:465\"\n    RELAYHOST_USERNAME: 'joe'\n    RELAYHOST_PASSWORD: 'x y'\n  \
                  postfix:\n    POSTFIX_smtp_tls_wrappermode: \"yes\"\n    POSTFIX_smtp_tls_security_level: \"encrypt\"\n";
    let found = imported(DockerPostfix, &[("values.yaml", values)]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=465", "USERNAME=joe", "PASSWORD=x y"]);
}

#[test]
fn tokens_of_oauth() {
    let env = "RELAYHOST=[smtp.gmail.com]:587\nRELAYHOST_USERNAME=joe@gmail.com\nXOAUTH2_CLIENT_ID=id\nXOAUTH2_SECRET=hunter2\n\
               XOAUTH2_INITIAL_ACCESS_TOKEN=old\nXOAUTH2_INITIAL_REFRESH_TOKEN=refresh-hunter2\n\
               XOAUTH2_TOKEN_ENDPOINT=https://accounts.google.com/o/oauth2/token\n";
    let found = imported(DockerPostfix, &[("env", env)]);
    let wanted = [
        "PROVIDER=gmail",
        "USERNAME=joe@gmail.com",
        "OAUTH_CLIENT_ID=id",
        "OAUTH_CLIENT_SECRET=hunter2",
        "OAUTH_REFRESH_TOKEN=refresh-hunter2",
    ];
    assert_eq!(found.working(), wanted);
    found.is_silent_about(&["hunter2"]);
}

#[test]
fn what_looks_wrong() {
    let env = "RELAYHOST=[mail.test]:587\nSASL_RELAYHOST=mail.test\nRELAYHOST_PASSWORD=x\nSMTPD_SASL_USERS=joe@shop.test:hunter2\n\
               RELAYHOST_TLS_LEVEL=none\nSMTP_HEADER_CHECKS=1\n";
    let found = imported(DockerPostfix, &[("env", env)]);
    assert_eq!(found.working(), ["PROVIDER=smtp", "HOST=mail.test", "PORT=587"]);
    found.is_silent_about(&["hunter2", "joe@"]);
    found.says(&[
        "env line 2: SASL_RELAYHOST is not RELAYHOST",
        "env line 3: a password without RELAYHOST_USERNAME",
        "env line 4: SMTPD_SASL_USERS",
        "env line 5: so far mail, and a password with it, went in plain text",
        "env line 6: smtp_header_checks: /etc/postfix/smtp_header_checks is not there",
    ]);
    let missing = imported(
        DockerPostfix,
        &[("env", "RELAYHOST=[mail.test]:587\nRELAYHOST_USERNAME=joe\nRELAYHOST_PASSWORD_FILE=/run/secrets/none\n")],
    );
    missing.says(&["env line 3: RELAYHOST_PASSWORD_FILE: /run/secrets/none is not there", "SIDEPOST_PASSWORD: needed"]);
    assert!(tried(DockerPostfix, &[("env", "RELAYHOST=[a\n")]).unwrap_err().starts_with("env line 1: relayhost"));
}

#[test]
fn of_the_environment_only_what_the_image_reads() {
    let variables = [("RELAYHOST", "[a.test]"), ("HOME", "/root"), ("POSTFIX_myhostname", "a.test"), ("TZ", "a\nb")];
    let text = environment(variables.map(|(name, value)| (OsString::from(name), OsString::from(value))));
    assert_eq!(text.content(), "RELAYHOST=[a.test]\nPOSTFIX_myhostname=a.test\n");
}
