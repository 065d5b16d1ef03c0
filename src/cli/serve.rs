//! The default verb: be the sidecar until a signal comes.

use std::ffi::OsString;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info};

use super::shim::Shim;
use super::{Exit, misconfigured};
use crate::app::{self, Running, StartError};
use crate::config::env::Problem;
use crate::config::{Config, advice};
use crate::net::listen::Address;
use crate::observe::log;

/// Serves; returns after a signal and an orderly end.
#[must_use]
pub fn run(shim: Option<&Shim>, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let (config, env) = Config::read(variables);
    let notes = advice::of_settings(&config, &env);
    if env.has_problems() {
        return misconfigured(&env.into_problems());
    }
    log::start(&config.log);
    if let Some(Err(sentence)) = shim.map(Shim::install) {
        return failed(Exit::Config, &sentence);
    }
    worth_a_look(notes);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return failed(Exit::Unavailable, &why.to_string()),
    };
    let exit = match runtime.block_on(serve(&config)) {
        Ok(()) => Exit::Ok,
        Err(StartError(sentence)) => failed(Exit::Unavailable, &sentence),
    };
    log::finish();
    exit
}

fn worth_a_look(notes: Vec<Problem>) {
    for note in notes {
        info!(setting = note.variable, detail = note.sentence, "worth a look");
    }
}

fn failed(exit: Exit, sentence: &str) -> Exit {
    error!(reason = sentence, "cannot start");
    eprintln!("sidepost: {sentence}");
    exit
}

async fn serve(config: &Config) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(|error| StartError(error.to_string()))?;
    let running = app::start(config)?;
    announce(&running);
    // Nobody waits for it: the listeners have threads of their own.
    worth_a_look(advice::of_roots(config));
    let first = signals.next().await;
    info!(signal = first, messages = "finishing what is in flight", "draining");
    running
        .drain(async move {
            let _ = signals.next().await;
        })
        .await;
    info!("ended");
    Ok(())
}

/// SIGTERM and SIGINT. Handled from before the listeners are bound: PID 1 of a container has no default handlers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn announce(running: &Running) {
    info!(
        version = env!("CARGO_PKG_VERSION"), provider = %running.provider,
        http = %list(&running.http), smtp = %list(&running.smtp), smtps = %list(&running.smtps),
        lmtp = %list(&running.lmtp), admin = %list(&running.admin), "serving"
    );
    // Somebody who tries it out has no log viewer; a production log stays pure JSON.
    if &*running.provider == "capture" {
        eprint!("{}", invitation(running));
    }
}

fn list(addresses: &[Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn invitation(running: &Running) -> String {
    let mut text = "\nSidepost is running in capture mode: nothing leaves, mail is kept in memory.\n".to_owned();
    let first = |addresses: &[Address]| addresses.iter().find_map(|address| address.reachable().tcp());
    if let Some(http) = first(&running.http) {
        text.push_str(&format!(
            "  HTTP   http://{http}   try:\n    curl -H 'Content-Type: application/json' http://{http}/v1/send \\\n      \
             -d '{{\"from\":\"me@example.com\",\"to\":\"you@example.com\",\"subject\":\"Hello\",\"text\":\"It works.\"}}'\n    \
             curl http://{http}/v1/messages\n"
        ));
    }
    if let Some(smtp) = first(&running.smtp) {
        text.push_str(&format!("  SMTP   {smtp}          try:\n    swaks --to you@example.com --server {smtp}\n"));
    }
    if let Some(admin) = first(&running.admin) {
        text.push_str(&format!("  admin  http://{admin}/metrics, /livez, /readyz\n"));
    }
    text.push_str(
        "To send for real, set SIDEPOST_PROVIDER and its credentials; `sidepost config` lists every setting.\n\n",
    );
    text
}
