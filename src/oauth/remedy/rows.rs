//! The rows, the more particular ones first.

use super::super::{Kind, Vendor};
use super::{BUSY, CLOCK, Flow, PENDING, Row, THROTTLED};
use crate::outcome::Cause;

const fn row(vendor: Option<Vendor>, error: &'static str, marks: &'static [&'static str], cause: Cause) -> Row {
    Row { vendor, flow: None, error, marks, kind: Kind::Refused, cause }
}

const fn google(error: &'static str, marks: &'static [&'static str], cause: Cause) -> Row {
    row(Some(Vendor::Google), error, marks, cause)
}

const fn microsoft(marks: &'static [&'static str], cause: Cause) -> Row {
    row(Some(Vendor::Microsoft), "", marks, cause)
}

const fn any(error: &'static str, cause: Cause) -> Row {
    row(None, error, &[], cause)
}

impl Row {
    const fn only(mut self, flow: Flow) -> Self {
        self.flow = Some(flow);
        self
    }

    const fn passing(mut self) -> Self {
        self.kind = Kind::Busy;
        self
    }
}

const fn cause(name: &'static str, why: &'static str, remedy: &'static str) -> Cause {
    Cause { name, why, remedy }
}

/// The first that fits holds.
pub const ROWS: &[Row] = &[
    // Google, assertions of service accounts.
    google("invalid_grant", &["reasonable timeframe", "iat", "short-lived token"], CLOCK),
    google(
        "invalid_grant",
        &["invalid jwt signature"],
        cause(
            "oauth_key",
            "The service account's key was deleted or replaced, or belongs to another account.",
            "Make a new JSON key for the service account in the Google Cloud console and give it in \
             SIDEPOST_OAUTH_SERVICE_ACCOUNT.",
        ),
    ),
    google(
        "invalid_grant",
        &["email or user id", "account not found", "account has been deleted"],
        cause(
            "oauth_mailbox",
            "There is no such mailbox, or the service account is gone.",
            "SIDEPOST_USERNAME must be the primary address of a user of the Workspace, no alias and no group.",
        ),
    ),
    google("invalid_grant", &["invalid_rapt", "reauth"], cause(
        "oauth_reauthentication",
        "The Workspace ends sessions after a while (Google Cloud session control), and this token with them.",
        "Let the admin exempt this OAuth app under Security > Google Cloud session control, or use a service account \
         (SIDEPOST_OAUTH_SERVICE_ACCOUNT).",
    )),
    google(
        "invalid_grant",
        &[],
        cause(
            "oauth_assertion",
            "The issuer does not accept the service account's assertion and does not say why.",
            "Check that SIDEPOST_USERNAME is a mailbox of the Workspace, that the key was not deleted, and the clock.",
        ),
    )
    .only(Flow::ServiceAccount),
    google(
        "unauthorized_client",
        &[],
        cause(
            "oauth_delegation",
            "The service account may not act for this mailbox.",
            "In the Workspace admin console, under Security > API controls > Domain-wide delegation, add the numeric client \
             id of the service account with exactly the scope https://mail.google.com/ (it takes up to a day to hold).",
        ),
    )
    .only(Flow::ServiceAccount),
    google(
        "access_denied",
        &[],
        cause(
            "oauth_delegation",
            "The delegation of the service account lacks this scope, or the admin switched the app off.",
            "In the Workspace admin console, under Security > API controls > Domain-wide delegation, the client id needs the \
             scope https://mail.google.com/.",
        ),
    )
    .only(Flow::ServiceAccount),
    // Google, everybody.
    google(
        "invalid_grant",
        &[],
        cause(
            "oauth_grant",
            "Google does not say which of these it is: the app's publishing status is Testing and seven days are over; the \
             account's password was changed; access was revoked; the token was not used for six months; more than 100 \
             tokens were given for this account and client, and the oldest died; or the client id is another than the one \
             it was given to.",
            "Publish the OAuth app (\"In production\"), then run `sidepost oauth login google` and set the new \
             SIDEPOST_OAUTH_REFRESH_TOKEN; a service account (SIDEPOST_OAUTH_SERVICE_ACCOUNT) has none of these limits.",
        ),
    ),
    google(
        "unauthorized_client",
        &[],
        cause(
            "oauth_other_client",
            "The refresh token was given to another client id.",
            "SIDEPOST_OAUTH_CLIENT_ID and its secret must be those that `sidepost oauth login google` was run with.",
        ),
    ),
    google("disabled_client", &[], CLIENT_GONE),
    google("deleted_client", &[], CLIENT_GONE),
    google(
        "admin_policy_enforced",
        &[],
        cause(
            "oauth_policy",
            "The Workspace admin does not let this app in.",
            "Let the admin trust the client id under Security > API controls > App access control.",
        ),
    ),
    google(
        "org_internal",
        &[],
        cause(
            "oauth_policy",
            "The OAuth app is Internal to another organisation.",
            "Use an OAuth app of the mailbox's own organisation, or make this one External.",
        ),
    ),
    google("access_not_configured", &[], API_OFF),
    google("accessnotconfigured", &[], API_OFF),
    google("", &["has not been used in project", "mail service not enabled"], API_OFF),
    google(
        "invalid_scope",
        &[],
        cause(
            "oauth_scope",
            "",
            "For SMTP the scope is https://mail.google.com/ (gmail.send is not enough): leave SIDEPOST_OAUTH_SCOPE unset.",
        ),
    ),
    google("invalid_request", &["oob", "out-of-band"], cause(
        "oauth_redirect",
        "Google no longer shows codes to copy.",
        "Run `sidepost oauth login google`, which listens on 127.0.0.1 itself.",
    )),
    google("redirect_uri_mismatch", &[], GOOGLE_REDIRECT),
    google("invalid_request", &["redirect"], GOOGLE_REDIRECT),
    // Microsoft, by number: the text may change, they say, and so may the numbers.
    microsoft(
        &["aadsts700082", "aadsts700084", "aadsts70043", "aadsts70008"],
        cause(
            "oauth_grant_idle",
            "The refresh token has expired: it lives 90 days unused, less where a sign-in frequency policy says so.",
            "Run `sidepost oauth login microsoft` and set the new SIDEPOST_OAUTH_REFRESH_TOKEN; with \
             SIDEPOST_OAUTH_TOKEN_STORE each new token is kept, so that it never lies unused.",
        ),
    ),
    microsoft(
        &["aadsts50173", "aadsts50132", "aadsts50133", "aadsts70046"],
        cause(
            "oauth_grant_revoked",
            "The account's password was changed or reset, or its sessions were revoked, after the token was given.",
            "Run `sidepost oauth login microsoft` and set the new SIDEPOST_OAUTH_REFRESH_TOKEN.",
        ),
    ),
    microsoft(
        &["aadsts65001", "aadsts65004", "aadsts90094", "aadsts90093"],
        cause(
            "oauth_consent",
            "Nobody has consented to what this application asks for.",
            "Run `sidepost oauth login microsoft` again, or let an admin grant consent in the Entra admin center under the \
             app's API permissions (SMTP.Send delegated, or SMTP.SendAsApp as an application permission of Office 365 \
             Exchange Online).",
        ),
    ),
    microsoft(
        &["aadsts50076", "aadsts50079", "aadsts50158", "aadsts50074", "aadsts50072"],
        cause(
            "oauth_second_factor",
            "The tenant wants a second factor now.",
            "Run `sidepost oauth login microsoft` again and answer it, or use an application of its own \
             (SIDEPOST_OAUTH_CLIENT_SECRET without a refresh token), which is never asked for one.",
        ),
    ),
    microsoft(
        &["aadsts53000", "aadsts53001", "aadsts53002", "aadsts53003", "aadsts530003", "aadsts530004", "aadsts530034"],
        cause(
            "oauth_conditional_access",
            "A Conditional Access policy of the tenant blocks this sign-in (device, place, or kind of app).",
            "The Entra sign-in log names the policy; let the admin exempt this application or this network.",
        ),
    ),
    microsoft(
        &["aadsts700016", "aadsts70001"],
        cause(
            "oauth_client",
            "There is no application with this client id in this tenant.",
            "SIDEPOST_OAUTH_CLIENT_ID is the Application (client) ID, not the object ID; SIDEPOST_OAUTH_TENANT is the \
             Directory (tenant) ID in which it is registered.",
        ),
    ),
    microsoft(
        &["aadsts7000215"],
        cause(
            "oauth_client_secret",
            "The client secret is wrong.",
            "SIDEPOST_OAUTH_CLIENT_SECRET is the Value of the secret, which is shown once, not its Secret ID.",
        ),
    ),
    microsoft(
        &["aadsts7000222"],
        cause(
            "oauth_client_secret_expired",
            "The client secret has expired.",
            "Add a new client secret in the Entra admin center under Certificates & secrets and give its Value in \
             SIDEPOST_OAUTH_CLIENT_SECRET; a certificate lasts longer.",
        ),
    ),
    microsoft(
        &["aadsts700027", "aadsts700023", "aadsts700021", "aadsts700030", "aadsts7000214"],
        cause(
            "oauth_certificate",
            "The assertion is not signed by a certificate that is registered for this application.",
            "Upload the certificate of SIDEPOST_OAUTH_CLIENT_CERTIFICATE under Certificates & secrets of the app \
             registration, and see that the key belongs to it and that it has not expired.",
        ),
    ),
    microsoft(&["aadsts700024"], CLOCK),
    microsoft(
        &["aadsts7000218", "aadsts7000216", "aadsts70002"],
        cause(
            "oauth_client_secret_missing",
            "The application is registered as a confidential one, which must show a secret.",
            "Set SIDEPOST_OAUTH_CLIENT_SECRET, or allow public client flows in the app registration under Authentication.",
        ),
    ),
    microsoft(
        &["aadsts700025"],
        cause(
            "oauth_public_client",
            "The application is registered as a public one, which must not show a secret.",
            "Remove SIDEPOST_OAUTH_CLIENT_SECRET.",
        ),
    ),
    microsoft(
        &["aadsts1002012", "aadsts70011", "aadsts28002", "aadsts28003", "aadsts650053", "aadsts90014"],
        MICROSOFT_SCOPE,
    ),
    microsoft(&["aadsts500011", "aadsts50001", "aadsts650057"], MICROSOFT_SCOPE),
    microsoft(
        &["aadsts90002", "aadsts900023", "aadsts900021", "aadsts90013", "aadsts50020", "aadsts50059", "aadsts500014"],
        cause(
            "oauth_tenant",
            "The tenant is not known, or the account is none of its own.",
            "SIDEPOST_OAUTH_TENANT is the Directory (tenant) ID or a domain of it; for personal accounts it is `consumers`.",
        ),
    ),
    microsoft(
        &["aadsts50194", "aadsts53011", "aadsts9002331", "aadsts9002346", "aadsts50184"],
        cause(
            "oauth_account_type",
            "The application is registered for other kinds of account than this address of Microsoft's serves.",
            "Set SIDEPOST_OAUTH_TENANT to the Directory (tenant) ID for an app of one tenant, to `consumers` for one of \
             personal accounts only.",
        ),
    ),
    microsoft(
        &["aadsts50034", "aadsts50057", "aadsts50105", "aadsts51004", "aadsts50128"],
        cause(
            "oauth_mailbox",
            "The account does not exist, is disabled, or is not assigned to this application.",
            "Check the account in the Entra admin center.",
        ),
    ),
    microsoft(
        &["aadsts50055", "aadsts50126", "aadsts50053", "aadsts50144"],
        cause(
            "oauth_grant_revoked",
            "The account's password has expired or is wrong, or the account is locked.",
            "Sign in once in a browser, then run `sidepost oauth login microsoft` again.",
        ),
    ),
    microsoft(
        &["aadsts50011", "aadsts500113", "aadsts700054", "aadsts9002326", "aadsts900971"],
        cause(
            "oauth_redirect",
            "The redirect address is not registered for this application.",
            "In the Entra admin center, under Authentication, add the platform \"Mobile and desktop applications\" with \
             http://localhost; or use `--device`.",
        ),
    ),
    microsoft(
        &["aadsts54005", "aadsts70000", "aadsts9002313", "aadsts900144", "aadsts900432", "aadsts501481"],
        cause(
            "oauth_grant",
            "What was shown is not a token or code of this application: cut off, used up, or given to another client.",
            "Run `sidepost oauth login microsoft` and set the new SIDEPOST_OAUTH_REFRESH_TOKEN, whole, with the same \
             SIDEPOST_OAUTH_CLIENT_ID.",
        ),
    ),
    microsoft(&["aadsts50196", "aadsts90055", "aadsts90006"], THROTTLED).passing(),
    microsoft(&["aadsts90033", "aadsts90024", "aadsts90025", "aadsts90012", "aadsts165004"], BUSY).passing(),
    row(
        Some(Vendor::Microsoft),
        "invalid_grant",
        &[],
        cause(
            "oauth_grant",
            "The refresh token is of no use any more: 90 days unused, password changed, sessions revoked, or a policy.",
            "The number can be looked up at https://login.microsoftonline.com/error?code=NUMBER; then run `sidepost oauth \
             login microsoft` and set the new SIDEPOST_OAUTH_REFRESH_TOKEN.",
        ),
    ),
    row(Some(Vendor::Microsoft), "invalid_scope", &[], MICROSOFT_SCOPE),
    // RFC 8628, the words while somebody is still typing.
    any("expired_token", cause(
        "oauth_device_expired",
        "Nobody entered the code in time.",
        "Run the same command again.",
    )),
    any("authorization_pending", PENDING).passing(),
    any("authorization_declined", DECLINED),
    any("access_denied", DECLINED),
    // RFC 6749, whoever says them.
    any("temporarily_unavailable", BUSY).passing(),
    any("server_error", BUSY).passing(),
    any("internal_failure", BUSY).passing(),
    any("slow_down", THROTTLED).passing(),
    any("rate_limit_exceeded", THROTTLED).passing(),
    any(
        "invalid_grant",
        cause(
            "oauth_code",
            "The code was used before, is too old, or was given to another client.",
            "Run the same command again.",
        ),
    )
    .only(Flow::Code),
    any(
        "invalid_grant",
        cause(
            "oauth_grant",
            "The token or credential that was shown has expired, was revoked, or was given to another client.",
            "Consent again and set the new SIDEPOST_OAUTH_REFRESH_TOKEN.",
        ),
    ),
    any(
        "invalid_client",
        cause(
            "oauth_client",
            "The client id or its secret is wrong, or the client was deleted.",
            "Copy SIDEPOST_OAUTH_CLIENT_ID and SIDEPOST_OAUTH_CLIENT_SECRET again, without spaces around them.",
        ),
    ),
    any(
        "unauthorized_client",
        cause(
            "oauth_client",
            "The client may not get tokens in this way.",
            "Allow this grant type for the client where it is registered.",
        ),
    ),
    any(
        "unsupported_grant_type",
        cause(
            "oauth_grant_type",
            "The issuer does not give tokens in this way.",
            "Check SIDEPOST_OAUTH_TOKEN_URL, and which of refresh token, service account and client credentials it takes.",
        ),
    ),
    any(
        "invalid_scope",
        cause("oauth_scope", "", "Check SIDEPOST_OAUTH_SCOPE: it must be no more than what was consented to."),
    ),
    any("consent_required", CONSENT),
    any("interaction_required", CONSENT),
    any("login_required", CONSENT),
    any(
        "invalid_request",
        cause(
            "oauth_request",
            "The issuer misses something in what we sent.",
            "Check that every SIDEPOST_OAUTH_* variable that it wants is set, such as SIDEPOST_OAUTH_SCOPE.",
        ),
    ),
    // A number that nobody wrote a row for.
    row(
        Some(Vendor::Microsoft),
        "",
        &["aadsts"],
        cause(
            "oauth_refused",
            "",
            "Look the number up at https://login.microsoftonline.com/error?code=NUMBER; the Entra sign-in log has more.",
        ),
    ),
];

const CLIENT_GONE: Cause = cause(
    "oauth_client",
    "The OAuth client was disabled or deleted.",
    "Make a new client of the type Desktop app in the Google Cloud console and consent again.",
);

const API_OFF: Cause = cause(
    "oauth_api_off",
    "Gmail is not enabled for this project or mailbox.",
    "Enable the Gmail API in the Google Cloud project of the client, and see that the mailbox has a Gmail licence.",
);

const GOOGLE_REDIRECT: Cause = cause(
    "oauth_redirect",
    "The client does not allow a redirect to 127.0.0.1.",
    "Use an OAuth client of the type Desktop app: it allows every port of 127.0.0.1.",
);

const MICROSOFT_SCOPE: Cause = cause(
    "oauth_scope",
    "The scope does not fit: permissions of Outlook and of Graph cannot be mixed, and an application that acts for itself \
     asks for /.default.",
    "Leave SIDEPOST_OAUTH_SCOPE unset: it is https://outlook.office.com/SMTP.Send offline_access with a refresh token, \
     https://outlook.office365.com/.default without.",
);

const DECLINED: Cause = cause(
    "oauth_declined",
    "Access was not granted: somebody said no, the account is not a test user of the app, or an admin does not allow it.",
    "Run the same command again and agree to everything that is asked.",
);

const CONSENT: Cause =
    cause("oauth_consent", "Somebody has to sign in and agree once more.", "Run `sidepost oauth login` again.");
