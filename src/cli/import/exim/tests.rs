use super::super::Kind::Exim;
use super::super::tests::{imported, tried};

const SETTINGS: &str = "\
# /etc/exim4/update-exim4.conf.conf
dc_eximconfig_configtype='smarthost'
dc_other_hostnames='web1'
dc_local_interfaces='127.0.0.1 ; ::1'
dc_readhost='shop.example'
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets='10.0.0.0/8'
dc_smarthost='smtp.gmail.com::587'
CFILEMODE='644'
dc_use_split_config='false'
dc_hide_mailname='true'
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
";

fn with(passwords: &str) -> super::super::Imported {
    imported(Exim, &[("/etc/exim4/update-exim4.conf.conf", SETTINGS), ("/etc/exim4/passwd.client", passwords)])
}

#[test]
fn as_debian_sets_it_up() {
    let found = with(
        "# a comment\n*.google.com:shop@gmail.com:ab:cdefghijklmnopq\nsmtp.gmail.com:shop@gmail.com:abcdefghijklmnop\n",
    );
    assert_eq!(found.working(), ["PROVIDER=gmail", "USERNAME=shop@gmail.com", "PASSWORD=abcdefghijklmnop"]);
    found.is_silent_about(&["abcdef", "not known here"]);
    found.says(&[
        "update-exim4.conf.conf line 9: so far mail went in plain text",
        "update-exim4.conf.conf line 9: so far the server's certificate was not checked",
        "update-exim4.conf.conf line 5: dc_readhost: the domain of senders is rewritten",
        "update-exim4.conf.conf line 8: dc_relay_nets",
    ]);
}

#[test]
fn lines_for_names_that_the_reverse_dns_knows() {
    let star = with("*:shop@gmail.com:a:b\n");
    assert_eq!(star.working()[2], "PASSWORD=a:b");
    star.is_silent_about(&["belong together"]);
    let related = with("gmail-smtp-in.l.gmail.com:shop@gmail.com:x\n");
    related
        .says(&["passwd.client line 1: the login is for `gmail-smtp-in.l.gmail.com`, and mail goes to smtp.gmail.com"]);
    let none = with("mail.test:joe:x\nbroken\n");
    none.says(&["passwd.client line 1: no login is for smtp.gmail.com", "passwd.client line 2: not of the form"]);
}

#[test]
fn either_file_alone() {
    let passwords = imported(Exim, &[("passwd.client", "smtp.sendgrid.net:apikey:SG.x\n")]);
    assert_eq!(passwords.working(), ["PROVIDER=sendgrid", "API_KEY=SG.x"]);
    let settings = imported(
        Exim,
        &[("update-exim4.conf.conf", "dc_eximconfig_configtype='internet'\ndc_smarthost='a.test;b.test'\nx=1\n")],
    );
    assert_eq!(settings.working(), ["PROVIDER=smtp", "HOST=a.test", "PORT=25"]);
    settings.says(&[
        "update-exim4.conf.conf line 1: dc_eximconfig_configtype='internet': Exim takes no smarthost",
        "update-exim4.conf.conf line 2: dc_smarthost names more than one",
        "not known here ... x (line 3)",
    ]);
    imported(Exim, &[("passwd.client", "### target.mail.server.example:login:password\n")])
        .says(&["SIDEPOST_PROVIDER: nothing says"]);
    let bad = tried(Exim, &[("update-exim4.conf.conf", "dc_smarthost='a b'\n")]).unwrap_err();
    assert!(bad.starts_with("update-exim4.conf.conf line 1: dc_smarthost: `a b`"), "{bad}");
}
