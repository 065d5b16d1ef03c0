//! `sidepost config`: every setting in force, its value and where that came from, in the manner of `postconf`.

use std::ffi::OsString;

use super::{Exit, misconfigured};
use crate::config::env::PREFIX;
use crate::config::{Config, advice};
use crate::net::tls::server::ServerTls;

/// Prints the settings, or only checks them.
#[must_use]
pub fn run(check_only: bool, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let (config, mut env) = Config::read(variables);
    // Only here and at the start: a running sidecar outlives a certificate that is being replaced.
    if let Err(sentence) = ServerTls::new(&config.tls) {
        env.problem("TLS_CERT_FILE", sentence);
    }
    if !check_only {
        for (setting, value, origin) in env.in_force() {
            println!("{PREFIX}{} = {value}  ({origin})", setting.name());
        }
    }
    for note in advice::notes(&config, &env) {
        eprintln!("worth a look: {note}");
    }
    if env.has_problems() { misconfigured(&env.into_problems()) } else { Exit::Ok }
}
