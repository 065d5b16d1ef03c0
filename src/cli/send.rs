//! `sidepost send`: a message through a running sidecar, from a script or by hand.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};

use serde_json::{Value, json};

use super::client::{Request, Response};
use super::{Exit, block_on, misconfigured};
use crate::config::Config;
use crate::config::value::Value as _;
use crate::net::listen::Address;

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    to: Vec<String>,
    cc: Vec<String>,
    from: Option<String>,
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    address: Option<Address>,
}

impl Letter {
    /// Takes an option.
    ///
    /// # Errors
    /// Where there is no such option.
    pub fn set(&mut self, option: &str, value: String) -> Result<(), String> {
        match option {
            "to" => self.to.push(value),
            "cc" => self.cc.push(value),
            "from" => self.from = Some(value),
            "subject" => self.subject = Some(value),
            "text" => self.text = Some(value),
            "html" => self.html = Some(value),
            "server" => {
                let parsed = Address::parse(&value).map(|address| address.reachable());
                self.address = Some(parsed.ok_or_else(|| format!("--server wants {}", Address::EXPECTS))?);
            }
            _ => return Err(format!("no such option: --{option}")),
        }
        Ok(())
    }

    /// The letter, if it can be sent.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(self) -> Result<Self, String> {
        if self.to.is_empty() && self.cc.is_empty() { Err("send needs --to".to_owned()) } else { Ok(self) }
    }

    fn json(&self) -> Result<Value, String> {
        let mut message = json!({ "to": self.to });
        let mut put = |field: &str, value: Option<Value>| {
            if let (Some(value), Some(object)) = (value, message.as_object_mut()) {
                object.insert(field.to_owned(), value);
            }
        };
        put("cc", (!self.cc.is_empty()).then(|| json!(self.cc)));
        put("from", self.from.clone().map(Value::from));
        put("subject", self.subject.clone().map(Value::from));
        let html =
            self.html.as_ref().map(|file| std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}")));
        put("html", html.transpose()?.map(Value::from));
        let text = match (&self.text, &self.html) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(standard_input()?),
        };
        put("text", text.map(Value::from));
        Ok(message)
    }
}

fn standard_input() -> Result<String, String> {
    if std::io::stdin().is_terminal() {
        eprintln!("sidepost: type the text, end with Ctrl-D");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
    Ok(text)
}

/// Sends, prints the answer, and turns it into an exit code.
#[must_use]
pub fn run(letter: &Letter, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let config = match Config::from_variables(variables) {
        Ok(config) => config,
        Err(problems) => return misconfigured(&problems),
    };
    let Some(address) = letter.address.clone().or_else(|| config.http.http_listen.reachable()) else {
        eprintln!("sidepost: SIDEPOST_HTTP_LISTEN is off; give --server");
        return Exit::Usage;
    };
    let message = match letter.json() {
        Ok(message) => message,
        Err(sentence) => {
            eprintln!("sidepost: {sentence}");
            return Exit::Usage;
        }
    };
    let request = Request::post_json("/v1/send", message.to_string().into_bytes()).authorized(&config.http);
    match block_on(request.send(address)) {
        Ok(Ok(response)) => tell(&response),
        Ok(Err(sentence)) => {
            eprintln!("sidepost: {sentence}. Is the sidecar running?");
            Exit::TryAgain
        }
        Err(error) => {
            eprintln!("sidepost: {error}");
            Exit::Software
        }
    }
}

fn tell(response: &Response) -> Exit {
    let body = String::from_utf8_lossy(&response.body);
    if response.status == 200 {
        println!("{}", body.trim_end());
        return Exit::Ok;
    }
    eprintln!("{}", body.trim_end());
    let retryable =
        serde_json::from_slice::<Value>(&response.body).ok().and_then(|body| body.get("retryable")?.as_bool());
    match retryable {
        Some(true) => Exit::TryAgain,
        _ => Exit::Refused,
    }
}
