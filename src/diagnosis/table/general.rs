//! What holds for every provider: one cause for each reason.

use crate::outcome::{Cause, Reason, SET_THE_CLOCK};

/// A mistake of ours.
pub const INTERNAL: Cause = Cause {
    name: "internal",
    why: "",
    remedy: "This is a mistake in Sidepost: please report it with this line of the log.",
};

/// Asked for by `SIDEPOST_CAPTURE_SCRIPT`.
pub const SCRIPTED: Cause = Cause { name: "scripted", why: "", remedy: "" };

/// A certificate whose time is over.
pub const CERTIFICATE_EXPIRED: Cause = Cause {
    name: "certificate_expired",
    why: "The provider has let it run out, or the clock of this machine is ahead.",
    remedy: "Look at the clock of this machine first; if it is right, whoever runs the server has to renew its certificate.",
};

/// A certificate whose time has not come.
pub const CERTIFICATE_NOT_YET_VALID: Cause = Cause {
    name: "certificate_not_yet_valid",
    why: "Nearly always that is the clock of this machine, which is behind.",
    remedy: SET_THE_CLOCK,
};

/// A certificate for another name.
pub const CERTIFICATE_NAME: Cause = Cause {
    name: "certificate_name",
    why: "SIDEPOST_HOST is an alias that the certificate does not know, or somebody else answers there.",
    remedy: "Set SIDEPOST_HOST to the name that the provider's manual gives, or to one in the certificate if the server \
             is your own.",
};

/// The certificates that are told apart, with what is seen of them.
pub(super) const CERTIFICATES: [(&str, &Cause); 3] = [
    ("the certificate's time is over by the clock here", &CERTIFICATE_EXPIRED),
    ("the certificate's time has not come by the clock here", &CERTIFICATE_NOT_YET_VALID),
    ("the certificate is for another name", &CERTIFICATE_NAME),
];

/// What stands behind each reason that is the provider's or the network's, as somebody would describe it.
pub(super) const SEEN: &[(&str, Reason)] = &[
    ("the resolver says that the name does not exist", Reason::NameNotFound),
    ("the resolver fails or says nothing", Reason::NameUnavailable),
    ("the connection is refused", Reason::ConnectionRefused),
    ("nothing answers the connection attempt", Reason::ConnectionTimeout),
    ("there is no way to the address", Reason::NoRoute),
    ("the connection is closed or reset", Reason::ConnectionLost),
    ("a connection comes about and a step is never answered", Reason::Timeout),
    ("5yz in the place of a greeting", Reason::GreetingRefused),
    ("what is said is no SMTP", Reason::Protocol),
    ("no STARTTLS in the answer to EHLO, or it is refused", Reason::TlsUnavailable),
    ("the TLS handshake fails", Reason::TlsHandshake),
    ("the certificate is not trusted here", Reason::TlsCertificate),
    ("plain text between the answer to STARTTLS and the handshake", Reason::TlsInjection),
    ("no login mechanism is offered that fits the credentials", Reason::AuthUnavailable),
    ("mail is refused for want of a login", Reason::AuthRejected),
    ("4yz to the login", Reason::AuthTemporary),
    ("5yz to MAIL", Reason::SenderRefused),
    ("5yz or 4yz to RCPT", Reason::RecipientRefused),
    ("5yz to the content", Reason::ContentRefused),
    ("552, or a SIZE that is too small", Reason::TooLarge),
    ("an address or a header in more than ASCII, and no SMTPUTF8", Reason::NeedsSmtpUtf8),
    ("8-bit content, and no 8BITMIME", Reason::NeedsEightBit),
    ("more recipients at once than it takes", Reason::TooManyRecipients),
    ("4yz that asks to slow down", Reason::Throttled),
    ("any other 4yz", Reason::ProviderBusy),
    ("every connection stays in use", Reason::NoConnectionFree),
    ("no answer after the last byte of content", Reason::OutcomeUnknown),
    ("the message needs an extension that is not offered", Reason::Unsupported),
    ("the message could not be signed", Reason::Unsigned),
    ("this process is told to end", Reason::ShuttingDown),
];

/// The cause that goes with a reason where nothing more is known.
#[must_use]
pub fn of(reason: Reason) -> &'static Cause {
    match reason {
        Reason::NameNotFound => {
            &Cause { name: "name_not_found", why: "", remedy: "Check the spelling of SIDEPOST_HOST." }
        }
        Reason::NameUnavailable => &Cause {
            name: "name_unavailable",
            why: "",
            remedy: "Check the resolver of this machine or pod, and that port 53 is open to it.",
        },
        Reason::ConnectionRefused => &Cause {
            name: "connection_refused",
            why: "Nothing listens on that port there, or a firewall refuses it.",
            remedy: "Check SIDEPOST_HOST and SIDEPOST_PORT.",
        },
        Reason::ConnectionTimeout => &Cause {
            name: "connection_timeout",
            why: "The host is down, or the port is blocked on the way, as many clouds do.",
            remedy: "Leave SIDEPOST_PORT at auto, or try 2525 or 465 if the provider has them.",
        },
        Reason::NoRoute => &Cause {
            name: "no_route",
            why: "This machine has no route there.",
            remedy: "Check egress rules and the address family.",
        },
        Reason::ConnectionLost => &Cause { name: "connection_lost", why: "", remedy: "" },
        Reason::Timeout => &Cause {
            name: "timeout",
            why: "",
            remedy: "If the port is 465, 2465 or 8465 it needs SIDEPOST_TLS=implicit; otherwise something on the way \
                     swallows SMTP.",
        },
        Reason::GreetingRefused => &Cause {
            name: "greeting_refused",
            why: "It does not talk to this address at all.",
            remedy: "Ask the provider, or send from another address.",
        },
        Reason::Protocol => {
            &Cause { name: "protocol", why: "", remedy: "Check SIDEPOST_HOST, SIDEPOST_PORT and SIDEPOST_TLS." }
        }
        Reason::TlsUnavailable => &Cause {
            name: "tls_unavailable",
            why: "Something on the way may be stripping it.",
            remedy: "Use a port with implicit TLS. SIDEPOST_TLS=none would send everything readable.",
        },
        Reason::TlsHandshake => &Cause { name: "tls_handshake", why: "", remedy: "" },
        Reason::TlsCertificate => &Cause {
            name: "tls_certificate",
            why: "",
            remedy: "If the server is your own, give its CA in SIDEPOST_CA_FILE, and its proper name in SIDEPOST_HOST.",
        },
        Reason::TlsInjection => &Cause {
            name: "tls_injection",
            why: "Somebody in between may be injecting commands.",
            remedy: "Use a port with implicit TLS, and find out who is on the line.",
        },
        Reason::AuthUnavailable => &Cause {
            name: "auth_unavailable",
            why: "",
            remedy: "Check that SIDEPOST_PORT is a submission port and SIDEPOST_TLS fits it.",
        },
        Reason::AuthRejected => &Cause {
            name: "login_needed",
            why: "It does not take mail for this recipient from somebody who has not logged in.",
            remedy: "Set the credentials that this provider wants; `sidepost config` shows which are set.",
        },
        Reason::AuthTemporary => &Cause {
            name: "auth_temporary",
            why: "It could not check the login just now; that says nothing about the password.",
            remedy: "Wait: it is tried again.",
        },
        Reason::SenderRefused => &Cause {
            name: "sender_refused",
            why: "",
            remedy: "Send from an address or domain that is verified for this account (the From header and \
                     SIDEPOST_FROM).",
        },
        Reason::RecipientRefused => &Cause { name: "recipient_refused", why: "", remedy: "" },
        Reason::ContentRefused => &Cause { name: "content_refused", why: "", remedy: "" },
        Reason::TooLarge => &Cause { name: "too_large", why: "", remedy: "Send less, or a link to it." },
        Reason::Unsupported => &Cause { name: "unsupported", why: "", remedy: "" },
        Reason::NeedsSmtpUtf8 => &Cause {
            name: "needs_smtputf8",
            why: "",
            remedy: "Use an address in ASCII, and encoded words (RFC 2047) in the header.",
        },
        Reason::NeedsEightBit => {
            &Cause { name: "needs_8bitmime", why: "", remedy: "Send the text in quoted-printable or base64." }
        }
        Reason::TooManyRecipients => &Cause {
            name: "too_many_recipients",
            why: "",
            remedy: "Send it to fewer at a time; SIDEPOST_MAX_RECIPIENTS says so to clients from the start.",
        },
        Reason::Throttled => &Cause { name: "throttled", why: "", remedy: "" },
        Reason::ProviderBusy => &Cause { name: "provider_busy", why: "", remedy: "" },
        Reason::NoConnectionFree => &Cause {
            name: "no_connection_free",
            why: "",
            remedy: "Send less at once, or raise SIDEPOST_CONNECTIONS if the provider allows more.",
        },
        Reason::ShuttingDown => &Cause { name: "shutting_down", why: "", remedy: "Try again." },
        Reason::Unsigned => &Cause { name: "unsigned", why: "", remedy: "Try again." },
        Reason::OutcomeUnknown => &Cause { name: "outcome_unknown", why: "", remedy: "" },
    }
}
