//! Who sends to whom, apart from what the headers say.

use super::Address;

/// An SMTP envelope: a sender, and at least one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    sender: Option<Address>,
    recipients: Vec<Address>,
}

impl Envelope {
    /// An envelope, or nothing where there is no recipient.
    ///
    /// A sender of `None` is the null reverse-path `<>` of RFC 5321 section 4.5.5.
    #[must_use]
    pub fn new(sender: Option<Address>, recipients: Vec<Address>) -> Option<Self> {
        (!recipients.is_empty()).then_some(Self { sender, recipients })
    }

    /// The same with another sender.
    #[must_use]
    pub fn from_sender(self, sender: Address) -> Self {
        Self { sender: Some(sender), ..self }
    }

    /// The same with this one recipient in the place of all.
    #[must_use]
    pub fn to_only(self, recipient: Address) -> Self {
        Self { recipients: vec![recipient], ..self }
    }

    /// The sender; `None` is the null reverse-path.
    #[must_use]
    pub fn sender(&self) -> Option<&Address> {
        self.sender.as_ref()
    }

    /// The recipients, at least one.
    #[must_use]
    pub fn recipients(&self) -> &[Address] {
        &self.recipients
    }

    /// Whether an address in it has a local part that only SMTPUTF8 can carry (RFC 6531).
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.sender.iter().chain(&self.recipients).any(Address::needs_smtputf8)
    }
}
