//! A code that a person types in on another device (RFC 8628).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::endpoint::{self, Issuer, seconds};
use super::super::form::Form;
use super::super::remedy::{Flow, PENDING, THROTTLED};
use super::super::said::shown;
use super::super::{Kind, Trouble};
use super::{Application, Consent};
use crate::config::secret::Secret;
use crate::net::client::{Answer, Client, Url};
use crate::outcome::Cause;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8628 section 3.2 and 3.5.
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(1800);

const EXPIRED: Cause = Cause {
    name: "oauth_device_expired",
    why: "Nobody entered the code in time.",
    remedy: "Run the same command again.",
};

/// What the person needs, and what we show to get the token.
#[derive(Debug)]
pub struct Invitation {
    /// To be typed in.
    pub user_code: String,
    /// Where.
    pub address: String,
    device_code: Secret,
    interval: Duration,
    until: Instant,
}

#[derive(Deserialize)]
struct Said {
    device_code: String,
    user_code: String,
    verification_uri: Option<String>,
    verification_url: Option<String>,
    expires_in: Option<Value>,
    interval: Option<Value>,
}

impl Application {
    /// A code to be typed in.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn invite(&self, client: &Client, device_url: &Url) -> Result<Invitation, Trouble> {
        let form = self.identified(Form::default().field("scope", &self.scope));
        let issuer = Issuer { url: device_url, vendor: self.vendor, flow: Flow::Device };
        endpoint::post(client, issuer, form, invitation).await.result
    }

    /// The refresh token, once the person has consented.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn accepted(&self, client: &Client, invitation: &Invitation) -> Result<Consent, Trouble> {
        let mut interval = invitation.interval;
        loop {
            sleep(interval).await;
            if Instant::now() > invitation.until {
                let evidence = "The code has expired.".to_owned();
                return Err(Trouble { kind: Kind::Refused, cause: &EXPIRED, evidence, retry_after: None });
            }
            let form = self.identified(Form::new(GRANT_TYPE).secret("device_code", &invitation.device_code));
            match endpoint::token(client, self.issuer(Flow::Device), form).await.result {
                Err(trouble) if trouble.cause == &PENDING => {}
                // They ask for it, and a line that fails has nothing better to do.
                Err(trouble) if trouble.cause == &THROTTLED || trouble.kind != Kind::Refused => {
                    interval = (interval + USUAL_INTERVAL).min(LONGEST_INTERVAL);
                }
                granted => return self.consent(granted),
            }
        }
    }
}

fn invitation(answer: &Answer) -> Option<Invitation> {
    let said: Said = serde_json::from_slice(&answer.body).ok()?;
    let address = said.verification_uri.or(said.verification_url)?;
    let life = seconds(said.expires_in.as_ref()).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE);
    let interval = seconds(said.interval.as_ref()).unwrap_or(USUAL_INTERVAL);
    let whole = Url::parse(&address).is_some() && !said.user_code.is_empty() && !said.device_code.is_empty();
    whole.then(|| Invitation {
        user_code: shown(&said.user_code),
        address,
        device_code: Secret::new(said.device_code.into_bytes()),
        interval: interval.clamp(Duration::from_millis(100), LONGEST_INTERVAL),
        until: Instant::now() + life,
    })
}
