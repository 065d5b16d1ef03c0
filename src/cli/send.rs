//! `sidepost send`: a message through a running sidecar, from a script or by hand.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::net::ToSocketAddrs as _;

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
    server: Option<String>,
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
            "server" if is_server(&value) => self.server = Some(value),
            "server" => return Err(format!("--server wants a host with its port, or {}", Address::EXPECTS)),
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

fn is_server(text: &str) -> bool {
    let port = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
    Address::parse(text).is_some() || text.rsplit_once(':').is_some_and(port)
}

/// Where the server is; what is no address is the name of a host, such as that of a Service.
fn address(server: &str) -> Result<Address, String> {
    if let Some(address) = Address::parse(server) {
        return Ok(address.reachable());
    }
    let mut found = server.to_socket_addrs().map_err(|error| format!("{server}: {error}"))?;
    found.next().map(Address::Tcp).ok_or_else(|| format!("{server}: the name has no address"))
}

/// Sends, prints the answer, and turns it into an exit code.
#[must_use]
pub fn run(letter: &Letter, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let config = match Config::from_variables(variables) {
        Ok(config) => config,
        Err(problems) => return misconfigured(&problems),
    };
    let given = letter.server.as_deref().map(address).transpose();
    let address = match given.map(|given| given.or_else(|| config.http.http_listen.reachable())) {
        Ok(Some(address)) => address,
        Ok(None) => {
            eprintln!("sidepost: SIDEPOST_HTTP_LISTEN is off; give --server");
            return Exit::Usage;
        }
        Err(sentence) => {
            eprintln!("sidepost: {sentence}");
            return Exit::TryAgain;
        }
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
