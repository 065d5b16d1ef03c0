//! Every row of the table of causes, with what the provider really says: the class that delivery acts on, and the cause
//! with its remedy. And what no row knows: the general rules, for a provider that nobody has heard of.

use std::collections::BTreeSet;

use sidepost::diagnosis::Stage;
use sidepost::diagnosis::table;
use sidepost::outcome::Class::{self, Misconfigured, Permanent, Throttled, Transient};
use sidepost::outcome::{EnhancedCode, Failure, Reply, Step};
use sidepost::provider::{Link, preset};
use sidepost::transport::smtp::classify;

fn link(provider: &str) -> Link {
    let preset = preset::find(provider).or_else(|| preset::find("smtp")).unwrap();
    let login_refused = &preset.login_refused;
    Link { provider: provider.into(), host: "mail.example".into(), port: 587, login_refused }
}

fn reply(line: &str) -> Reply {
    let (code, rest) = line.split_once(' ').unwrap();
    let (word, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let numbers: Vec<u16> = word.split('.').filter_map(|number| number.parse().ok()).collect();
    let enhanced = match numbers.as_slice() {
        [class, subject, detail] => Some(EnhancedCode(u8::try_from(*class).unwrap(), *subject, *detail)),
        _ => None,
    };
    let text = if enhanced.is_some() { text } else { rest };
    Reply { code: code.parse().unwrap(), enhanced, text: text.to_owned() }
}

fn said(provider: &str, step: Step, line: &str) -> Failure {
    classify::refused(step, reply(line), &link(provider))
}

/// Provider, step, what it says, the class, the cause.
type Case = (&'static str, Step, &'static str, Class, &'static str);

const GOOGLE: &[Case] = &[
    (
        "gmail",
        Step::Auth,
        "534 5.7.9 Application-specific password required. For more information, go to \
         https://support.google.com/mail/?p=InvalidSecondFactor x-20020a - gsmtp",
        Misconfigured,
        "app_password_needed",
    ),
    (
        "gmail",
        Step::Auth,
        "534 5.7.9 Please log in with your web browser and then try again. Learn more at \
         https://support.google.com/mail/?p=WebLoginRequired",
        Misconfigured,
        "google_browser_login",
    ),
    (
        "gmail",
        Step::Auth,
        "534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1&plt=AKgnsbs> Please log in via your web \
         browser and then try again.",
        Misconfigured,
        "google_browser_login",
    ),
    (
        "gmail",
        Step::Auth,
        "535 5.7.8 Username and Password not accepted. Learn more at https://support.google.com/mail/?p=BadCredentials",
        Misconfigured,
        "google_credentials",
    ),
    ("gmail", Step::Auth, "454 4.7.0 Too many login attempts, please try again later.", Throttled, "too_many_logins"),
    (
        "gmail",
        Step::Sender,
        "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.",
        Throttled,
        "google_unusual_rate",
    ),
    (
        "google-workspace-relay",
        Step::Hello,
        "421 4.7.0 Try again later, closing connection. (EHLO)",
        Transient,
        "google_relay_helo",
    ),
    (
        "google-workspace-relay",
        Step::Recipient,
        "450 4.2.1 Peak SMTP relay limit exceeded for customer.",
        Transient,
        "google_relay_peak",
    ),
    ("gmail", Step::Final, "550 5.4.5 Daily user sending limit exceeded.", Throttled, "daily_limit"),
    (
        "google-workspace-relay",
        Step::Recipient,
        "550 5.7.1 Daily SMTP relay limit exceeded for customer.",
        Throttled,
        "daily_limit",
    ),
    (
        "gmail",
        Step::Recipient,
        "452 4.5.3 Domain policy size per transaction exceeded, please try this recipient in a separate transaction.",
        Transient,
        "transaction_size",
    ),
    ("gmail", Step::Recipient, "452 4.5.3 Your message has too many recipients.", Transient, "recipient_refused"),
    ("gmail", Step::Final, "552 5.2.3 Your message exceeded Google's message size limits.", Permanent, "too_large"),
    (
        "gmail",
        Step::Recipient,
        "421 4.7.0 TLS required for RCPT domain, closing connection.",
        Misconfigured,
        "tls_wanted",
    ),
];

const MICROSOFT: &[Case] = &[
    (
        "microsoft365",
        Step::Auth,
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit \
         https://aka.ms/smtp_auth_disabled for more information.",
        Misconfigured,
        "ms_tenant_smtp_auth_off",
    ),
    (
        "microsoft365",
        Step::Auth,
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
        Misconfigured,
        "ms_mailbox_smtp_auth_off",
    ),
    (
        "microsoft365",
        Step::Auth,
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. \
         Contact your administrator.",
        Misconfigured,
        "ms_security_defaults",
    ),
    (
        "microsoft365",
        Step::Auth,
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated \
         successfully. Contact your administrator.",
        Misconfigured,
        "ms_conditional_access",
    ),
    (
        "outlook",
        Step::Auth,
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
        Misconfigured,
        "ms_passwords_off",
    ),
    (
        "microsoft365",
        Step::Auth,
        "535 5.7.3 Authentication unsuccessful [AM0PR.prod.outlook.com]",
        Misconfigured,
        "ms_credentials",
    ),
    (
        "microsoft365",
        Step::Sender,
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        Misconfigured,
        "ms_passwords_retired",
    ),
    (
        "microsoft365",
        Step::Sender,
        "530 5.7.57 Client was not authenticated to send anonymous mail during MAIL FROM",
        Misconfigured,
        "ms_not_logged_in",
    ),
    (
        "microsoft365",
        Step::Final,
        "554 5.2.252 SendAsDenied; joe@example.com not allowed to send as ann@example.com; \
         STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied",
        Misconfigured,
        "ms_send_as",
    ),
    (
        "microsoft365",
        Step::Sender,
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        Misconfigured,
        "ms_send_as",
    ),
    (
        "microsoft365",
        Step::Final,
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
        Throttled,
        "ms_concurrency",
    ),
    (
        "microsoft365",
        Step::Final,
        "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        Throttled,
        "ms_concurrency",
    ),
    ("microsoft365", Step::Sender, "451 4.7.500 Server busy. Please try again later", Throttled, "ms_server_busy"),
    (
        "microsoft365",
        Step::Final,
        "554 5.2.0 STOREDRV.Submission.Exception:QuotaExceededException; Failed to process message",
        Misconfigured,
        "ms_mailbox_full",
    ),
    (
        "microsoft365",
        Step::Recipient,
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
        Misconfigured,
        "ms_banned_address",
    ),
];

const SERVICES: &[Case] = &[
    (
        "ses",
        Step::Final,
        "554 Message rejected: Email address is not verified. The following identities failed the check in region \
         EU-WEST-1: ann@example.com",
        Misconfigured,
        "ses_not_verified",
    ),
    ("ses", Step::Final, "454 Throttling failure: Maximum sending rate exceeded.", Throttled, "ses_rate"),
    ("ses", Step::Final, "454 Throttling failure: Daily message quota exceeded.", Throttled, "ses_daily_quota"),
    ("ses", Step::Greeting, "421 Too many concurrent SMTP connections", Throttled, "ses_connections"),
    ("ses", Step::Final, "451 4.4.2 Timeout waiting for data from client.", Transient, "provider_busy"),
    ("ses", Step::Auth, "535 Authentication Credentials Invalid", Misconfigured, "login_refused"),
    (
        "sendgrid",
        Step::Auth,
        "535 Authentication failed: The provided authorization grant is invalid, expired, or revoked",
        Misconfigured,
        "sendgrid_key",
    ),
    ("sendgrid", Step::Auth, "535 Authentication failed: Bad username / password", Misconfigured, "login_refused"),
    (
        "sendgrid",
        Step::Auth,
        "535 Authentication failed: Basic authentication is not allowed with 2FA enabled",
        Misconfigured,
        "sendgrid_password",
    ),
    ("sendgrid", Step::Auth, "451 Authentication failed: Maximum credits exceeded", Misconfigured, "sendgrid_credits"),
    ("sendgrid", Step::Sender, "550 Unauthenticated senders not allowed", Misconfigured, "login_needed"),
    (
        "sendgrid",
        Step::Final,
        "550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.",
        Misconfigured,
        "sendgrid_sender",
    ),
    ("smtp", Step::Sender, "553 Sender is not allowed to relay emails", Misconfigured, "sender_not_own"),
    (
        "smtp",
        Step::Sender,
        "553 5.7.1 Sender address rejected: not owned by user joe@example.com",
        Misconfigured,
        "sender_not_own",
    ),
    ("smtp", Step::Auth, "535 5.7.8 Key not found", Misconfigured, "smtp_key_needed"),
    (
        "mailgun",
        Step::Final,
        "550 Free accounts are for test purposes only. Please upgrade or add the address to authorized recipients.",
        Misconfigured,
        "mailgun_sandbox",
    ),
    ("mailgun", Step::Recipient, "421 Please activate your Mailgun account.", Misconfigured, "mailgun_sandbox"),
    ("mailgun", Step::Auth, "535 5.7.0 Authentication failed", Misconfigured, "login_refused"),
    (
        "resend",
        Step::Final,
        "550 You can only send testing emails to your own email address (joe@example.com).",
        Misconfigured,
        "resend_sandbox",
    ),
    (
        "resend",
        Step::Final,
        "550 The example.com domain is not verified. Please, add and verify your domain",
        Misconfigured,
        "domain_not_verified",
    ),
    (
        "postmark",
        Step::Final,
        "550 5.7.1 While your account is pending approval, all recipient addresses must share the same domain.",
        Misconfigured,
        "account_pending",
    ),
    ("smtp", Step::Auth, "535 5.7.1 Your account has been suspended", Misconfigured, "account_suspended"),
    (
        "smtp",
        Step::Final,
        "450 The given data was invalid. The from.email domain must be verified",
        Permanent,
        "invalid_data",
    ),
    ("smtp", Step::Final, "450 4.7.1 Mail send limit exceeded.", Throttled, "send_limit"),
    (
        "smtp",
        Step::Sender,
        "550 We do not authorize the use of this system to transport unsolicited, and/or bulk e-mail.",
        Misconfigured,
        "host_policy",
    ),
];

const ANYBODY: &[Case] = &[
    ("smtp", Step::Sender, "530 5.7.0 Must issue a STARTTLS command first", Misconfigured, "tls_wanted"),
    (
        "smtp",
        Step::Auth,
        "538 5.7.11 Encryption required for requested authentication mechanism",
        Misconfigured,
        "tls_wanted",
    ),
    (
        "smtp",
        Step::Recipient,
        "504 5.5.2 <pod-7>: Helo command rejected: need fully-qualified hostname",
        Misconfigured,
        "helo_refused",
    ),
    ("smtp", Step::Hello, "501 5.0.0 Invalid HELO", Misconfigured, "helo_refused"),
    ("smtp", Step::Auth, "504 5.7.4 Unrecognized authentication type", Misconfigured, "mechanism_refused"),
    ("smtp", Step::Auth, "421 4.7.0 Too many logins from your address", Throttled, "too_many_logins"),
    ("smtp", Step::Recipient, "554 5.7.1 <ann@example.org>: Relay access denied", Misconfigured, "relay_denied"),
    (
        "smtp",
        Step::Greeting,
        "554 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org",
        Misconfigured,
        "address_listed",
    ),
    (
        "smtp",
        Step::Final,
        "550 5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy",
        Permanent,
        "spam_policy",
    ),
    // What no row knows.
    ("smtp", Step::Auth, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", Misconfigured, "login_refused"),
    ("smtp", Step::Auth, "535 nope", Misconfigured, "login_refused"),
    ("smtp", Step::Auth, "454 4.7.0 Temporary authentication failure", Transient, "auth_temporary"),
    ("smtp", Step::Sender, "530 5.5.1 Authentication Required.", Misconfigured, "login_needed"),
    ("smtp", Step::Greeting, "554 5.3.2 no", Misconfigured, "greeting_refused"),
    ("smtp", Step::Greeting, "421 4.3.2 restarting", Transient, "provider_busy"),
    ("smtp", Step::StartTls, "454 4.7.0 TLS not available due to local problem", Transient, "tls_unavailable"),
    ("smtp", Step::Sender, "553 5.1.8 Domain of sender address does not exist", Misconfigured, "sender_refused"),
    ("smtp", Step::Sender, "552 5.3.4 Message size exceeds fixed limit", Permanent, "too_large"),
    ("smtp", Step::Recipient, "550 5.1.1 User unknown", Permanent, "recipient_refused"),
    ("smtp", Step::Recipient, "551 5.7.1 not local", Permanent, "recipient_refused"),
    ("smtp", Step::Recipient, "450 4.2.0 Greylisted, see http://postgrey.example", Transient, "recipient_refused"),
    ("smtp", Step::Final, "554 5.6.0 no", Permanent, "content_refused"),
    ("smtp", Step::Final, "421 4.3.0 Service not available", Transient, "provider_busy"),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    [GOOGLE, MICROSOFT, SERVICES, ANYBODY].into_iter().flatten()
}

#[test]
fn each_text_has_its_class_and_its_cause() {
    for (provider, step, line, class, cause) in cases() {
        let failure = said(provider, *step, line);
        assert_eq!((failure.class, failure.cause.name), (*class, *cause), "{provider} {step:?} {line}");
        assert!(failure.sentence.ends_with(failure.cause.remedy), "{}", failure.sentence);
        assert!(failure.sentence.contains(failure.cause.why), "{}", failure.sentence);
        let evidence = failure.evidence();
        assert!(evidence.starts_with(&format!("{provider} (mail.example:587)")), "{evidence}");
        assert!(failure.cause.remedy.is_empty() || !evidence.contains(failure.cause.remedy), "{evidence}");
        for secret in ["joe@", "ann@", "AKgnsbs"] {
            assert!(!failure.sentence.contains(secret), "{}", failure.sentence);
        }
    }
}

#[test]
fn no_row_is_left_without_a_text_that_finds_it() {
    let found: BTreeSet<_> = cases().map(|(provider, step, line, ..)| said(provider, *step, line).cause.why).collect();
    let missing: Vec<_> = table::rows().filter(|cause| !found.contains(cause.why)).map(|cause| cause.name).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_row_says_why_and_what_to_do() {
    for cause in table::rows() {
        let is_word = cause.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(is_word, "{}: a word for a label", cause.name);
        assert!(cause.why.ends_with('.') && cause.remedy.ends_with('.'), "{}: sentences", cause.name);
        assert!(cause.why.len() + cause.remedy.len() < 500, "{}: fits into an SMTP reply", cause.name);
    }
}

#[test]
fn a_refused_login_is_never_concluded_from_a_four() {
    for (provider, step, line, class, cause) in cases().filter(|(.., line, _, _)| line.starts_with('4')) {
        let is_lasting = ["sendgrid_credits", "mailgun_sandbox", "tls_wanted"].contains(cause);
        let failure = said(provider, *step, line);
        assert_eq!(*class == Misconfigured, is_lasting, "{line}");
        assert!(is_lasting || failure.cause.name != "login_refused", "{line}");
    }
}

#[test]
fn a_refusal_belongs_to_the_stage_that_it_is_about() {
    for (provider, step, line, stage) in [
        ("ses", Step::Final, "554 Message rejected: Email address is not verified.", Stage::Sender),
        ("smtp", Step::Recipient, "554 5.7.1 Relay access denied", Stage::Auth),
        ("microsoft365", Step::Sender, "530 5.7.57 Client was not authenticated to send anonymous mail", Stage::Auth),
        ("smtp", Step::Hello, "501 Invalid HELO", Stage::Greeting),
        ("smtp", Step::Final, "451 4.3.0 busy", Stage::Accepted),
    ] {
        assert_eq!(Stage::of(&said(provider, step, line)), Some(stage), "{line}");
    }
}
