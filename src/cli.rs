//! The verbs, and what their exit codes say (sysexits.h).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "verbs talk to whoever typed them")]

pub mod client;
pub mod config;
pub mod doctor;
pub mod healthcheck;
pub mod import;
pub mod oauth;
pub mod send;
pub mod sendmail;
pub mod serve;
pub mod shim;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short, Value};

use self::send::Letter;
use self::sendmail::Call;
use self::shim::Shim;

const HELP: &str = "\
Sidepost, the mail sidecar: HTTP JSON and SMTP in, your mail provider out.

Usage: sidepost [VERB] [OPTIONS]

  sidepost                  serve (the default); settings come from SIDEPOST_* variables
  sidepost serve --install-shim DIR
                            the same, with bin/sendmail and php/mail.ini put into DIR first, for another container
  sidepost config           every setting in force, and where it came from
  sidepost config --check   only check the settings; exit code 78 where one can never work
  sidepost doctor [--json] [--to ADDRESS] [--from ADDRESS]
                            look at the chain to the provider now; with --to, send a test message
  sidepost healthcheck      exit code 0 while the sidecar on this host is alive (for HEALTHCHECK)
  sidepost send --to ADDRESS --subject TEXT [--from ADDRESS] [--cc ADDRESS] [--html FILE]
                [--server HOST:PORT]
                            send through a running sidecar; the text comes from standard input
  sidepost sendmail [OPTIONS] [ADDRESS...]
                            as /usr/sbin/sendmail, also where the binary is called that; -t, -i, -f, -F, -bs, ...
  sidepost import [FILE|FOLDER...] [--from KIND] [--secrets DIR] [--json]
                            the settings of Postfix, Sendmail, msmtp, ... as variables, and what has no equivalent
  sidepost oauth login google|microsoft [--client-id ID] [--username ADDRESS] [--tenant TENANT] [--device] [--write FILE]
                            get a refresh token by consent in a browser, and print the variables to set
  sidepost --help, --version

Exit codes: 0 done, 64 wrong usage, 65 refused for good, 67 no such recipient, 69 not there,
            70 our own error, 75 try again later, 78 a setting that can never work
doctor, by the broken link: config 78, name 64, dns 68, connect 69, tls 76, greeting 74, auth 77, sender 65,
            accepted 75
";

/// Exit codes after sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The sidecar is not well.
    Unhealthy = 1,
    /// `EX_USAGE`: the command line makes no sense.
    Usage = 64,
    /// `EX_DATAERR`: the message is refused for good.
    Refused = 65,
    /// `EX_NOUSER`: nobody is meant by that recipient.
    NoUser = 67,
    /// `EX_NOHOST`: the name is not found.
    NoHost = 68,
    /// `EX_UNAVAILABLE`: nobody is there.
    Unavailable = 69,
    /// `EX_SOFTWARE`: our own error, or the provider refuses us.
    Software = 70,
    /// `EX_IOERR`: what comes in makes no sense.
    Input = 74,
    /// `EX_TEMPFAIL`: the same may succeed later.
    TryAgain = 75,
    /// `EX_PROTOCOL`: nothing could be agreed on.
    Protocol = 76,
    /// `EX_NOPERM`: somebody does not let us.
    NoPermission = 77,
    /// `EX_CONFIG`: a setting that can never work.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What was asked for.
#[derive(Debug)]
pub enum Verb {
    /// Be the sidecar, and be `sendmail` for whoever mounts that folder.
    Serve(Option<Shim>),
    /// Send through a running sidecar.
    Send(Letter),
    /// Look at the chain to the provider.
    Doctor(doctor::Options),
    /// Be `sendmail`.
    Sendmail(Call),
    /// Ask a running sidecar whether it is alive.
    Healthcheck,
    /// Show or check the settings.
    Config {
        /// Say nothing where all is well.
        check_only: bool,
    },
    /// Take over another program's settings.
    Import(import::Options),
    /// Get a refresh token by a person's consent.
    OauthLogin(oauth::Login),
    /// Say this and be done.
    Say(String),
}

/// The names under which the binary is `sendmail`.
const SENDMAIL: [&str; 3] = ["sendmail", "mailq", "newaliases"];

/// The arguments of a call, with the program's name as the verb where it is one.
pub fn named(mut arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().filter(|name| SENDMAIL.iter().any(|known| name == known));
    name.map(OsString::from).into_iter().chain(arguments).collect()
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Verb, String> {
    let mut parser = lexopt::Parser::from_args(arguments.into_iter().collect::<Vec<_>>());
    let verb = match parser.next().map_err(|error| error.to_string())? {
        None => Verb::Serve(None),
        Some(Long("help") | Short('h')) => return Ok(Verb::Say(HELP.to_owned())),
        Some(Long("version") | Short('V')) => return Ok(Verb::Say(version())),
        Some(Value(verb)) if SENDMAIL.iter().any(|name| verb == *name) => {
            let rest = parser.raw_args().map_err(|error| error.to_string())?.collect();
            return Call::parse(&verb.to_string_lossy(), rest).map(Verb::Sendmail);
        }
        Some(Value(verb)) => return parse_verb(&verb.to_string_lossy(), &mut parser),
        Some(other) => return Err(other.unexpected().to_string()),
    };
    Ok(verb)
}

fn version() -> String {
    format!("sidepost {}\n", env!("CARGO_PKG_VERSION"))
}

fn parse_verb(verb: &str, parser: &mut lexopt::Parser) -> Result<Verb, String> {
    match verb {
        "oauth" => return oauth::parse(parser),
        "import" => return import::parse(parser),
        _ => {}
    }
    let mut letter = Letter::default();
    let mut doctor = doctor::Options::default();
    let mut check_only = false;
    let mut shim = None;
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match (verb, argument) {
            (_, Long("help") | Short('h')) => return Ok(Verb::Say(HELP.to_owned())),
            ("config", Long("check")) => check_only = true,
            ("serve", Long("install-shim")) => {
                shim = Some(Shim::parse(parser.value().map_err(|error| error.to_string())?)?);
            }
            ("doctor", Long("json")) => doctor.json = true,
            ("doctor", Long("to")) => doctor.to = Some(text(parser)?),
            ("doctor", Long("from")) => doctor.from = Some(text(parser)?),
            ("send", Long(option)) => {
                let option = option.to_owned();
                letter.set(&option, text(parser)?)?;
            }
            (_, argument) => return Err(argument.unexpected().to_string()),
        }
    }
    match verb {
        "serve" => Ok(Verb::Serve(shim)),
        "doctor" => Ok(Verb::Doctor(doctor)),
        "healthcheck" => Ok(Verb::Healthcheck),
        "config" => Ok(Verb::Config { check_only }),
        "send" => letter.check().map(Verb::Send),
        "help" => Ok(Verb::Say(HELP.to_owned())),
        other => Err(format!("no such verb: {other}")),
    }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    parser.value().and_then(lexopt::ValueExt::string).map_err(|error| error.to_string())
}

/// Prints a text.
#[must_use]
pub fn say(text: &str) -> Exit {
    print!("{text}");
    Exit::Ok
}

/// Says what is wrong with the command line.
#[must_use]
pub fn misused(mistake: &str) -> Exit {
    eprintln!("sidepost: {mistake}\n\n{HELP}");
    Exit::Usage
}

/// Says which settings can never work, all at once.
#[must_use]
pub fn misconfigured(problems: &[crate::config::env::Problem]) -> Exit {
    eprintln!("sidepost: {} of the settings cannot work:", problems.len());
    for problem in problems {
        eprintln!("  {problem}");
    }
    Exit::Config
}

/// A runtime for a verb that asks a running sidecar.
fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Verb, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn verbs_and_options() {
        assert!(matches!(parsed(&[]), Ok(Verb::Serve(None))));
        assert!(matches!(parsed(&["serve"]), Ok(Verb::Serve(None))));
        assert!(matches!(parsed(&["serve", "--install-shim", "/opt/x"]), Ok(Verb::Serve(Some(_)))));
        assert!(matches!(parsed(&["config", "--check"]), Ok(Verb::Config { check_only: true })));
        assert!(matches!(parsed(&["healthcheck"]), Ok(Verb::Healthcheck)));
        assert!(matches!(parsed(&["oauth", "login", "microsoft", "--device"]), Ok(Verb::OauthLogin(_))));
        assert!(matches!(parsed(&["import", "/etc/postfix", "--from=postfix", "--secrets", "d"]), Ok(Verb::Import(_))));
        assert!(matches!(parsed(&["--version"]), Ok(Verb::Say(_))));
        assert!(matches!(parsed(&["send", "--help"]), Ok(Verb::Say(_))));
        assert!(matches!(parsed(&["send", "--to", "a@b.test", "--subject=x"]), Ok(Verb::Send(_))));
        assert!(matches!(parsed(&["sendmail", "-t", "-i"]), Ok(Verb::Sendmail(_))));
        for bad in [
            &["sned"][..],
            &["sendmail", "-Z"],
            &["serve", "now"],
            &["serve", "--install-shim"],
            &["serve", "--install-shim", "here"],
            &["send", "--install-shim", "/opt/x"],
            &["--port"],
            &["send"],
            &["send", "--to"],
            &["send", "--tom", "x"],
            &["import", "--from", "qmail"],
        ] {
            assert!(parsed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_name_of_the_program_may_be_the_verb() {
        let named = |arguments: &[&str]| named(arguments.iter().map(OsString::from));
        assert_eq!(named(&["/usr/sbin/sendmail", "-t"]), ["sendmail", "-t"]);
        assert_eq!(named(&["sidepost", "send"]), ["send"]);
        assert_eq!(named(&["mailq"]), ["mailq"]);
        assert!(named(&[]).is_empty());
    }
}
