//! `sidepost healthcheck`: for the HEALTHCHECK of an image that has no shell and no curl.

use std::ffi::OsString;
use std::time::Duration;

use super::client::Request;
use super::{Exit, block_on, misconfigured};
use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(4);

/// Asks the admin listener of this host whether the process is alive. The provider plays no part in it.
#[must_use]
pub fn run(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let config = match Config::from_variables(variables) {
        Ok(config) => config,
        Err(problems) => return misconfigured(&problems),
    };
    let Some(address) = config.admin.admin_listen.reachable() else {
        eprintln!("sidepost: SIDEPOST_ADMIN_LISTEN is off, so nobody can be asked");
        return Exit::Unhealthy;
    };
    let asked = async { tokio::time::timeout(PATIENCE, Request::get("/livez").send(address)).await };
    match block_on(asked) {
        Ok(Ok(Ok(answer))) if answer.status == 200 => Exit::Ok,
        Ok(Ok(Ok(answer))) => unhealthy(&format!("answered {}", answer.status)),
        Ok(Ok(Err(error))) => unhealthy(&error),
        Ok(Err(_)) => unhealthy("did not answer"),
        Err(error) => unhealthy(&error.to_string()),
    }
}

fn unhealthy(why: &str) -> Exit {
    eprintln!("sidepost: unhealthy: {why}");
    Exit::Unhealthy
}
