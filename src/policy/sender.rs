//! Who sends: the envelope's sender, and the From and Sender fields (RFC 5322 section 3.6.2).
//!
//! The null reverse-path stays what it is under every rule: it marks notifications, and a bounce to an invented sender
//! is how mail loops begin (RFC 5321 section 4.5.5).

use crate::message::address::{Mailbox, strict};
use crate::message::header::edit::Changes;
use crate::message::header::{Block, Field};
use crate::message::{Address, Envelope};
use crate::outcome::Refusal;

use super::addresses::Addresses;
use super::{Config, FromMode};

/// The rules about senders.
#[derive(Clone, Debug)]
pub struct Senders {
    from: Option<Mailbox>,
    mode: FromMode,
    allowed: Option<Addresses>,
}

/// What a header says of its sender.
#[derive(Debug, Default)]
struct Said<'b> {
    from: Vec<Field<'b>>,
    sender: Vec<Field<'b>>,
    has_reply_to: bool,
}

impl<'b> Said<'b> {
    fn by(block: &'b Block<'_>) -> Self {
        let mut said = Self::default();
        for field in block.fields() {
            if field.is("From") {
                said.from.push(field);
            } else if field.is("Sender") {
                said.sender.push(field);
            } else if field.is("Reply-To") {
                said.has_reply_to |= !field.is_blank();
            }
        }
        said
    }
}

impl Senders {
    /// As the settings have it.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { from: config.from.clone(), mode: config.from_mode, allowed: config.allowed_senders.clone() }
    }

    /// The sender of messages that name none.
    #[must_use]
    pub fn default_sender(&self) -> Option<&Mailbox> {
        self.from.as_ref()
    }

    /// Whether there is a rule at all.
    #[must_use]
    pub fn have_rules(&self) -> bool {
        self.from.is_some() || self.allowed.is_some()
    }

    fn forced(&self) -> Option<&Mailbox> {
        self.from.as_ref().filter(|_| self.mode == FromMode::Force)
    }

    /// The envelope as it may leave.
    ///
    /// # Errors
    /// [`Refusal::SenderNotAllowed`].
    pub fn of_envelope(&self, envelope: Envelope) -> Result<Envelope, Refusal> {
        self.check_sender(envelope.sender())?;
        match (envelope.sender(), self.forced()) {
            (Some(_), Some(from)) => Ok(envelope.from_sender(from.address().clone())),
            _ => Ok(envelope),
        }
    }

    /// Whether an envelope with that sender may leave, under whatever sender it then does.
    ///
    /// # Errors
    /// [`Refusal::SenderNotAllowed`].
    pub fn check_sender(&self, sender: Option<&Address>) -> Result<(), Refusal> {
        match (sender, self.forced()) {
            (Some(sender), None) => self.check(sender),
            _ => Ok(()),
        }
    }

    /// Changes the header to what may leave.
    ///
    /// # Errors
    /// [`Refusal::SenderNotAllowed`], also where nobody can be sure whom a field names.
    pub fn of_header(&self, block: &Block<'_>, changes: &mut Changes) -> Result<(), Refusal> {
        if !self.have_rules() {
            return Ok(());
        }
        let said = Said::by(block);
        match (self.forced(), &self.from) {
            (Some(from), _) => force(from, &said, changes),
            (None, Some(from)) => fill(from, &said, changes),
            (None, None) => {}
        }
        if self.forced().is_some() { Ok(()) } else { self.check_all(&said) }
    }

    fn check_all(&self, said: &Said<'_>) -> Result<(), Refusal> {
        if self.allowed.is_none() {
            return Ok(());
        }
        for field in said.from.iter().chain(&said.sender) {
            let addresses = strict::addresses(field.value).ok_or(Refusal::SenderNotAllowed { sender: None })?;
            addresses.iter().try_for_each(|address| self.check(address))?;
        }
        Ok(())
    }

    fn check(&self, address: &Address) -> Result<(), Refusal> {
        let fine = self.allowed.as_ref().is_none_or(|allowed| allowed.have(address));
        if fine { Ok(()) } else { Err(Refusal::SenderNotAllowed { sender: Some(address.masked()) }) }
    }
}

/// Writes a From field where there is none, and the Sender that several authors need.
fn fill(from: &Mailbox, said: &Said<'_>, changes: &mut Changes) {
    if said.from.iter().all(Field::is_blank) {
        said.from.iter().for_each(|field| changes.remove(field));
        return changes.add(from.field("From").as_bytes());
    }
    let authors = said.from.iter().filter_map(|field| strict::addresses(field.value)).map(|list| list.len()).max();
    if authors > Some(1) && said.sender.iter().all(Field::is_blank) {
        said.sender.iter().for_each(|field| changes.remove(field));
        changes.add(from.field("Sender").as_bytes());
    }
}

/// Puts one From field in the place of all, and keeps whom they named in Reply-To. A Sender would contradict it.
///
/// Where the address is the right one already, nothing changes, not even a name: what was signed stays signed.
fn force(from: &Mailbox, said: &Said<'_>, changes: &mut Changes) {
    let names_from = |field: &Field<'_>| strict::addresses(field.value).is_some_and(|list| is_only(&list, from));
    said.sender.iter().filter(|field| !names_from(field)).for_each(|field| changes.remove(field));
    let Some((first, others)) = said.from.split_first() else { return changes.add(from.field("From").as_bytes()) };
    if others.is_empty() && names_from(first) {
        return;
    }
    let mut lines = from.field("From").into_bytes();
    if let Some(old) = said.from.iter().find(|field| is_answerable(field) && !names_from(field) && !said.has_reply_to) {
        // As it was written, folds and all, under another name.
        lines.extend_from_slice(b"Reply-To:");
        lines.extend_from_slice(old.value);
    }
    changes.replace(first, lines);
    others.iter().for_each(|field| changes.remove(field));
}

fn is_only(list: &[Address], from: &Mailbox) -> bool {
    matches!(list, [one] if one == from.address())
}

/// Whether somebody could answer to it: `root` without a domain is no help to anybody, and some providers refuse it.
fn is_answerable(field: &Field<'_>) -> bool {
    strict::addresses(field.value).is_some_and(|list| !list.is_empty())
}
