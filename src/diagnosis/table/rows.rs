//! What providers are known to say. The first row that fits wins, so the particular stands above the general.
//!
//! A row names providers only where others say the same words and mean something else: many a known provider is reached
//! by `SIDEPOST_PROVIDER=smtp` and its host.

use super::Row;
use crate::outcome::Cause;

const GOOGLE: [&str; 2] = ["gmail", "google-workspace-relay"];
const MICROSOFT: [&str; 2] = ["microsoft365", "outlook"];

/// All of them, by provider, and at the end what many say.
pub const ROWS: &[Row] = &[
    // Google.
    Row {
        providers: &GOOGLE,
        words: &["application-specific password required", "invalidsecondfactor"],
        cause: Cause {
            name: "app_password_needed",
            why: "2-Step Verification is on, and this is the account's own password.",
            remedy: "Make an app password at myaccount.google.com/apppasswords and set it as SIDEPOST_PASSWORD, or use \
                     OAuth; an administrator can forbid app passwords, and then only OAuth is left.",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["webloginrequired", "log in with your web browser", "log in via your web browser"],
        cause: Cause {
            name: "google_browser_login",
            why: "Google held this login back as unusual, as it does with data centres.",
            remedy: "Sign in to the account once with a browser and confirm that it was you; then use an app password \
                     (myaccount.google.com/apppasswords) or OAuth.",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["username and password not accepted", "badcredentials"],
        cause: Cause {
            name: "google_credentials",
            why: "The app password is wrong, was made for another account, or was revoked: changing the account's \
                  password revokes them all.",
            remedy: "Make a new app password at myaccount.google.com/apppasswords (it needs 2-Step Verification) and \
                     set it as SIDEPOST_PASSWORD; SIDEPOST_USERNAME is the full address.",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["too many login attempts"],
        cause: Cause {
            name: "too_many_logins",
            why: "Google counts logins, and there were too many; the password may well be right.",
            remedy: "Wait ten minutes to an hour: logins rest meanwhile. Fewer connections that live longer prevent it \
                     (SIDEPOST_CONNECTIONS, SIDEPOST_CONNECTION_IDLE).",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["unusual rate of unsolicited", "4.7.28 "],
        cause: Cause {
            name: "google_unusual_rate",
            why: "Google sees more mail from this account or address than it trusts.",
            remedy: "Send more slowly; it passes by itself after some hours.",
        },
    },
    Row {
        providers: &["google-workspace-relay"],
        words: &["421 4.7.0 try again later, closing connection"],
        cause: Cause {
            name: "google_relay_helo",
            why: "Google's relay turns away clients that it does not know, or that say EHLO with a name such as \
                  localhost.",
            remedy: "Set SIDEPOST_HELO_NAME to a full name in your domain, and allow this machine's address in the \
                     Workspace admin console.",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["peak smtp relay limit"],
        cause: Cause {
            name: "google_relay_peak",
            why: "Too much mail at once through Google's relay for this customer.",
            remedy: "Nothing: it is sent more slowly. SIDEPOST_CONNECTIONS=1 helps if it stays so.",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["daily user sending limit", "daily smtp relay limit", "5.4.5 daily"],
        cause: Cause {
            name: "daily_limit",
            why: "Google allows 500 messages in 24 hours to a private account, 2,000 to a Workspace user and 10,000 \
                  through the relay.",
            remedy: "Wait, up to 24 hours, or send through another provider.",
        },
    },
    Row {
        providers: &GOOGLE,
        words: &["domain policy size per transaction"],
        cause: Cause {
            name: "transaction_size",
            why: "Google takes no more at once for this recipient's domain.",
            remedy: "Nothing: the rest is tried again by itself.",
        },
    },
    // Microsoft.
    Row {
        providers: &[],
        words: &["smtpclientauthentication is disabled for the tenant"],
        cause: Cause {
            name: "ms_tenant_smtp_auth_off",
            why: "SMTP AUTH is switched off for the whole organization.",
            remedy: "Enable it for this mailbox (Microsoft 365 admin center > user > Mail > Manage email apps > \
                     Authenticated SMTP), which outranks the organization's switch, or use OAuth with Microsoft \
                     Graph.",
        },
    },
    Row {
        providers: &[],
        words: &["smtpclientauthentication is disabled"],
        cause: Cause {
            name: "ms_mailbox_smtp_auth_off",
            why: "SMTP AUTH is switched off for this mailbox.",
            remedy: "Enable it: Microsoft 365 admin center > user > Mail > Manage email apps > Authenticated SMTP; it \
                     takes up to an hour.",
        },
    },
    Row {
        providers: &[],
        words: &["security defaults policy"],
        cause: Cause {
            name: "ms_security_defaults",
            why: "Security defaults of Microsoft Entra forbid passwords from programs.",
            remedy: "Use OAuth (SIDEPOST_AUTH=xoauth2), or have an administrator replace security defaults by \
                     Conditional Access that lets this mailbox in.",
        },
    },
    Row {
        providers: &[],
        words: &["did not meet the criteria to be authenticated"],
        cause: Cause {
            name: "ms_conditional_access",
            why: "A Conditional Access policy refuses this login: multi-factor, location or legacy authentication. It \
                  can depend on the address that it comes from.",
            remedy: "Look up the reason in the Microsoft Entra sign-in log, and use OAuth (SIDEPOST_AUTH=xoauth2).",
        },
    },
    Row {
        providers: &[],
        words: &["basic authentication is disabled"],
        cause: Cause {
            name: "ms_passwords_off",
            why: "Microsoft takes no passwords from programs for this account any more.",
            remedy: "Use OAuth (SIDEPOST_AUTH=xoauth2), or another provider.",
        },
    },
    Row {
        providers: &[],
        words: &["5.7.30 ", "basic authentication is not supported"],
        cause: Cause {
            name: "ms_passwords_retired",
            why: "Microsoft has retired passwords for SMTP in this organization.",
            remedy: "Use OAuth (SIDEPOST_AUTH=xoauth2), or another provider.",
        },
    },
    Row {
        providers: &[],
        words: &["5.7.57 ", "was not authenticated to send"],
        cause: Cause {
            name: "ms_not_logged_in",
            why: "No login came before the mail.",
            remedy: "Set SIDEPOST_USERNAME and SIDEPOST_PASSWORD (or OAuth), and see that SMTP AUTH is enabled for the \
                     mailbox.",
        },
    },
    Row {
        providers: &[],
        words: &["sendasdenied", "5.7.60 ", "permissions to send as", "5.2.252 "],
        cause: Cause {
            name: "ms_send_as",
            why: "The From address is not the mailbox that logged in.",
            remedy: "Grant that mailbox Send As for the address, or send as the mailbox itself (SIDEPOST_FROM).",
        },
    },
    Row {
        providers: &[],
        words: &["sender thread limit", "storedrv.clientsubmit", "432 4.3.2"],
        cause: Cause {
            name: "ms_concurrency",
            why: "Microsoft takes three connections per mailbox at once.",
            remedy: "Lower SIDEPOST_CONNECTIONS: 3 divided by the number of sidecars that use this mailbox.",
        },
    },
    Row {
        providers: &[],
        words: &["4.7.500 "],
        cause: Cause {
            name: "ms_server_busy",
            why: "Microsoft takes 30 messages a minute from a mailbox.",
            remedy: "Send more slowly; it passes by itself.",
        },
    },
    Row {
        providers: &[],
        words: &["quotaexceededexception", "554 5.2.2 mailbox full"],
        cause: Cause {
            name: "ms_mailbox_full",
            why: "The sender's own mailbox is full, most likely with sent items.",
            remedy: "Empty it, and set a retention policy on Sent Items.",
        },
    },
    Row {
        providers: &[],
        words: &["banned sending ip"],
        cause: Cause {
            name: "ms_banned_address",
            why: "Microsoft has banned the address that this machine sends from.",
            remedy: "Log in at smtp.office365.com port 587 in place of direct delivery, or ask \
                     delist.messaging.microsoft.com.",
        },
    },
    Row {
        providers: &MICROSOFT,
        words: &["535 5.7.3 "],
        cause: Cause {
            name: "ms_credentials",
            why: "Wrong password, multi-factor authentication without an app password, SMTP AUTH switched off, or a \
                  token for another audience.",
            remedy: "Check the password in a browser, enable Authenticated SMTP for the mailbox, and with OAuth that \
                     the token is for https://outlook.office365.com with SMTP.Send or SMTP.SendAsApp.",
        },
    },
    // Amazon SES.
    Row {
        providers: &[],
        words: &["failed the check in region", "email address is not verified"],
        cause: Cause {
            name: "ses_not_verified",
            why: "This From address or domain is not verified in this region; or the account is in the sandbox, and a \
                  recipient is not verified.",
            remedy: "Verify it in the SES console of the region of SIDEPOST_HOST, and ask for production access to \
                     leave the sandbox.",
        },
    },
    Row {
        providers: &[],
        words: &["maximum sending rate exceeded"],
        cause: Cause {
            name: "ses_rate",
            why: "More messages per second than the account may send.",
            remedy: "Send more slowly, or ask AWS for a higher rate.",
        },
    },
    Row {
        providers: &[],
        words: &["daily message quota exceeded"],
        cause: Cause {
            name: "ses_daily_quota",
            why: "The account's messages for 24 hours are used up.",
            remedy: "Wait, ask AWS for more, or send through another provider.",
        },
    },
    Row {
        providers: &[],
        words: &["too many concurrent smtp connections"],
        cause: Cause {
            name: "ses_connections",
            why: "More connections at once than SES takes.",
            remedy: "Lower SIDEPOST_CONNECTIONS.",
        },
    },
    // SendGrid.
    Row {
        providers: &[],
        words: &["authorization grant is invalid"],
        cause: Cause {
            name: "sendgrid_key",
            why: "The API key was deleted or never existed, or the login name is not the word apikey.",
            remedy: "Make an API key with the Mail Send permission and set it as SIDEPOST_API_KEY; with \
                     SIDEPOST_PROVIDER=sendgrid the login name is right by itself.",
        },
    },
    Row {
        providers: &[],
        words: &["basic authentication is not allowed with 2fa"],
        cause: Cause {
            name: "sendgrid_password",
            why: "This is the account's password, which SendGrid no longer takes.",
            remedy: "Make an API key with the Mail Send permission and set it as SIDEPOST_API_KEY.",
        },
    },
    Row {
        providers: &[],
        words: &["maximum credits exceeded"],
        cause: Cause {
            name: "sendgrid_credits",
            why: "The plan's messages are used up. It says 451, and stays so until they are renewed.",
            remedy: "Upgrade the plan, wait for the next period, or send through another provider.",
        },
    },
    Row {
        providers: &[],
        words: &["unauthenticated senders not allowed"],
        cause: Cause { name: "login_needed", why: "No login came before the mail.", remedy: "Set SIDEPOST_API_KEY." },
    },
    Row {
        providers: &[],
        words: &["verified sender identity"],
        cause: Cause {
            name: "sendgrid_sender",
            why: "The From address is no verified sender.",
            remedy: "Verify it, or better its domain, in SendGrid under Settings > Sender Authentication.",
        },
    },
    // Others.
    Row {
        providers: &[],
        words: &["sender is not allowed to relay", "not allowed to relay emails"],
        cause: Cause {
            name: "sender_not_own",
            why: "The From address is neither the login nor one of its verified aliases.",
            remedy: "Send as the address that logs in (SIDEPOST_FROM), or add the address as an alias, or its domain, \
                     at the provider.",
        },
    },
    Row {
        providers: &[],
        words: &["key not found"],
        cause: Cause {
            name: "smtp_key_needed",
            why: "This is an API key; SMTP wants an SMTP key.",
            remedy: "Make an SMTP key (at Brevo it begins with xsmtpsib-, not xkeysib-) and set it as the password.",
        },
    },
    Row {
        providers: &[],
        words: &["free accounts are for test purposes", "activate your mailgun account"],
        cause: Cause {
            name: "mailgun_sandbox",
            why: "This is a sandbox domain or an account that was not activated.",
            remedy: "Activate the account and verify your own domain at Mailgun; until then only authorized recipients \
                     get mail.",
        },
    },
    Row {
        providers: &[],
        words: &["only send testing emails to your own"],
        cause: Cause {
            name: "resend_sandbox",
            why: "Without a verified domain Resend sends to the account's owner only.",
            remedy: "Verify a domain at resend.com/domains and send from it.",
        },
    },
    Row {
        providers: &[],
        words: &["pending approval"],
        cause: Cause {
            name: "account_pending",
            why: "The account waits for approval and may send to its own domain only.",
            remedy: "Ask the provider to approve the account.",
        },
    },
    Row {
        providers: &[],
        words: &[
            "account suspended",
            "account is suspended",
            "account has been suspended",
            "account disabled",
            "account is disabled",
            "account has been disabled",
        ],
        cause: Cause {
            name: "account_suspended",
            why: "The provider has suspended the account.",
            remedy: "Log in to its web site and see why; nothing here can help.",
        },
    },
    Row {
        providers: &[],
        words: &["domain is not verified", "domain not verified"],
        cause: Cause {
            name: "domain_not_verified",
            why: "The domain of the From address is not verified for this account.",
            remedy: "Verify the domain at the provider, or send from one that is (SIDEPOST_FROM).",
        },
    },
    Row {
        providers: &[],
        words: &["the given data was invalid"],
        cause: Cause {
            name: "invalid_data",
            why: "The provider checks the message like a form and refuses it; its 450 does not mean later.",
            remedy: "See that the From domain is verified and that every recipient is an address; its text says which \
                     field.",
        },
    },
    Row {
        providers: &[],
        words: &["send limit exceeded", "sending limit exceeded"],
        cause: Cause {
            name: "send_limit",
            why: "The provider's limit of messages per hour or day is reached. It passes by itself.",
            remedy: "Wait, send less, or send through another provider.",
        },
    },
    Row {
        providers: &[],
        words: &["do not authorize the use of this system to transport unsolicited"],
        cause: Cause {
            name: "host_policy",
            why: "The hosting provider's mail server does not take this mail, and may have taken the place of yours.",
            remedy: "Use a port with implicit TLS (465), or another provider.",
        },
    },
    // Everybody.
    Row {
        providers: &[],
        words: &["must issue a starttls", "encryption required for requested auth", "tls required", "538 5.7.11"],
        cause: Cause {
            name: "tls_wanted",
            why: "It wants TLS before anything else.",
            remedy: "Take out SIDEPOST_TLS=none; SIDEPOST_TLS=starttls is right for ports 25, 587 and 2525.",
        },
    },
    Row {
        providers: &[],
        words: &["fully-qualified hostname", "helo command rejected", "invalid helo", "invalid ehlo", "bad helo"],
        cause: Cause {
            name: "helo_refused",
            why: "It does not take the name that we give in EHLO.",
            remedy: "Set SIDEPOST_HELO_NAME to the full name of this machine, such as mail.example.com.",
        },
    },
    Row {
        providers: &[],
        words: &["unrecognized authentication type", "unrecognised authentication type"],
        cause: Cause {
            name: "mechanism_refused",
            why: "It does not take this kind of login.",
            remedy: "Set SIDEPOST_AUTH to one that it offers: login, plain or xoauth2.",
        },
    },
    Row {
        providers: &[],
        words: &["too many login attempts", "too many logins"],
        cause: Cause {
            name: "too_many_logins",
            why: "There were too many logins; the password may well be right.",
            remedy: "Wait: logins rest meanwhile. Fewer connections that live longer prevent it (SIDEPOST_CONNECTIONS, \
                     SIDEPOST_CONNECTION_IDLE).",
        },
    },
    Row {
        providers: &[],
        words: &["relay access denied", "relaying denied", "unable to relay"],
        cause: Cause {
            name: "relay_denied",
            why: "It does not take mail for others from somebody who has not logged in.",
            remedy: "Set SIDEPOST_USERNAME and SIDEPOST_PASSWORD, use a submission port (587 or 465), or have this \
                     machine's address allowed there.",
        },
    },
    Row {
        providers: &[],
        words: &["not owned by user"],
        cause: Cause {
            name: "sender_not_own",
            why: "The sender address does not belong to the login.",
            remedy: "Send as the address that logs in (SIDEPOST_FROM), or add the address to the account.",
        },
    },
    Row {
        providers: &[],
        words: &["spamhaus", "blocklist", "blacklist", "block list"],
        cause: Cause {
            name: "address_listed",
            why: "The address that this machine sends from is on a block list.",
            remedy: "Send with a login over a submission port (587 or 465), or through a provider that does; ask the \
                     list to take the address out.",
        },
    },
    Row {
        providers: &[],
        words: &["dmarc", "spf check", "dkim", "message rejected as spam", "5.7.1 spam", "spam message"],
        cause: Cause {
            name: "spam_policy",
            why: "The message was judged by its content or by who it claims to be from.",
            remedy: "Check SPF, DKIM and DMARC of the From domain, and the content.",
        },
    },
];
