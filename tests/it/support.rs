//! What the tests stand on: a provider that does as it is told, certificates of every kind, and the faults as data.
//!
//! A test starts a [`provider::Provider`] from a [`provider::Script`], points a sidecar (or any client) at its
//! address, and reads afterwards in its [`provider::Ledger`] what really arrived.

// Each test uses the part of the support that it needs; the rest is not dead.
#![allow(dead_code, unused_imports)]
// A helper that cannot go on ends its test, which is what unwrap is for; clippy only knows `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod callers;
pub mod certificates;
pub mod crowd;
pub mod faults;
pub mod issuer;
pub mod keys;
pub mod lines;
pub mod network;
pub mod provider;
pub mod rig;
pub mod sidecar;
