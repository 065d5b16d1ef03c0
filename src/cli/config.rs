//! `sidepost config`: every setting in force, its value and where that came from, in the manner of `postconf`.

use std::ffi::OsString;

use super::{Exit, misconfigured};
use crate::config::Config;
use crate::config::env::PREFIX;

/// Prints the settings, or only checks them.
#[must_use]
pub fn run(check_only: bool, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let (_, env) = Config::read(variables);
    if !check_only {
        for (setting, value, origin) in env.in_force() {
            println!("{PREFIX}{} = {value}  ({origin})", setting.name());
        }
    }
    if env.has_problems() { misconfigured(&env.into_problems()) } else { Exit::Ok }
}
