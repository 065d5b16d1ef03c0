//! The faults, as data: what is wrong with the provider, and what the callers are to hear.
//!
//! The rows are those of the fault matrix in `facts/reliability.md` section 3.2 that concern one SMTP provider and no
//! name lookup; statuses follow DESIGN section 5. Row 0 is a mix of replies that the pipelined session must survive.
//! Each fault is to be played twice, once per ingress, against a provider of its own.
//!
//! Where a row is about the time before the content, CHUNKING is not offered: with it, the content is on its way
//! already, and silence then means that nobody knows.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::certificates::Certificate;
use super::provider::{Action, Injection, PASSWORD, Pace, Provider, Script, Step, USER, WithoutRecipients};

/// One fault and its consequences. Where several messages are sent, all but the counts are about the last one.
#[derive(Debug)]
pub struct Fault {
    /// In the matrix.
    pub row: u8,
    /// What is wrong.
    pub name: &'static str,
    /// The provider that does it.
    pub script: fn() -> Script,
    /// Settings that differ from [`SETTINGS`], without the prefix.
    pub settings: &'static [(&'static str, &'static str)],
    /// What to send.
    pub mail: Mail,
    /// The status of `POST /v1/send`.
    pub http: u16,
    /// `code` of the problem, or `status` of a success.
    pub http_code: &'static str,
    /// The beginning of the reply to the final dot.
    pub smtp: &'static str,
    /// The class of the failure as metrics and logs name it, or `taken`.
    pub class: &'static str,
    /// How often the provider was asked, as the answer says.
    pub attempts: RangeInclusive<u32>,
    /// Messages in the ledger afterwards.
    pub held: usize,
    /// The same after SMTP, where all recipients or none get it.
    pub held_over_smtp: Option<usize>,
}

/// What is sent while the fault is there.
#[derive(Clone, Copy, Debug)]
pub struct Mail {
    /// The recipients.
    pub to: &'static [&'static str],
    /// At least so many bytes of content.
    pub bytes: usize,
    /// So many messages, one after the other.
    pub times: usize,
    /// The time between them.
    pub pause: Duration,
}

/// The settings under which every fault is played, without the prefix. Time-outs are short to be quick, not to be
/// right: a fault is about which of them ends it.
pub const SETTINGS: &[(&str, &str)] = &[
    ("PROVIDER", "smtp"),
    ("HOST", "127.0.0.1"),
    ("TLS", "starttls"),
    ("USERNAME", USER),
    ("PASSWORD", PASSWORD),
    ("HELO_NAME", "sidepost.test"),
    ("SEND_TIMEOUT", "4s"),
    ("ANSWER_TIMEOUT", "2s"),
    ("CONNECT_TIMEOUT", "1s"),
    ("REPLY_TIMEOUT", "1s"),
    ("RETRY_FIRST", "20ms"),
    ("RETRY_MAX", "200ms"),
];

impl Fault {
    /// The environment for a sidecar that sends through this provider.
    pub fn environment(&self, provider: &Provider, ca_file: &str) -> BTreeMap<String, String> {
        let port = provider.addr.port().to_string();
        let places = [("PORT", port.as_str()), ("CA_FILE", ca_file)];
        let all = SETTINGS.iter().copied().chain(places).chain(self.settings.iter().copied());
        all.map(|(name, value)| (format!("SIDEPOST_{name}"), value.to_string())).collect()
    }
}

const ONE: &[&str] = &["b@recipient.test"];
const TWO: &[&str] = &["b@recipient.test", "gone@recipient.test"];
const FIVE: &[&str] =
    &["b@recipient.test", "c@recipient.test", "d@recipient.test", "e@recipient.test", "f@recipient.test"];

const SMALL: Mail = Mail { to: ONE, bytes: 1_000, times: 1, pause: Duration::ZERO };
const TWICE: Mail = Mail { times: 2, ..SMALL };
const AFTER_A_PAUSE: Mail = Mail { pause: Duration::from_millis(400), ..TWICE };
/// More than the kernels of both sides keep: the sender sees that it does not get rid of it.
const LARGE: Mail = Mail { bytes: 12 << 20, ..SMALL };

const ONCE: RangeInclusive<u32> = 1..=1;
const AGAIN: RangeInclusive<u32> = 2..=100;
const ANY: RangeInclusive<u32> = 1..=100;

const TAKEN: Fault = Fault {
    row: 0,
    name: "",
    script: Script::secure,
    settings: &[],
    mail: SMALL,
    http: 200,
    http_code: "sent",
    smtp: "250 2.0.0",
    class: "taken",
    attempts: ONCE,
    held: 1,
    held_over_smtp: None,
};
const FAILED: Fault = Fault { held: 0, ..TAKEN };
const UNREACHABLE: Fault = Fault {
    http: 503,
    http_code: "upstream_unreachable",
    smtp: "451 4.4.1",
    class: "unreachable",
    attempts: AGAIN,
    ..FAILED
};
const TRANSIENT: Fault = Fault {
    http: 503,
    http_code: "upstream_unavailable",
    smtp: "451 4.4.1",
    class: "transient",
    attempts: AGAIN,
    ..FAILED
};
/// Without a hint, how soon to come back is the schedule's affair.
const THROTTLED: Fault = Fault {
    http: 503,
    http_code: "upstream_throttled",
    smtp: "451 4.7.1",
    class: "throttled",
    attempts: ANY,
    ..FAILED
};
const PERMANENT: Fault =
    Fault { http: 422, http_code: "upstream_rejected", smtp: "554 5.", class: "permanent", ..FAILED };
const MISCONFIGURED: Fault =
    Fault { http: 502, http_code: "upstream_misconfigured", smtp: "451 4.7.0", class: "misconfigured", ..FAILED };
const INSECURE: Fault = Fault { http_code: "upstream_tls_failed", ..MISCONFIGURED };
const LOGIN: Fault = Fault { http_code: "upstream_auth_failed", ..MISCONFIGURED };
/// The provider holds it, and nobody heard so.
const UNCONFIRMED: Fault =
    Fault { http: 504, http_code: "outcome_unknown", smtp: "451 4.4.2", class: "unconfirmed", held: 1, ..FAILED };

/// Everywhere the same script: a good provider, and one thing wrong for ever.
fn always(step: Step, action: Action) -> Script {
    Script::secure().always(step, action)
}

/// The same without CHUNKING.
fn in_data(step: Step, action: Action) -> Script {
    always(step, action).without("CHUNKING")
}

fn in_content(action: Action) -> Script {
    in_data(Step::Content, action).content_mark(1_000).receive_buffer(64 << 10)
}

fn busy() -> Action {
    Action::reply(451, "4.3.0 Temporary local problem")
}

fn goodbye() -> Action {
    Action::goodbye()
}

fn slow_down() -> Action {
    Action::reply(421, "4.7.0 Too many messages, slow down").then_close()
}

fn no_such_user() -> Action {
    Action::reply(550, "5.1.1 No such user")
}

fn malformed_sender() -> Action {
    Action::reply(501, "5.1.7 Bad sender address syntax")
}

/// All of them, in the order of the matrix.
pub const FAULTS: &[Fault] = &[
    // === The line ===
    Fault { row: 1, name: "connect_refused", script: Script::refusing_connections, ..UNREACHABLE },
    Fault { row: 2, name: "connect_timeout", script: Script::dropping_packets, ..UNREACHABLE },
    Fault { row: 6, name: "conn_rst", script: || always(Step::Greeting, Action::reset()), ..UNREACHABLE },
    Fault { row: 6, name: "conn_fin", script: || always(Step::Greeting, Action::close()), ..UNREACHABLE },
    // === The greeting and EHLO ===
    Fault { row: 7, name: "banner_stall", script: || always(Step::Greeting, Action::stall()), ..UNREACHABLE },
    Fault {
        row: 8,
        name: "banner_trickle",
        script: || always(Step::Greeting, Action::good().trickled(Duration::from_millis(200))),
        ..UNREACHABLE
    },
    Fault { row: 9, name: "banner_421", script: || always(Step::Greeting, goodbye()), ..TRANSIENT },
    Fault {
        row: 10,
        name: "banner_554",
        script: || always(Step::Greeting, Action::reply(554, "5.7.1 No service for your address")),
        ..MISCONFIGURED
    },
    Fault { row: 11, name: "banner_http", script: || always(Step::Greeting, Action::http()), ..MISCONFIGURED },
    Fault { row: 11, name: "banner_tls", script: || always(Step::Greeting, Action::tls_alert()), ..MISCONFIGURED },
    Fault { row: 11, name: "banner_binary", script: || always(Step::Greeting, Action::garbage()), ..MISCONFIGURED },
    Fault {
        row: 12,
        name: "banner_endless",
        script: || always(Step::Greeting, Action::endless("220-and more\r\n")),
        attempts: 1..=2,
        ..MISCONFIGURED
    },
    Fault {
        row: 12,
        name: "ehlo_endless",
        script: || always(Step::Ehlo, Action::endless("250-AND-MORE\r\n")),
        attempts: 1..=2,
        ..MISCONFIGURED
    },
    Fault {
        row: 13,
        name: "banner_line_5000",
        script: || always(Step::Greeting, Action::reply(220, &"x".repeat(5_000))),
        ..MISCONFIGURED
    },
    Fault {
        row: 13,
        name: "banner_line_70000",
        script: || always(Step::Greeting, Action::overlong(220, 70_000).then_stall()),
        ..MISCONFIGURED
    },
    Fault {
        row: 13,
        name: "banner_line_4m",
        script: || always(Step::Greeting, Action::overlong(220, 4 << 20).then_stall()),
        ..MISCONFIGURED
    },
    Fault {
        row: 14,
        name: "ehlo_502",
        script: || always(Step::Ehlo, Action::reply(502, "5.5.1 Command not implemented")),
        ..MISCONFIGURED
    },
    Fault {
        row: 14,
        name: "ehlo_550",
        script: || always(Step::Ehlo, Action::reply(550, "5.7.1 Not with that name")),
        ..MISCONFIGURED
    },
    Fault { row: 15, name: "ehlo_421", script: || always(Step::Ehlo, goodbye()), ..TRANSIENT },
    Fault { row: 16, name: "ehlo_stall", script: || always(Step::Ehlo, Action::stall()), ..TRANSIENT },
    Fault { row: 16, name: "ehlo_rst", script: || always(Step::Ehlo, Action::reset()), ..TRANSIENT },
    Fault { row: 16, name: "ehlo_after_tls_rst", script: || always(Step::EhloAfterTls, Action::reset()), ..TRANSIENT },
    Fault { row: 17, name: "ehlo_2x0", script: || always(Step::Ehlo, Action::raw("2x0 ok\r\n")), ..MISCONFIGURED },
    Fault {
        row: 17,
        name: "ehlo_mixed",
        script: || always(Step::Ehlo, Action::raw("250-PIPELINING\r\n550 no\r\n")),
        ..MISCONFIGURED
    },
    Fault { row: 17, name: "mail_2x0", script: || in_data(Step::Mail, Action::raw("2x0 ok\r\n")), ..MISCONFIGURED },
    // === TLS ===
    Fault { row: 18, name: "starttls_absent", script: || Script::secure().without("STARTTLS"), ..INSECURE },
    Fault {
        row: 19,
        name: "starttls_454",
        script: || always(Step::StartTls, Action::reply(454, "4.7.0 TLS not available")),
        ..TRANSIENT
    },
    Fault {
        row: 20,
        name: "starttls_501",
        script: || always(Step::StartTls, Action::reply(501, "5.5.4 Syntax error")),
        ..INSECURE
    },
    Fault {
        row: 20,
        name: "starttls_502",
        script: || always(Step::StartTls, Action::reply(502, "5.5.1 Command not implemented")),
        ..INSECURE
    },
    Fault { row: 21, name: "starttls_close", script: || always(Step::Handshake, Action::close()), ..UNREACHABLE },
    Fault { row: 21, name: "starttls_garbage", script: || always(Step::Handshake, Action::garbage()), ..UNREACHABLE },
    Fault { row: 21, name: "starttls_stall", script: || always(Step::Handshake, Action::stall()), ..UNREACHABLE },
    Fault {
        row: 22,
        name: "starttls_inject",
        script: || Script::secure().inject_after_starttls(Injection::Reply),
        ..INSECURE
    },
    Fault {
        row: 22,
        name: "starttls_inject2",
        script: || Script::secure().inject_after_starttls(Injection::Mechanisms),
        ..INSECURE
    },
    Fault {
        row: 22,
        name: "starttls_inject3",
        script: || Script::secure().inject_after_starttls(Injection::MechanismsOutOfNowhere),
        ..INSECURE
    },
    Fault {
        row: 22,
        name: "starttls_inject4",
        script: || Script::secure().inject_after_starttls(Injection::HalfALine),
        ..INSECURE
    },
    Fault { row: 23, name: "tls_expired", script: || Script::secure().starttls(Certificate::Expired), ..INSECURE },
    Fault {
        row: 23,
        name: "tls_too_early",
        script: || Script::secure().starttls(Certificate::NotYetValid),
        ..INSECURE
    },
    Fault { row: 24, name: "tls_wrong_host", script: || Script::secure().starttls(Certificate::WrongHost), ..INSECURE },
    Fault {
        row: 24,
        name: "tls_wrong_host_implicit",
        script: || Script::secure().implicit_tls(Certificate::WrongHost),
        settings: &[("TLS", "implicit")],
        ..INSECURE
    },
    Fault { row: 24, name: "tls_other_ca", script: || Script::secure().starttls(Certificate::OtherIssuer), ..INSECURE },
    Fault {
        row: 24,
        name: "tls_self_signed",
        script: || Script::secure().starttls(Certificate::SelfSigned),
        ..INSECURE
    },
    Fault { row: 25, name: "tls_1_0", script: || always(Step::Handshake, Action::tls10()), ..INSECURE },
    // === Login ===
    Fault { row: 26, name: "auth_absent", script: || Script::secure().mechanisms(&[]), ..LOGIN },
    Fault { row: 27, name: "auth_mechs_odd", script: || Script::secure().mechanisms(&["CRAM-MD5", "NTLM"]), ..LOGIN },
    Fault { row: 28, name: "auth_535", script: || Script::secure().login(USER, "another password"), ..LOGIN },
    Fault { row: 31, name: "auth_loop", script: || Script::secure().endless_challenges(), ..MISCONFIGURED },
    Fault {
        row: 32,
        name: "auth_454",
        script: || always(Step::Auth, Action::reply(454, "4.7.0 Temporary authentication failure")),
        ..TRANSIENT
    },
    Fault {
        row: 32,
        name: "auth_454_logins",
        script: || {
            always(Step::Auth, Action::lines(454, &["4.7.0 Too many login attempts,", "4.7.0 please try again later."]))
        },
        ..THROTTLED
    },
    Fault {
        row: 32,
        name: "auth_432",
        script: || always(Step::Auth, Action::reply(432, "4.3.2 Concurrent connections limit exceeded")),
        ..THROTTLED
    },
    Fault { row: 33, name: "auth_421", script: || always(Step::Auth, goodbye()), ..TRANSIENT },
    Fault { row: 33, name: "auth_close", script: || always(Step::Auth, Action::close()), ..TRANSIENT },
    Fault { row: 33, name: "auth_stall", script: || always(Step::Auth, Action::stall()), ..TRANSIENT },
    // === The envelope ===
    Fault { row: 36, name: "mail_451", script: || in_data(Step::Mail, busy()), ..TRANSIENT },
    Fault { row: 36, name: "mail_451_chunk", script: || always(Step::Mail, busy()), ..TRANSIENT },
    Fault {
        row: 36,
        name: "mail_451_twice",
        script: || Script::secure().times(2, Step::Mail, &busy()),
        attempts: 3..=3,
        ..TAKEN
    },
    Fault {
        row: 37,
        name: "mail_554_not_our_sender",
        script: || always(Step::Mail, Action::reply(554, "5.2.252 SendAsDenied; not allowed to send as this sender")),
        http_code: "upstream_sender_refused",
        ..MISCONFIGURED
    },
    Fault {
        row: 37,
        name: "mail_501_malformed",
        script: || always(Step::Mail, malformed_sender()),
        smtp: "554 5.1.7",
        ..PERMANENT
    },
    Fault { row: 38, name: "size_small", script: || Script::secure().with("SIZE 500"), smtp: "552 5.3.4", ..PERMANENT },
    Fault {
        row: 38,
        name: "mail_552size",
        script: || always(Step::Mail, Action::reply(552, "5.3.4 Message size exceeds fixed limit")),
        smtp: "552 5.3.4",
        ..PERMANENT
    },
    Fault { row: 39, name: "mail_421", script: || in_data(Step::Mail, slow_down()), ..THROTTLED },
    Fault { row: 39, name: "mail_421_chunk", script: || always(Step::Mail, slow_down()), ..THROTTLED },
    Fault {
        row: 40,
        name: "mail_530",
        script: || always(Step::Mail, Action::reply(530, "5.7.0 Authentication required")),
        ..LOGIN
    },
    Fault {
        row: 41,
        name: "rcpt_450",
        script: || always(Step::Rcpt, Action::reply(450, "4.2.0 Greylisted, come back later")),
        ..TRANSIENT
    },
    Fault {
        row: 41,
        name: "rcpt_450_once",
        script: || Script::secure().on(Step::Rcpt, Action::reply(450, "4.2.0 Greylisted, come back later")),
        attempts: 2..=2,
        ..TAKEN
    },
    Fault { row: 42, name: "rcpt_550", script: || always(Step::Rcpt, no_such_user()), smtp: "554 5.1.1", ..PERMANENT },
    Fault {
        row: 43,
        name: "rcpt_partly",
        script: || Script::secure().always_recipient("gone@recipient.test", no_such_user()),
        mail: Mail { to: TWO, ..SMALL },
        http_code: "partial",
        smtp: "554 5.1.1",
        held_over_smtp: Some(0),
        ..TAKEN
    },
    Fault {
        row: 44,
        name: "rcpt_452_after_2",
        script: || Script::secure().most_recipients(2),
        mail: Mail { to: FIVE, ..SMALL },
        attempts: 3..=3,
        held: 3,
        smtp: "451 4.4.1",
        held_over_smtp: Some(0),
        ..TAKEN
    },
    Fault { row: 45, name: "rcpt_421", script: || in_data(Step::Rcpt, goodbye()), ..TRANSIENT },
    Fault { row: 45, name: "rcpt_stall", script: || in_data(Step::Rcpt, Action::stall()), ..TRANSIENT },
    Fault { row: 45, name: "rcpt_stall_chunk", script: || always(Step::Rcpt, Action::stall()), held: 0, ..UNCONFIRMED },
    // === The content ===
    Fault { row: 46, name: "data_451", script: || in_data(Step::Data, busy()), ..TRANSIENT },
    Fault {
        row: 46,
        name: "data_554",
        script: || in_data(Step::Data, Action::reply(554, "5.6.0 Not this one")),
        smtp: "554 5.6.0",
        ..PERMANENT
    },
    Fault { row: 47, name: "data_stall", script: || in_data(Step::Data, Action::stall()), ..TRANSIENT },
    Fault { row: 47, name: "data_rst", script: || in_data(Step::Data, Action::reset()), ..TRANSIENT },
    Fault { row: 47, name: "body_rst", script: || in_content(Action::reset()), mail: LARGE, ..TRANSIENT },
    Fault {
        row: 48,
        name: "body_552",
        script: || in_content(Action::reply(552, "5.3.4 Message too big").then_close()),
        mail: LARGE,
        smtp: "552 5.3.4",
        ..PERMANENT
    },
    Fault {
        row: 49,
        name: "slow_reader",
        script: || Script::secure().reads_slowly(200_000),
        settings: &[("SEND_TIMEOUT", "20s"), ("ANSWER_TIMEOUT", "20s")],
        mail: Mail { bytes: 300_000, ..SMALL },
        ..TAKEN
    },
    Fault {
        row: 50,
        name: "body_stall",
        script: || in_content(Action::freeze()),
        mail: LARGE,
        attempts: ANY,
        ..TRANSIENT
    },
    // === After the last byte ===
    Fault { row: 51, name: "dot_close", script: || always(Step::Final, Action::close().taken()), ..UNCONFIRMED },
    Fault { row: 51, name: "dot_rst", script: || always(Step::Final, Action::reset().taken()), ..UNCONFIRMED },
    Fault { row: 51, name: "dot_close_data", script: || in_data(Step::Final, Action::close().taken()), ..UNCONFIRMED },
    Fault { row: 51, name: "dot_rst_data", script: || in_data(Step::Final, Action::reset().taken()), ..UNCONFIRMED },
    Fault { row: 51, name: "dot_close_lost", script: || always(Step::Final, Action::close()), held: 0, ..UNCONFIRMED },
    Fault { row: 52, name: "dot_stall", script: || always(Step::Final, Action::stall().taken()), ..UNCONFIRMED },
    Fault {
        row: 53,
        name: "dot_late",
        script: || always(Step::Final, Action::good().after(Duration::from_secs(3))),
        settings: &[("ANSWER_TIMEOUT", "20s")],
        ..TAKEN
    },
    Fault { row: 54, name: "dot_451", script: || always(Step::Final, busy()), ..TRANSIENT },
    Fault {
        row: 54,
        name: "dot_451_twice",
        script: || Script::secure().times(2, Step::Final, &busy()),
        attempts: 3..=3,
        ..TAKEN
    },
    Fault {
        row: 54,
        name: "dot_432",
        script: || always(Step::Final, Action::reply(432, "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded")),
        ..THROTTLED
    },
    Fault { row: 54, name: "dot_421", script: || always(Step::Final, goodbye()), ..TRANSIENT },
    Fault {
        row: 55,
        name: "dot_554",
        script: || always(Step::Final, Action::reply(554, "5.6.0 Message content rejected")),
        smtp: "554 5.6.0",
        ..PERMANENT
    },
    Fault {
        row: 56,
        name: "dot_half",
        script: || always(Step::Final, Action::raw("250 2.0").then_close().taken()),
        ..UNCONFIRMED
    },
    Fault { row: 56, name: "dot_garbage", script: || always(Step::Final, Action::garbage().taken()), ..UNCONFIRMED },
    Fault { row: 57, name: "dot_then_close", script: || always(Step::Final, Action::good().then_close()), ..TAKEN },
    // === The pool ===
    Fault { row: 58, name: "quit_stall", script: || always(Step::Quit, Action::stall()), ..TAKEN },
    Fault {
        row: 59,
        name: "idle_closed",
        script: || Script::secure().idle(Duration::from_millis(150), Action::close()),
        mail: AFTER_A_PAUSE,
        held: 2,
        ..TAKEN
    },
    Fault {
        row: 59,
        name: "idle_rst",
        script: || Script::secure().idle(Duration::from_millis(150), Action::reset()),
        mail: AFTER_A_PAUSE,
        held: 2,
        ..TAKEN
    },
    Fault {
        row: 59,
        name: "idle_421",
        script: || Script::secure().idle(Duration::from_millis(150), Action::goodbye()),
        mail: AFTER_A_PAUSE,
        held: 2,
        ..TAKEN
    },
    Fault {
        row: 59,
        name: "stale_at_mail",
        script: || Script::secure().without("CHUNKING").on(Step::Mail, Action::good()).on(Step::Mail, Action::close()),
        mail: TWICE,
        held: 2,
        ..TAKEN
    },
    Fault {
        row: 60,
        name: "one_message_per_connection",
        script: || Script::secure().messages_per_connection(1),
        mail: Mail { times: 3, ..SMALL },
        attempts: 1..=2,
        held: 3,
        ..TAKEN
    },
    Fault {
        row: 61,
        name: "rset_refused",
        script: || always(Step::Rset, Action::reply(500, "5.5.1 No")).on(Step::Rcpt, no_such_user()),
        mail: TWICE,
        ..TAKEN
    },
    // === Mixes of replies: the first message is refused, the second must not hear the first one's replies ===
    Fault {
        name: "mail_refused_data_refused",
        script: || Script::secure().without("CHUNKING").on(Step::Mail, malformed_sender()),
        mail: TWICE,
        ..TAKEN
    },
    Fault {
        name: "mail_refused_data_taken",
        script: || {
            let script = Script::secure().without("CHUNKING").without_recipients(WithoutRecipients::TakeContent);
            script.on(Step::Mail, malformed_sender())
        },
        mail: TWICE,
        ..TAKEN
    },
    Fault {
        name: "all_rcpts_refused_data_taken",
        script: || {
            let script = Script::secure().without("CHUNKING").without_recipients(WithoutRecipients::TakeContent);
            script.on(Step::Rcpt, no_such_user())
        },
        mail: TWICE,
        ..TAKEN
    },
    Fault {
        name: "mail_refused_chunk_swallowed",
        script: || Script::secure().on(Step::Mail, malformed_sender()),
        mail: TWICE,
        ..TAKEN
    },
    Fault {
        name: "mail_refused_chunk_left",
        script: || {
            let script = Script::secure().without_recipients(WithoutRecipients::LeaveChunk);
            script.on(Step::Mail, malformed_sender())
        },
        mail: TWICE,
        ..TAKEN
    },
    Fault {
        name: "all_rcpts_refused_chunk_left",
        script: || {
            let script = Script::secure().without_recipients(WithoutRecipients::LeaveChunk);
            script.on(Step::Rcpt, no_such_user())
        },
        mail: TWICE,
        ..TAKEN
    },
    // === Good servers in odd pieces ===
    Fault { name: "replies_apart", script: || Script::secure().replies_apart(), mail: TWICE, held: 2, ..TAKEN },
    Fault {
        name: "replies_byte_by_byte",
        script: || Script::secure().paced(Pace::trickle(Duration::ZERO)),
        mail: TWICE,
        held: 2,
        ..TAKEN
    },
    Fault {
        name: "replies_in_odd_pieces",
        script: || Script::secure().paced(Pace::pieces(&[3, 1, 7, 2, 40], Duration::from_millis(1))),
        mail: TWICE,
        held: 2,
        ..TAKEN
    },
    Fault {
        name: "no_extensions_but_tls_and_auth",
        script: || Script::secure().extensions(&[]),
        mail: TWICE,
        held: 2,
        ..TAKEN
    },
    Fault { name: "tls_1_2", script: || Script::secure().tls12_only(), mail: TWICE, held: 2, ..TAKEN },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sidepost::outcome::Class;

    use super::*;

    /// Rows of the matrix that need a name server (3 to 5) or an identity provider (29, 30, 34, 35).
    const ELSEWHERE: [u8; 7] = [3, 4, 5, 29, 30, 34, 35];

    #[test]
    fn every_row_has_its_fault_and_every_fault_its_name() {
        let rows = FAULTS.iter().map(|fault| fault.row).collect::<BTreeSet<_>>();
        let wanted = (0..=61).filter(|row| !ELSEWHERE.contains(row)).collect::<BTreeSet<_>>();
        assert_eq!(rows, wanted);
        let names = FAULTS.iter().map(|fault| fault.name).collect::<BTreeSet<_>>();
        assert_eq!(names.len(), FAULTS.len());
    }

    #[test]
    fn what_is_expected_fits_together() {
        for fault in FAULTS {
            let (http, smtp) = match Class::ALL.iter().find(|class| class.label() == fault.class) {
                None => (200, if fault.held_over_smtp.is_some() { fault.smtp } else { "250" }),
                Some(Class::Unreachable | Class::Transient) => (503, "451 4.4.1"),
                Some(Class::Throttled) => (503, "451 4.7.1"),
                Some(Class::Permanent) => (422, "55"),
                Some(Class::Misconfigured) => (502, "451 4.7.0"),
                Some(Class::Unconfirmed) => (504, "451 4.4.2"),
            };
            assert!(fault.http == http && fault.smtp.starts_with(smtp), "{}", fault.name);
            assert!(fault.http == 200 || fault.held == 0 || fault.class == "unconfirmed", "{}", fault.name);
        }
    }

    #[tokio::test]
    async fn every_script_can_be_played() {
        for fault in FAULTS {
            let provider = Provider::start((fault.script)());
            let environment = fault.environment(&provider, "ca.pem");
            assert_eq!(environment["SIDEPOST_PORT"], provider.addr.port().to_string(), "{}", fault.name);
        }
    }
}
