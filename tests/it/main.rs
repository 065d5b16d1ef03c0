//! The integration tests: one binary, stories in their own files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test that cannot go on should stop loudly, wherever its helpers live"
)]

mod architecture;
mod attacks;
mod broken_links;
mod causes;
mod chaos;
mod cold;
mod contract;
mod diagnosing;
mod dkim;
mod doctor;
mod faults_played;
mod import;
mod listener;
mod log_reader;
mod memory;
mod mixes;
mod networks;
mod oauth;
mod policies;
mod sendmail;
mod settings;
mod shutting_down;
mod silent_crowd;
mod soak;
mod sockets;
mod support;
mod through_the_rig;
mod tls_and_logins;
mod told_everywhere;
mod trying_again;
mod two_families;
mod what_providers_say;
