//! Sidepost, the mail sidecar: mail comes in as HTTP JSON or SMTP on localhost and leaves through the provider that
//! the environment names. It either delivers, or says which link of the chain is broken and how to mend it.
//!
//! ```text
//!    your app                           sidepost                                  outside
//!   ----------              +-----------------------------+
//!    HTTP JSON -----------> | ingress::http               |
//!    SMTP      -----------> | ingress::smtp               |
//!        answer <---------- |     |  Submission           |
//!                           |     v                       |
//!                           | relay     the whole story   |
//!                           |   | 1 admit     | 2 deliver |
//!                           |   v             v           |
//!                           | policy       delivery ------+-- attempt --> transport ------> provider
//!                           |                 ^           |                   |
//!                           |                 +-----------+-- Receipt | Failure(class)
//!                           +-----------------------------+
//!     below all: message (what is sent), outcome (what can become of it), config, lifecycle, time
//!     beside all: observe (metrics, health, log), diagnosis (which link is broken, why, and what to do)
//! ```
//!
//! # One message, from start to end
//!
//! 1. [`ingress::http`] asks the [`relay`] for room before it reads a body; what has no room is told to come back.
//! 2. The JSON becomes a MIME message ([`message::mime`]) and, with its envelope, a [`message::Submission`].
//! 3. [`relay::Relay::submit`] has the [`policy`] admit it as a [`message::Message`], or refuse it; [`dkim`] may
//!    sign what will leave.
//! 4. [`delivery`] makes attempts along the [`provider`]'s paths until the deadline.
//! 5. [`transport::smtp`] takes a warm connection, or opens one: name, connection, TLS, greeting, EHLO, login. MAIL,
//!    RCPT and the content go out in one flight where the server allows it.
//! 6. The provider answers 451 to RCPT. `transport/smtp/classify.rs` knows the step, and says `Transient`.
//! 7. [`delivery`] looks at the class alone: again, after a wait that fits before the deadline. Then comes a 250.
//! 8. The [`relay`] counts, writes one log line, and returns an [`outcome::Answer`] with a verdict per recipient.
//! 9. The ingress puts it into its own words: 200 with the provider's reply; over SMTP it is the 250 to the dot.
//!
//! # What always holds
//!
//! 1. A success answer means that the provider took the message. Nothing is kept on disk.
//! 2. Every submission gets exactly one answer; every recipient exactly one verdict.
//! 3. Our own trouble (login, port, certificate) is never the message's fault: never a 5yz to an SMTP client.
//! 4. Content that went out and was not answered is *unconfirmed*: said so, and never silently sent again.
//! 5. Everything has a limit: bytes, recipients, connections, attempts, seconds, memory in flight.
//! 6. No address, subject, body or secret in a metric label; addresses in logs are masked; a provider's text counts as
//!    containing addresses.
//! 7. TLS to a provider is verified, always, and never falls back to plain text.
//! 8. Upper areas name lower ones, never the reverse; `tests/it/architecture.rs` keeps it.

pub mod app;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod diagnosis;
pub mod dkim;
pub mod ingress;
pub mod lifecycle;
pub mod message;
pub mod net;
pub mod oauth;
pub mod observe;
pub mod outcome;
pub mod policy;
pub mod provider;
pub mod relay;
pub mod time;
pub mod transport;
