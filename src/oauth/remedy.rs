//! What an issuer's refusal means, and what to do about it: one row for each error that is documented.
//!
//! RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5,
//! <https://developers.google.com/identity/protocols/oauth2>,
//! <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>.

mod rows;

use self::rows::ROWS;
use super::{Kind, Vendor};
use crate::outcome::{Cause, SET_THE_CLOCK};

/// The kinds of exchange with an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A refresh token for an access token.
    Refresh,
    /// A service account's assertion for one.
    ServiceAccount,
    /// An application's own credentials for one.
    ClientCredentials,
    /// What a browser brought back for a refresh token.
    Code,
    /// What was typed in on another device for a refresh token.
    Device,
}

/// What an issuer said.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// Who said it.
    pub vendor: Vendor,
    /// To what.
    pub flow: Flow,
    /// The `error`.
    pub error: &'a str,
    /// The `error_description`, in lower case, and whatever numbers came beside it as `aadsts123`.
    pub text: &'a str,
}

struct Row {
    vendor: Option<Vendor>,
    flow: Option<Flow>,
    /// Empty: any.
    error: &'static str,
    /// One of them has to be in the text; none: any text.
    marks: &'static [&'static str],
    kind: Kind,
    cause: Cause,
}

impl Row {
    fn fits(&self, said: &Refusal<'_>) -> bool {
        let mark = |mark: &&str| match mark.strip_prefix("aadsts") {
            // 7000215 begins with 70002.
            Some(number) if !number.is_empty() => {
                said.text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *mark)
            }
            _ => said.text.contains(*mark),
        };
        self.vendor.is_none_or(|vendor| vendor == said.vendor)
            && self.flow.is_none_or(|flow| flow == said.flow)
            && (self.error.is_empty() || self.error == said.error)
            && (self.marks.is_empty() || self.marks.iter().any(mark))
    }
}

/// What a refusal means.
#[must_use]
pub fn of(said: &Refusal<'_>) -> (Kind, &'static Cause) {
    ROWS.iter().find(|row| row.fits(said)).map_or((Kind::Refused, &UNKNOWN), |row| (row.kind, &row.cause))
}

/// Every cause, with what leads to it.
pub fn catalogue() -> impl Iterator<Item = (String, &'static Cause)> {
    let seen = |row: &'static Row| {
        let issuer = match row.vendor {
            Some(Vendor::Google) => "Google",
            Some(Vendor::Microsoft) => "Microsoft",
            Some(Vendor::Other) | None => "the issuer",
        };
        let error = if row.error.is_empty() { "an error".to_owned() } else { format!("`{}`", row.error) };
        let marks: Vec<_> = row.marks.iter().map(|mark| format!("`{mark}`")).collect();
        let marks = if marks.is_empty() { String::new() } else { format!(" with {}", marks.join(" or ")) };
        (format!("{issuer} answers {error}{marks}"), &row.cause)
    };
    ROWS.iter().map(seen).chain(BESIDE.iter().map(|(seen, cause)| ((*seen).to_owned(), *cause)))
}

/// What no row is for.
const BESIDE: [(&str, &Cause); 7] = [
    ("Google answers `invalid_grant` to a refresh token that is six to eight days old", &SEVEN_DAYS),
    ("Google announces an end of the refresh token within eight days", &SEVEN_DAYS_AHEAD),
    ("no connection to the token endpoint", &NOT_REACHED),
    ("the token endpoint's certificate does not hold", &TLS),
    ("a page that is no JSON", &NOT_THE_ISSUER),
    ("404 or the like from the token endpoint", &WRONG_ADDRESS),
    ("any other error", &UNKNOWN),
];

/// Of a refresh token of Google's that ended when those of applications under test do.
pub const SEVEN_DAYS: Cause = Cause {
    name: "oauth_seven_days",
    why: "The refresh token is about seven days old, and Google ends those of an OAuth app after seven days while its \
          publishing status is Testing.",
    remedy: "In the Google Cloud console, under Google Auth Platform > Audience, publish the app (\"In production\") and \
             then run `sidepost oauth login google` again: the old token stays dead. In a Workspace, an Internal app or a \
             service account (SIDEPOST_OAUTH_SERVICE_ACCOUNT) never has this limit.",
};

/// Before that, while there is still time.
pub const SEVEN_DAYS_AHEAD: Cause = Cause {
    name: "oauth_seven_days_ahead",
    why: "Google gives such an end to the tokens of an OAuth app whose publishing status is Testing.",
    remedy: SEVEN_DAYS.remedy,
};

/// Of an assertion that was made by a wrong clock.
pub const CLOCK: Cause = Cause {
    name: "oauth_clock",
    why: "What asks for a token carries the time, and it is refused when the clock of this machine is off by minutes.",
    remedy: SET_THE_CLOCK,
};

/// The issuer's server was not reached.
pub const NOT_REACHED: Cause = Cause {
    name: "oauth_not_reached",
    why: "The token is fetched over HTTPS, so this is the network between here and there, and not the login.",
    remedy: "Let this machine or pod out to that host on port 443, name lookup included; the last token is used for as \
             long as it lasts.",
};

/// The way to the issuer's server is not private.
pub const TLS: Cause = Cause {
    name: "oauth_tls",
    why: "The server that answered for the token endpoint could not prove that it is the one: a proxy that opens TLS, a \
          captive portal, or a clock of this machine that is far off. Nothing was sent.",
    remedy: "If the network has such a proxy, give its CA in SIDEPOST_CA_FILE.",
};

/// Something that is no token endpoint answered.
pub const NOT_THE_ISSUER: Cause = Cause {
    name: "oauth_not_the_issuer",
    why: "A token endpoint answers in JSON; such a page comes from a proxy, a captive portal or an error page in between.",
    remedy: "Let this machine or pod reach that host directly; check SIDEPOST_OAUTH_TOKEN_URL if it was set by hand.",
};

/// The address was set by hand, and is not a token endpoint.
pub const WRONG_ADDRESS: Cause = Cause {
    name: "oauth_wrong_address",
    why: "",
    remedy: "Check SIDEPOST_OAUTH_TOKEN_URL (and SIDEPOST_OAUTH_TENANT, where it is part of the address).",
};

/// The issuer has trouble of its own.
pub const BUSY: Cause = Cause { name: "oauth_busy", why: "The issuer has trouble of its own.", remedy: "" };

/// The issuer asks to wait.
pub const THROTTLED: Cause = Cause {
    name: "oauth_throttled",
    why: "The issuer wants fewer requests.",
    remedy: "If many copies run with the same credentials, let them start one after another.",
};

/// Somebody is still typing.
pub const PENDING: Cause = Cause { name: "oauth_pending", why: "Nobody has entered the code yet.", remedy: "" };

/// We ourselves could not ask.
pub const OURS: Cause = Cause { name: "oauth_internal", why: "", remedy: "" };

const UNKNOWN: Cause = Cause {
    name: "oauth_refused",
    why: "",
    remedy: "Check the SIDEPOST_OAUTH_* settings against what the issuer shows for this application.",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn name(vendor: Vendor, flow: Flow, error: &str, text: &str) -> (Kind, &'static str) {
        let (kind, cause) = of(&Refusal { vendor, flow, error, text: &text.to_lowercase() });
        (kind, cause.name)
    }

    #[test]
    fn every_documented_error_has_its_row() {
        use Flow::{ClientCredentials, Code, Device, Refresh, ServiceAccount};
        use Vendor::{Google, Microsoft, Other};
        let cases: &[(Vendor, Flow, &str, &str, &str)] = &[
            (Google, Refresh, "invalid_grant", "Token has been expired or revoked.", "oauth_grant"),
            (Google, Refresh, "invalid_grant", "Bad Request", "oauth_grant"),
            (Google, Refresh, "invalid_grant", "reauth related error (invalid_rapt)", "oauth_reauthentication"),
            (Google, Refresh, "invalid_client", "The OAuth client was not found.", "oauth_client"),
            (Google, Refresh, "invalid_client", "Unauthorized", "oauth_client"),
            (Google, Refresh, "disabled_client", "The OAuth client was disabled.", "oauth_client"),
            (Google, Refresh, "deleted_client", "The OAuth client was deleted.", "oauth_client"),
            (Google, Refresh, "unauthorized_client", "Unauthorized", "oauth_other_client"),
            (Google, Refresh, "invalid_scope", "Some requested scopes were invalid", "oauth_scope"),
            (Google, Refresh, "admin_policy_enforced", "", "oauth_policy"),
            (Google, Refresh, "org_internal", "", "oauth_policy"),
            (Google, Refresh, "access_not_configured", "", "oauth_api_off"),
            (Google, ServiceAccount, "invalid_grant", "Invalid JWT Signature.", "oauth_key"),
            (
                Google,
                ServiceAccount,
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your \
                 iat and exp values in the JWT claim.",
                "oauth_clock",
            ),
            (Google, ServiceAccount, "invalid_grant", "Invalid email or User ID", "oauth_mailbox"),
            (Google, ServiceAccount, "invalid_grant", "Invalid grant: account not found", "oauth_mailbox"),
            (Google, ServiceAccount, "invalid_grant", "", "oauth_assertion"),
            (
                Google,
                ServiceAccount,
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any \
                 of the scopes requested.",
                "oauth_delegation",
            ),
            (Google, ServiceAccount, "access_denied", "Requested client not authorized.", "oauth_delegation"),
            (Google, Code, "access_denied", "", "oauth_declined"),
            (Google, Code, "redirect_uri_mismatch", "", "oauth_redirect"),
            (Google, Code, "invalid_request", "The out-of-band (OOB) flow has been blocked", "oauth_redirect"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS700082: The refresh token has expired", "oauth_grant_idle"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS70008: expired", "oauth_grant_idle"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS50173: FreshTokenNeeded", "oauth_grant_revoked"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS65001: no consent", "oauth_consent"),
            (Microsoft, Refresh, "interaction_required", "AADSTS50076: MFA", "oauth_second_factor"),
            (Microsoft, Refresh, "interaction_required", "AADSTS50079: MFA", "oauth_second_factor"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS53003: Conditional Access", "oauth_conditional_access"),
            (Microsoft, Refresh, "unauthorized_client", "AADSTS700016: not found", "oauth_client"),
            (Microsoft, Refresh, "invalid_client", "AADSTS7000218: must contain", "oauth_client_secret_missing"),
            (Microsoft, Refresh, "invalid_client", "AADSTS700025: public", "oauth_public_client"),
            (Microsoft, Refresh, "invalid_scope", "AADSTS70011: scope isn't valid", "oauth_scope"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS70000: The provided value", "oauth_grant"),
            (Microsoft, Refresh, "invalid_grant", "AADSTS99999: something new", "oauth_grant"),
            (Microsoft, Refresh, "something_new", "AADSTS99999: something new", "oauth_refused"),
            (Microsoft, ClientCredentials, "invalid_client", "AADSTS7000215: invalid secret", "oauth_client_secret"),
            (Microsoft, ClientCredentials, "invalid_client", "AADSTS7000222: keys", "oauth_client_secret_expired"),
            (Microsoft, ClientCredentials, "invalid_client", "AADSTS700027: signature", "oauth_certificate"),
            (Microsoft, ClientCredentials, "invalid_client", "AADSTS700024: time range", "oauth_clock"),
            (Microsoft, ClientCredentials, "invalid_scope", "AADSTS1002012: scope", "oauth_scope"),
            (Microsoft, ClientCredentials, "invalid_resource", "AADSTS500011: principal", "oauth_scope"),
            (Microsoft, ClientCredentials, "invalid_request", "AADSTS90002: Tenant not found", "oauth_tenant"),
            (Microsoft, ClientCredentials, "invalid_request", "AADSTS50194: multi-tenant", "oauth_account_type"),
            (Microsoft, Device, "expired_token", "AADSTS70020: code expired", "oauth_device_expired"),
            (Microsoft, Device, "authorization_declined", "", "oauth_declined"),
            (Microsoft, Code, "invalid_request", "AADSTS50011: redirect URI", "oauth_redirect"),
            (Other, Refresh, "invalid_grant", "", "oauth_grant"),
            (Other, Code, "invalid_grant", "", "oauth_code"),
            (Other, Refresh, "invalid_client", "", "oauth_client"),
            (Other, Refresh, "unauthorized_client", "", "oauth_client"),
            (Other, Refresh, "unsupported_grant_type", "", "oauth_grant_type"),
            (Other, Refresh, "invalid_scope", "", "oauth_scope"),
            (Other, Refresh, "invalid_request", "", "oauth_request"),
            (Other, Refresh, "interaction_required", "", "oauth_consent"),
            (Other, Refresh, "nobody_knows", "", "oauth_refused"),
        ];
        for (vendor, flow, error, text, wanted) in cases {
            assert_eq!(
                name(*vendor, *flow, error, text),
                (Kind::Refused, *wanted),
                "{vendor:?} {flow:?} {error} {text}"
            );
        }
        for (error, text) in [
            ("temporarily_unavailable", ""),
            ("server_error", ""),
            ("slow_down", ""),
            ("invalid_request", "AADSTS90033: A transient error has occurred."),
        ] {
            assert_eq!(name(Microsoft, Refresh, error, text).0, Kind::Busy, "{error} {text}");
        }
    }

    #[test]
    fn every_row_says_what_to_do_in_whole_sentences() {
        for row in ROWS {
            let Cause { name, why, remedy } = &row.cause;
            assert!(name.starts_with("oauth_"), "{name}");
            assert!(why.is_empty() || why.ends_with('.'), "{name}: {why}");
            assert!(row.kind != Kind::Refused || remedy.ends_with('.'), "{name}: {remedy}");
            assert!(!why.contains("  ") && !remedy.contains("  "), "{name}");
        }
    }
}
