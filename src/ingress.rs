//! What every ingress owes: one submission in, exactly one answer out, in its own words.
//!
//! An ingress reads within the budget, checks the form of what came, makes a
//! [`Submission`](crate::message::Submission) of it, hands that to the [`Relay`](crate::relay::Relay), and puts the
//! [`Answer`](crate::outcome::Answer) into its protocol's codes. It decides nothing about mail.

pub mod clients;
pub mod http;
pub mod smtp;
