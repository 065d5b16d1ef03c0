//! Who sends to whom, apart from what the headers say.

use super::Address;
use super::dsn::Dsn;

/// An SMTP envelope: a sender, and at least one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    sender: Option<Address>,
    recipients: Vec<Address>,
    /// Hardly ever there, so it costs a pointer.
    dsn: Option<Box<Dsn>>,
    utf8_header: bool,
}

impl Envelope {
    /// An envelope, or nothing where there is no recipient.
    ///
    /// A sender of `None` is the null reverse-path `<>` of RFC 5321 section 4.5.5.
    #[must_use]
    pub fn new(sender: Option<Address>, recipients: Vec<Address>) -> Option<Self> {
        (!recipients.is_empty()).then_some(Self { sender, recipients, dsn: None, utf8_header: false })
    }

    /// The same for who wants to be told about the delivery; places are those of this envelope.
    #[must_use]
    pub fn with_dsn(self, dsn: Dsn) -> Self {
        Self { dsn: (!dsn.is_empty()).then(|| Box::new(dsn)), ..self }
    }

    /// The same for a message whose header was declared to be in UTF-8 (RFC 6532), and is.
    #[must_use]
    pub fn with_utf8_header(self, utf8_header: bool) -> Self {
        Self { utf8_header, ..self }
    }

    /// The same with another sender.
    #[must_use]
    pub fn from_sender(self, sender: Address) -> Self {
        Self { sender: Some(sender), ..self }
    }

    /// The same with this one recipient in the place of all, whose notifications nobody asked for.
    #[must_use]
    pub fn to_only(self, recipient: Address) -> Self {
        Self { recipients: vec![recipient], dsn: None, ..self }
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

    /// What the sender wants to be told about the delivery, if anything.
    #[must_use]
    pub fn dsn(&self) -> Option<&Dsn> {
        self.dsn.as_deref()
    }

    /// Whether the header is in UTF-8, as the sender declared.
    #[must_use]
    pub fn has_utf8_header(&self) -> bool {
        self.utf8_header
    }

    /// Whether only SMTPUTF8 can carry it (RFC 6531): a local part that is not ASCII, or a header in UTF-8.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        self.utf8_header || self.sender.iter().chain(&self.recipients).any(Address::needs_smtputf8)
    }
}
