//! `sidepost sendmail`, and the binary called as `sendmail`: a message from standard input through a running sidecar.
//!
//! It is what PHP's `mail()`, cron, git and `mail` expect to find at `/usr/sbin/sendmail`. There is no queue: exit code
//! 0 means that the provider took the message, 75 that the same may succeed later.

mod arguments;
mod letter;
mod session;

use std::ffi::OsString;
use std::io::{self, BufReader};
use std::path::PathBuf;

use self::arguments::Mode;
use self::letter::{Body, Header};
use self::session::{Session, Socket, Trouble};
use super::{Exit, misconfigured};
use crate::config::env::{Env, Settings as _, setting_of};
use crate::message::Address;
use crate::message::address::Mailbox;
use crate::message::address::list;
use crate::net::name;
use crate::settings;

pub use self::arguments::Call;
pub use self::session::Target;

settings! {
    /// What `sendmail` wants to know, in whichever container it runs.
    pub struct Config {
        /// Where `sidepost sendmail` finds the sidecar's SMTP listener: a host with its port, or `unix:` and a path.
        address: Target = "localhost:1025",
        /// The same for a socket: its path alone.
        socket: Option<PathBuf> = "",
        /// Who gets what `sidepost sendmail` is given for a name without a domain, such as cron's `root`.
        local_recipient: Option<Address> = "",
    }
}

/// Does what was asked for.
#[must_use]
pub fn run(call: &Call, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    match call.mode {
        Mode::ShowQueue => super::say("Mail queue is empty: sidepost keeps none\n"),
        Mode::Aliases => Exit::Ok,
        Mode::Smtp => with_config(variables, |config| {
            let socket = connect(config)?;
            session::pass_through(&socket).map_err(|error| (Exit::TryAgain, error.to_string()))
        }),
        Mode::Deliver => with_config(variables, |config| deliver(call, config)),
    }
}

/// An exit code, and what to say.
type Failed = (Exit, String);

fn with_config(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    work: impl FnOnce(&Config) -> Result<(), Failed>,
) -> Exit {
    // The same environment may hold the sidecar's settings, with files that only the sidecar can read.
    let ours = variables.into_iter().filter(|(name, _)| {
        setting_of(name).is_some_and(|name| Config::SETTINGS.iter().any(|setting| setting.name() == name))
    });
    let mut env = Env::collect(ours, Config::SETTINGS.to_vec());
    let config = env.read();
    if env.has_problems() {
        return misconfigured(&env.into_problems());
    }
    match work(&config) {
        Ok(()) => Exit::Ok,
        Err((exit, sentence)) => {
            eprintln!("sendmail: {sentence}");
            exit
        }
    }
}

fn connect(config: &Config) -> Result<Socket, Failed> {
    let target = config.socket.clone().map_or_else(|| config.address.clone(), Target::Unix);
    Socket::connect(&target).map_err(|error| {
        let sentence = format!(
            "no sidecar at {target} ({error}); is it running? SIDEPOST_ADDRESS or SIDEPOST_SOCKET says where it is"
        );
        (Exit::TryAgain, sentence)
    })
}

fn deliver(call: &Call, config: &Config) -> Result<(), Failed> {
    let mut input = BufReader::new(io::stdin().lock());
    let unreadable = |error: io::Error| (Exit::Refused, format!("the message cannot be read: {error}"));
    let mut header = Header::read(&mut input, call.dot_ends).map_err(unreadable)?;
    let host = name::host();
    let sender = sender(call, &header, &host)?;
    let recipients = recipients(call, &header, config)?;
    header.complete_from(from(call, sender.as_ref(), &host), &host);

    let mut session = Session::open(connect(config)?, &host).map_err(failed)?;
    let mail = mail_command(sender.as_ref(), &recipients, &session);
    let recipients: Vec<_> = recipients.iter().map(|recipient| recipient_command(recipient, call, &session)).collect();
    let mut content = Body::new(session.envelope(&mail, &recipients).map_err(failed)?);
    let written = header.write(&mut content);
    let written = match header.ended {
        true => written,
        false => written.and_then(|()| letter::copy_body(&mut input, &mut content, call.dot_ends)),
    };
    // What could not be read to its end must not be sent as if it were whole.
    written.map_err(|error| (Exit::TryAgain, format!("the message cannot be handed over: {error}")))?;
    content.finish().map_err(|error| (Exit::TryAgain, format!("the message cannot be handed over: {error}")))?;
    session.verdict().map_err(failed)
}

fn failed(trouble: Trouble) -> Failed {
    match trouble {
        Trouble::TryAgain(sentence) => (Exit::TryAgain, sentence),
        Trouble::Refused(sentence) => (Exit::Refused, sentence),
    }
}

/// The envelope's sender: as given, else as in From, else whoever runs this; `<>` is nobody.
fn sender(call: &Call, header: &Header, host: &str) -> Result<Option<Address>, Failed> {
    let given = call.sender.clone().map(|given| list::addresses(&given).into_iter().next());
    let text = match given {
        Some(None) => return Ok(None),
        Some(Some(given)) => given,
        None => header.from().unwrap_or_else(whoami),
    };
    let text = if text.contains('@') { text } else { format!("{text}@{host}") };
    Address::parse(&text).map(Some).map_err(|error| (Exit::Usage, format!("the sender: {error}")))
}

/// Whoever runs this. There is no list of users in most images, so it is the environment's word or nobody.
fn whoami() -> String {
    let named = ["LOGNAME", "USER"].iter().find_map(std::env::var_os).and_then(|name| name.into_string().ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "nobody".to_owned())
}

/// A From field for a message without one.
fn from(call: &Call, sender: Option<&Address>, host: &str) -> String {
    let address = sender.map_or_else(|| format!("{}@{host}", whoami()), ToString::to_string);
    let mailbox = Address::parse(&address).and_then(|address| Mailbox::new(call.full_name.as_deref(), address));
    match mailbox {
        Ok(mailbox) if mailbox.name().is_some() => mailbox.field("From"),
        _ => format!("From: {address}\n"),
    }
}

fn recipients(call: &Call, header: &Header, config: &Config) -> Result<Vec<Address>, Failed> {
    let mut texts: Vec<_> = call.recipients.iter().flat_map(|argument| list::addresses(argument)).collect();
    if call.from_header {
        texts.extend(header.recipients());
    }
    let mut found = Vec::new();
    for text in texts {
        let address = recipient(&text, config)?;
        if !found.contains(&address) {
            found.push(address);
        }
    }
    let nobody = "no recipient: name one, or give -t and a To, Cc or Bcc field";
    if found.is_empty() { Err((Exit::Usage, nobody.to_owned())) } else { Ok(found) }
}

fn recipient(text: &str, config: &Config) -> Result<Address, Failed> {
    if !text.contains('@') {
        let nowhere = "a recipient has no domain; SIDEPOST_LOCAL_RECIPIENT says who gets mail for such names";
        return config.local_recipient.clone().ok_or_else(|| (Exit::NoUser, nowhere.to_owned()));
    }
    Address::parse(text).map_err(|error| (Exit::Refused, format!("a recipient: {error}")))
}

fn mail_command(sender: Option<&Address>, recipients: &[Address], session: &Session) -> String {
    let mut line = format!("MAIL FROM:<{}>", sender.map(ToString::to_string).unwrap_or_default());
    if session.offers("8BITMIME") {
        line.push_str(" BODY=8BITMIME");
    }
    if session.offers("SMTPUTF8") && sender.into_iter().chain(recipients).any(Address::needs_smtputf8) {
        line.push_str(" SMTPUTF8");
    }
    line
}

fn recipient_command(recipient: &Address, call: &Call, session: &Session) -> String {
    match &call.notify {
        Some(notify) if session.offers("DSN") => format!("RCPT TO:<{recipient}> NOTIFY={notify}"),
        _ => format!("RCPT TO:<{recipient}>"),
    }
}
