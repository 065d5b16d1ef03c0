//! `sidepost doctor`: the chain to the provider, looked at now, link by link, for a person or for a machine.
//!
//! A running sidecar is asked, since it knows since when something is broken and what worked last. Where none runs, this
//! process becomes one for the moment, with the same settings and no door but a private one.

mod chain;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use self::chain::{Colour, Patient};
use super::client::{Request, Response};
use super::{Exit, block_on, misconfigured};
use crate::app::{self, Running, StartError};
use crate::config::env::{PREFIX, setting_of};
use crate::config::{Config, advice};
use crate::net::listen::Address;

/// Longer than a look at a chain in which every step takes as long as it may.
const PATIENCE: Duration = Duration::from_secs(120);
/// A sending may take its time for all its tries, and the provider for its answer.
const SENDING: Duration = Duration::from_secs(300);

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// As JSON.
    pub json: bool,
    /// A test message goes there.
    pub to: Option<String>,
    /// It comes from there, if not from `SIDEPOST_FROM`.
    pub from: Option<String>,
}

type Variables = Vec<(OsString, OsString)>;

/// Looks, prints, and says by the exit code at which link the chain is broken.
#[must_use]
pub fn run(options: &Options, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let variables: Variables = variables.into_iter().collect();
    let (config, env) = Config::read(variables.iter().cloned());
    let notes = advice::notes(&config, &env).into_iter().chain(advice::of_the_place(&config));
    let notes: Vec<_> = notes.map(|note| note.to_string()).collect();
    if env.has_problems() {
        let problems = env.into_problems();
        if options.json {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            println!("{:#}", json!({ "status": "fail", "stage": "config", "problems": problems, "notes": notes }));
        }
        return misconfigured(&problems);
    }
    let patient = match block_on(examine(options, &config, &variables, notes)) {
        Ok(Ok(patient)) => patient,
        Ok(Err(sentence)) => return failed(&sentence),
        Err(error) => return failed(&error.to_string()),
    };
    if options.json {
        println!("{:#}", patient.json());
    } else {
        let plain = variables.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
        let colour = if plain || !std::io::stdout().is_terminal() { Colour::None } else { Colour::Terminal };
        print!("{}", patient.text(colour));
    }
    patient.exit()
}

fn failed(sentence: &str) -> Exit {
    eprintln!("sidepost: {sentence}");
    Exit::Software
}

async fn examine(
    options: &Options,
    config: &Config,
    variables: &Variables,
    notes: Vec<String>,
) -> Result<Patient, String> {
    let ask = |request: Request| request.authorized(&config.http);
    let look = async |address: &Address| within(PATIENCE, ask(look()).send(address.clone())).await;
    let told = async |address: &Address, answer: Response| {
        let health = health(&answer).ok_or_else(|| not_ours(address, &answer))?;
        Ok::<_, String>((health, test_message(options, address, ask).await))
    };
    if let Some(address) = config.http.http_listen.reachable()
        && let Ok(answer) = look(&address).await
    {
        let (health, test) = told(&address, answer).await?;
        return Ok(Patient { asked: Some(address.to_string()), health, test, notes });
    }
    let running = become_one(variables)?;
    let address = running.http.first().cloned().ok_or("no listener")?;
    let (health, test) = told(&address, look(&address).await?).await?;
    running.drain(std::future::ready(())).await;
    Ok(Patient { asked: None, health, test, notes })
}

fn look() -> Request {
    Request::post_json("/v1/diagnosis", Vec::new())
}

async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(limit, asked).await.map_err(|_| format!("no answer within {} s", limit.as_secs()))?
}

fn health(answer: &Response) -> Option<Value> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    (answer.status == 200 && body["checks"].is_object()).then_some(body)
}

fn not_ours(address: &Address, answer: &Response) -> String {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let detail = said["detail"].as_str().unwrap_or("that is no sidecar");
    format!("{address} answered {}: {detail}", answer.status)
}

/// A sidecar in this process, which nobody else finds: its only door is a port that the kernel picks.
fn become_one(variables: &Variables) -> Result<Running, String> {
    let ours = |name: &OsString| {
        let name = setting_of(name).unwrap_or_default();
        name.ends_with("_LISTEN") || matches!(name, "PROBE_INTERVAL" | "CONNECTIONS_WARM" | "ALLOWED_CLIENTS")
    };
    let doors = [("HTTP_LISTEN", "127.0.0.1:0"), ("SMTP_LISTEN", "off"), ("ADMIN_LISTEN", "off")];
    let doors = doors.into_iter().chain([("PROBE_INTERVAL", "off")]);
    let doors = doors.map(|(name, value)| (format!("{PREFIX}{name}").into(), value.into()));
    let rest = variables.iter().filter(|(name, _)| !ours(name)).cloned();
    let config = Config::from_variables(rest.chain(doors))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    app::start(&config).map_err(|StartError(sentence)| sentence)
}

/// What became of the test message, if one was asked for.
async fn test_message(options: &Options, address: &Address, ask: impl Fn(Request) -> Request) -> Option<Value> {
    let to = options.to.as_ref()?;
    let mut message = json!({
        "to": to,
        "subject": "Sidepost test message",
        "text": "This message was sent by `sidepost doctor`. That you read it means that mail leaves.\n",
    });
    if let Some(from) = &options.from {
        message["from"] = json!(from);
    }
    let request = ask(Request::post_json("/v1/send", message.to_string().into_bytes()));
    Some(match within(SENDING, request.send(address.clone())).await {
        Ok(answer) => serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!({ "status": answer.status })),
        Err(sentence) => json!({ "detail": sentence, "code": "no_answer" }),
    })
}
