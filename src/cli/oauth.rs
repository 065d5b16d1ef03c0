//! `sidepost oauth login`: a person's consent, once, and the variables to set with what it brought.

use std::ffi::OsString;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::prelude::{Long, Short, Value};

use super::{Exit, Verb, block_on, misconfigured};
use crate::config::env::{Env, PREFIX};
use crate::config::value::Value as _;
use crate::net::client::{Client, Patience, Url};
use crate::net::tls::Tls;
use crate::oauth::authorization::redirect::{Brought, Redirect, read};
use crate::oauth::authorization::{Application, Consent, Verifier, random};
use crate::oauth::config::{Config, GOOGLE_SCOPE, GOOGLE_TOKEN_URL, MICROSOFT_SCOPE, MICROSOFT_TOKEN_URL};
use crate::oauth::{Kind, Trouble, Vendor, write_secret};

const GOOGLE_AUTHORIZE_URL: &str = "https://accounts.google.com/o/oauth2/v2/auth";
const MICROSOFT_AUTHORIZE_URL: &str = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize";
const MICROSOFT_DEVICE_URL: &str = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode";
const PATIENCE: Patience = Patience { connect: Duration::from_secs(10), answer: Duration::from_secs(30) };
/// How long a person may take.
const USUAL_TIMEOUT: Duration = Duration::from_secs(600);

const HELP: &str = "\
Usage: sidepost oauth login google|microsoft [OPTIONS]

Gets a refresh token by consent in a browser, and prints the variables to set. The application's secret, where it has
one, comes from SIDEPOST_OAUTH_CLIENT_SECRET or SIDEPOST_OAUTH_CLIENT_SECRET_FILE, never from the command line.

  --client-id ID       the application (client) id; else SIDEPOST_OAUTH_CLIENT_ID
  --username ADDRESS   the mailbox; else SIDEPOST_USERNAME
  --tenant TENANT      Microsoft: the directory (tenant) id, or `consumers`; else SIDEPOST_OAUTH_TENANT, or `common`
  --device             Microsoft: show a code to type in on another device, in place of a browser on this one
  --write FILE         put the refresh token into this file (mode 0600) in place of showing it
  --timeout DURATION   how long the consent may take (10m)
";

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Login {
    microsoft: bool,
    device: bool,
    client_id: Option<String>,
    username: Option<String>,
    tenant: Option<String>,
    write: Option<PathBuf>,
    timeout: Option<Duration>,
    /// For tests and for clouds of their own.
    authorize_url: Option<String>,
    device_url: Option<String>,
}

/// Reads the rest of the command line.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse(parser: &mut lexopt::Parser) -> Result<Verb, String> {
    let mut login = Login::default();
    let mut words = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("help") | Short('h') => return Ok(Verb::Say(HELP.to_owned())),
            Long("device") => login.device = true,
            Long(option) => {
                let option = option.to_owned();
                let value = parser.value().and_then(lexopt::ValueExt::string).map_err(|error| error.to_string())?;
                login.set(&option, value)?;
            }
            Value(word) => words.push(word.to_string_lossy().into_owned()),
            Short(_) => return Err(argument.unexpected().to_string()),
        }
    }
    login.microsoft = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["login", "google"] => false,
        ["login", "microsoft"] => true,
        _ => return Err("usage: sidepost oauth login google|microsoft (--help says more)".to_owned()),
    };
    if login.device && !login.microsoft {
        return Err("--device: Google shows no codes for mail; use a browser".to_owned());
    }
    Ok(Verb::OauthLogin(login))
}

impl Login {
    fn set(&mut self, option: &str, value: String) -> Result<(), String> {
        match option {
            "client-id" => self.client_id = Some(value),
            "username" => self.username = Some(value),
            "tenant" => self.tenant = Some(value),
            "write" => self.write = Some(value.into()),
            "authorize-url" => self.authorize_url = Some(value),
            "device-url" => self.device_url = Some(value),
            "timeout" => {
                let parsed = Duration::parse(&value).ok_or_else(|| format!("--timeout wants {}", Duration::EXPECTS))?;
                self.timeout = Some(parsed);
            }
            _ => return Err(format!("no such option: --{option}")),
        }
        Ok(())
    }
}

/// Why there is no consent.
enum Failed {
    /// The issuer or the way to it.
    Trouble(Trouble),
    /// Nobody came.
    Timeout(Duration),
    /// Anything else, in a sentence.
    Other(String),
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<String> for Failed {
    fn from(sentence: String) -> Self {
        Self::Other(sentence)
    }
}

/// Everything that the exchange needs.
struct Session {
    application: Application,
    device_url: Url,
    client: Client,
}

/// Gets the consent and says what to set.
#[must_use]
pub fn run(login: &Login, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Exit {
    let mut env = Env::collect(variables, crate::config::settings());
    let config: Config = env.read();
    let (ca_file, username) = (env.peek("ca_file"), env.peek("username"));
    // What else is wrong with the settings is not the question here.
    let ours = |variable: &str| variable.starts_with("SIDEPOST_OAUTH_") || variable.starts_with("SIDEPOST_CA_FILE");
    let problems: Vec<_> = env.into_problems().into_iter().filter(|problem| ours(&problem.variable)).collect();
    if !problems.is_empty() {
        return misconfigured(&problems);
    }
    let session = match session(login, &config, Path::new(&ca_file), username) {
        Ok(session) => session,
        Err(sentence) => {
            eprintln!("sidepost: {sentence}");
            return Exit::Usage;
        }
    };
    let limit = login.timeout.unwrap_or(USUAL_TIMEOUT);
    let consent = block_on(async {
        let consent = async { if login.device { by_device(&session).await } else { by_browser(&session).await } };
        tokio::time::timeout(limit, consent).await.unwrap_or(Err(Failed::Timeout(limit)))
    });
    match consent {
        Ok(Ok(consent)) => tell(login, &session.application, &consent),
        Ok(Err(failed)) => fail(&failed),
        Err(error) => fail(&Failed::Other(error.to_string())),
    }
}

fn session(login: &Login, config: &Config, ca_file: &Path, username: String) -> Result<Session, String> {
    let given = |option: &Option<String>, setting: &Option<String>| option.clone().or_else(|| setting.clone());
    let client_id = given(&login.client_id, &config.oauth_client_id).ok_or_else(|| no_client_id(login.microsoft))?;
    if !login.microsoft && config.oauth_client_secret.is_none() {
        return Err("Google gives a client secret to Desktop app clients too: set SIDEPOST_OAUTH_CLIENT_SECRET or \
                    SIDEPOST_OAUTH_CLIENT_SECRET_FILE"
            .to_owned());
    }
    let tenant = given(&login.tenant, &config.oauth_tenant).unwrap_or_else(|| "common".to_owned());
    let url = |name: &str, given: Option<&String>, known: &str| {
        let text = given.map_or(known, String::as_str).replace("{tenant}", &tenant);
        Url::parse(&text).ok_or_else(|| format!("{name}: expected {}", Url::EXPECTS))
    };
    let (authorize, token, scope) = if login.microsoft {
        (MICROSOFT_AUTHORIZE_URL, MICROSOFT_TOKEN_URL, MICROSOFT_SCOPE)
    } else {
        (GOOGLE_AUTHORIZE_URL, GOOGLE_TOKEN_URL, GOOGLE_SCOPE)
    };
    let roots = Vec::from_iter((!ca_file.as_os_str().is_empty()).then_some(ca_file));
    Ok(Session {
        application: Application {
            vendor: if login.microsoft { Vendor::Microsoft } else { Vendor::Google },
            client_id,
            client_secret: config.oauth_client_secret.clone(),
            scope: config.oauth_scope.clone().unwrap_or_else(|| scope.to_owned()),
            authorize_url: url("--authorize-url", login.authorize_url.as_ref(), authorize)?,
            token_url: url("SIDEPOST_OAUTH_TOKEN_URL", config.oauth_token_url.as_ref(), token)?,
            mailbox: login.username.clone().or_else(|| (!username.is_empty()).then_some(username)),
        },
        device_url: url("--device-url", login.device_url.as_ref(), MICROSOFT_DEVICE_URL)?,
        client: Client::new(Tls::new(&roots)?, PATIENCE),
    })
}

fn no_client_id(microsoft: bool) -> String {
    let where_from = if microsoft {
        "In the Entra admin center: App registrations > New registration; under Authentication add the platform \"Mobile \
         and desktop applications\" with http://localhost (and allow public client flows for --device); under API \
         permissions add Microsoft Graph > Delegated > SMTP.Send."
    } else {
        "In the Google Cloud console: Google Auth Platform > Clients > Create client, type Desktop app; under Audience \
         publish the app, or its tokens end after seven days."
    };
    format!("--client-id (or SIDEPOST_OAUTH_CLIENT_ID) is needed. {where_from}")
}

async fn by_browser(session: &Session) -> Result<Consent, Failed> {
    let application = &session.application;
    let listener = Redirect::bind().await.map_err(|error| format!("cannot listen on 127.0.0.1: {error}"))?;
    // The names under which each of them allows every port.
    let host = if application.vendor == Vendor::Microsoft { "localhost" } else { "127.0.0.1" };
    let redirect = format!("http://{host}:{}", listener.port().map_err(|error| error.to_string())?);
    let (verifier, state) = (Verifier::new()?, random(16)?);
    eprintln!("Open this address in a browser on this machine and agree to what is asked:\n");
    eprintln!("  {}\n", application.address(&redirect, &state, &verifier));
    eprintln!("Where the browser runs elsewhere (a container, a server), it ends at an address that cannot be shown:");
    eprintln!("paste that address here and press Enter.\n");
    let brought = tokio::select! {
        brought = listener.wait(&state) => brought,
        brought = pasted(&state) => brought,
    };
    match brought {
        Brought::Code(code) => Ok(application.exchange(&session.client, &code, &redirect, &verifier).await?),
        Brought::Error(error, description) => Err(application.declined(&error, &description).into()),
    }
}

/// What somebody copied out of the browser. A standard input that ends brings nothing.
async fn pasted(state: &str) -> Brought {
    let (line, mut lines) = tokio::sync::mpsc::channel(1);
    // It may wait for a line for ever, so nobody waits for it.
    std::thread::spawn(move || {
        for read in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line.blocking_send(read).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        let query = line.trim().split_once('?').map_or("", |(_, query)| query);
        match read(query.split('#').next().unwrap_or_default(), state) {
            Some(brought) => return brought,
            None if line.trim().is_empty() => {}
            None => eprintln!("That is not the address at which this consent ends."),
        }
    }
    std::future::pending().await
}

async fn by_device(session: &Session) -> Result<Consent, Failed> {
    let invitation = session.application.invite(&session.client, &session.device_url).await?;
    eprintln!("Open {} on any device, enter the code {} and agree.\n", invitation.address, invitation.user_code);
    Ok(session.application.accepted(&session.client, &invitation).await?)
}

fn tell(login: &Login, application: &Application, consent: &Consent) -> Exit {
    let exit = match &login.write {
        None => Exit::Ok,
        Some(path) => match write_secret(path, consent.refresh_token.expose()) {
            Ok(()) => Exit::Ok,
            Err(error) => {
                // The consent is not to be lost for that.
                eprintln!("sidepost: {} cannot be written ({error}); here it is", path.display());
                Exit::Software
            }
        },
    };
    say(login, application);
    match &login.write {
        Some(path) if exit == Exit::Ok => println!("{PREFIX}OAUTH_REFRESH_TOKEN_FILE={}", path.display()),
        _ => println!("{PREFIX}OAUTH_REFRESH_TOKEN={}", String::from_utf8_lossy(consent.refresh_token.expose())),
    }
    eprintln!(
        "\nSet these variables{}.",
        if login.username.is_some() { "" } else { " and SIDEPOST_USERNAME, the mailbox" }
    );
    if !login.microsoft && consent.life.is_some_and(|life| life < Duration::from_secs(30 * 86_400)) {
        eprintln!(
            "\n{}",
            crate::oauth::remedy::SEVEN_DAYS_AHEAD.explain("Attention: Google ends this token within days.")
        );
    }
    if login.microsoft {
        eprintln!(
            "Microsoft gives a new refresh token each time: point SIDEPOST_OAUTH_TOKEN_STORE to a file on a volume that \
             stays, and it survives restarts."
        );
    }
    exit
}

fn say(login: &Login, application: &Application) {
    println!("{PREFIX}PROVIDER={}", if login.microsoft { "microsoft365" } else { "gmail" });
    if let Some(mailbox) = &application.mailbox {
        println!("{PREFIX}USERNAME={mailbox}");
    }
    println!("{PREFIX}OAUTH_CLIENT_ID={}", application.client_id);
    if let Some(tenant) = &login.tenant {
        println!("{PREFIX}OAUTH_TENANT={tenant}");
    }
    if application.client_secret.is_some() {
        println!("# and {PREFIX}OAUTH_CLIENT_SECRET as it is now");
    }
}

fn fail(failed: &Failed) -> Exit {
    match failed {
        Failed::Trouble(trouble) => {
            eprintln!("sidepost: {}", trouble.sentence());
            if trouble.kind == Kind::Refused { Exit::Refused } else { Exit::TryAgain }
        }
        Failed::Timeout(limit) => {
            eprintln!("sidepost: nobody consented within {} s; run the same command again", limit.as_secs());
            Exit::TryAgain
        }
        Failed::Other(sentence) => {
            eprintln!("sidepost: {sentence}");
            Exit::Software
        }
    }
}
