//! Who may get mail, and who gets it instead.
//!
//! The rules are about the recipients that the submission names; where they are then redirected, that makes no
//! difference, so that staging refuses what production refuses.

use crate::message::header::edit::Changes;
use crate::message::header::{Block, Field, encoded_word};
use crate::message::{Address, Envelope};
use crate::outcome::Refusal;

use super::Config;
use super::addresses::Addresses;

/// Fields by which a provider adds recipients to those of the envelope: taken out while a rule says who gets mail.
/// Other fields of theirs (`X-MC-Tags`, `X-PM-Message-Stream`, `X-SES-CONFIGURATION-SET`, `X-Mailgun-Tag`, ...) change
/// how a message is sent and not to whom, and stay.
///
/// - SendGrid, `to` and the filter `bcc`: <https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header>
/// - `SparkPost`, `cc`, `bcc` and `archive`: <https://developers.sparkpost.com/api/smtp/>
/// - Mandrill, a copy of each message: <https://mailchimp.com/developer/transactional/docs/smtp-integration/>
/// - Mailjet, reports of mistakes in a template: <https://dev.mailjet.com/smtp-relay/custom-headers/>
const NAMES_RECIPIENTS: [&str; 4] = ["X-SMTPAPI", "X-MSYS-API", "X-MC-BccAddress", "X-MJ-TemplateErrorReporting"];

/// The rules about recipients.
#[derive(Clone, Debug)]
pub struct Recipients {
    allowed: Option<Addresses>,
    denied: Option<Addresses>,
    redirect: Option<Address>,
}

impl Recipients {
    /// As the settings have it.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            allowed: config.allowed_recipients.clone(),
            denied: config.denied_recipients.clone(),
            redirect: config.redirect_to.clone(),
        }
    }

    /// Whether there is a rule at all.
    #[must_use]
    pub fn have_rules(&self) -> bool {
        self.allowed.is_some() || self.denied.is_some() || self.redirect.is_some()
    }

    /// Refuses the whole message for a recipient who may not get it.
    ///
    /// # Errors
    /// [`Refusal::RecipientNotAllowed`] about the first such one.
    pub fn check(&self, envelope: &Envelope) -> Result<(), Refusal> {
        envelope.recipients().iter().try_for_each(|recipient| self.check_one(recipient))
    }

    /// Refuses a recipient who may not get mail.
    ///
    /// # Errors
    /// [`Refusal::RecipientNotAllowed`].
    pub fn check_one(&self, recipient: &Address) -> Result<(), Refusal> {
        let refuse = |setting| Err(Refusal::RecipientNotAllowed { recipient: recipient.masked(), setting });
        if self.denied.as_ref().is_some_and(|denied| denied.have(recipient)) {
            return refuse("SIDEPOST_DENIED_RECIPIENTS");
        }
        if self.allowed.as_ref().is_some_and(|allowed| !allowed.have(recipient)) {
            return refuse("SIDEPOST_ALLOWED_RECIPIENTS");
        }
        Ok(())
    }

    /// Takes out blind recipients, and what would get around a rule.
    pub fn hide(&self, block: &Block<'_>, changes: &mut Changes) {
        let around_rules = |field: &Field<'_>| self.have_rules() && NAMES_RECIPIENTS.iter().any(|name| field.is(name));
        block.fields().filter(|field| field.is_blind() || around_rules(field)).for_each(|field| changes.remove(&field));
    }

    /// Puts the one recipient of staging in the place of all, who are written down in the header.
    #[must_use]
    pub fn redirect(&self, envelope: Envelope, changes: &mut Changes) -> Envelope {
        let Some(redirect) = &self.redirect else { return envelope };
        for original in envelope.recipients() {
            let original = original.to_string();
            let original = if original.is_ascii() { original } else { encoded_word::encode(&original) };
            changes.add(format!("X-Original-To: {original}\r\n").as_bytes());
        }
        envelope.to_only(redirect.clone())
    }
}
