//! What becomes of parameters that are not carried over: which need nothing, and what is to be said of the others.

const LISTENS: &str =
    "how mail is taken in: Sidepost has listeners of its own (SIDEPOST_SMTP_LISTEN, SIDEPOST_ALLOWED_CLIENTS)";
const QUEUES: &str = "the queue: Sidepost has none, each answer is the provider's own";
const DELIVERS_HERE: &str = "delivery into mailboxes of this machine: Sidepost has none";
const RUNS: &str = "how the program itself runs";
const TUNES_TLS: &str = "details of TLS: Sidepost takes TLS 1.2 and 1.3 with ciphers that are safe, and nothing else";
const LOGS_IN: &str = "details of the login: Sidepost takes what the server offers, and only under TLS";
const WAITS: &str = "waits and retries: Sidepost tries again within SIDEPOST_SEND_TIMEOUT, while the application waits";

/// What needs no equivalent, by the beginning of the name; the longest that fits counts.
const IDLE: &[(&str, &str)] = &[
    ("2bounce_notice_recipient", QUEUES),
    ("access_map_", LISTENS),
    ("address_verify_", LISTENS),
    ("alias_database", DELIVERS_HERE),
    ("alias_maps", DELIVERS_HERE),
    ("allow_", DELIVERS_HERE),
    ("always_add_missing_headers", LISTENS),
    ("anvil_", LISTENS),
    ("append_at_myorigin", LISTENS),
    ("append_dot_mydomain", LISTENS),
    ("authorized_", RUNS),
    ("berkeley_db_", RUNS),
    ("biff", DELIVERS_HERE),
    ("bounce_", QUEUES),
    ("broken_sasl_auth_clients", LISTENS),
    ("cleanup_", RUNS),
    ("command_directory", RUNS),
    ("compatibility_level", RUNS),
    ("config_directory", RUNS),
    ("cyrus_sasl_config_path", LOGS_IN),
    ("daemon_directory", RUNS),
    ("data_directory", RUNS),
    ("debug", RUNS),
    ("default_database_type", RUNS),
    ("default_delivery_", QUEUES),
    ("default_destination_", QUEUES),
    ("default_privs", RUNS),
    ("default_process_limit", RUNS),
    ("default_recipient_", QUEUES),
    ("defer_", QUEUES),
    ("delay_warning_time", QUEUES),
    ("disable_", RUNS),
    ("double_bounce_sender", QUEUES),
    ("enable_long_queue_ids", QUEUES),
    ("enable_original_recipient", DELIVERS_HERE),
    ("error_", QUEUES),
    ("export_environment", RUNS),
    ("fast_flush_", QUEUES),
    ("forward_path", DELIVERS_HERE),
    ("hash_queue_", QUEUES),
    ("header_", LISTENS),
    ("home_mailbox", DELIVERS_HERE),
    ("hopcount_limit", LISTENS),
    ("html_directory", RUNS),
    ("import_environment", RUNS),
    ("in_flow_delay", QUEUES),
    ("inet_interfaces", LISTENS),
    ("internal_mail_filter_classes", LISTENS),
    ("ipc_", RUNS),
    ("line_length_limit", LISTENS),
    ("lmdb_map_size", RUNS),
    ("lmtp_", DELIVERS_HERE),
    ("local_", DELIVERS_HERE),
    ("luser_relay", DELIVERS_HERE),
    ("mail_name", RUNS),
    ("mail_owner", RUNS),
    ("mailbox_", DELIVERS_HERE),
    ("maillog_", RUNS),
    ("mailq_path", RUNS),
    ("manpage_directory", RUNS),
    ("max_idle", RUNS),
    ("max_use", RUNS),
    ("maximal_", WAITS),
    ("meta_directory", RUNS),
    ("milter_", LISTENS),
    ("mime_", LISTENS),
    ("minimal_backoff_time", WAITS),
    ("multi_", RUNS),
    ("mydestination", DELIVERS_HERE),
    ("mynetworks_style", LISTENS),
    ("newaliases_path", RUNS),
    ("notify_classes", QUEUES),
    ("parent_domain_matches_subdomains", LISTENS),
    ("postscreen_", LISTENS),
    ("process_", RUNS),
    ("proxy_", RUNS),
    ("proxymap_", RUNS),
    ("qmgr_", QUEUES),
    ("queue_", QUEUES),
    ("readme_directory", RUNS),
    ("recipient_delimiter", DELIVERS_HERE),
    ("reject_", LISTENS),
    ("relay_domains", LISTENS),
    ("remote_header_rewrite_domain", LISTENS),
    ("sample_directory", RUNS),
    ("sendmail_path", RUNS),
    ("setgid_group", RUNS),
    ("shlib_directory", RUNS),
    ("smtp_address_preference", RUNS),
    ("smtp_always_send_ehlo", RUNS),
    ("smtp_cache_connection", RUNS),
    ("smtp_connection_cache", RUNS),
    ("smtp_data_", WAITS),
    ("smtp_defer_if", RUNS),
    ("smtp_destination_concurrency_", RUNS),
    ("smtp_destination_recipient_limit", QUEUES),
    ("smtp_dns_", RUNS),
    ("smtp_helo_timeout", WAITS),
    ("smtp_host_lookup", RUNS),
    ("smtp_line_length_limit", RUNS),
    ("smtp_mail_timeout", WAITS),
    ("smtp_mx_", RUNS),
    ("smtp_quit_timeout", WAITS),
    ("smtp_randomize_addresses", RUNS),
    ("smtp_rcpt_timeout", WAITS),
    ("smtp_sasl_", LOGS_IN),
    ("smtp_skip_", RUNS),
    ("smtp_starttls_timeout", WAITS),
    ("smtp_tls_", TUNES_TLS),
    ("smtpd_", LISTENS),
    ("smtputf8_", RUNS),
    ("soft_bounce", QUEUES),
    ("strict_", LISTENS),
    ("syslog_", RUNS),
    ("tls_", TUNES_TLS),
    ("tlsproxy_", TUNES_TLS),
    ("transport_retry_time", QUEUES),
    ("trigger_timeout", RUNS),
    ("unknown_", LISTENS),
    ("unverified_", LISTENS),
    ("verp_", QUEUES),
    ("virtual_", DELIVERS_HERE),
];

const REWRITES: &str = "addresses are rewritten by a table, which Sidepost does not do; one sender for all is SIDEPOST_FROM \
                        with SIDEPOST_FROM_MODE=force";
const ROUTES: &str = "mail goes different ways by its sender or recipient, and Sidepost has one provider: run one for each, or \
                      keep the way that matters";
const CHECKS: &str = "messages are changed or refused by patterns, which Sidepost does not do: have the application write what it \
                      means";
const COPIES: &str =
    "copies of all mail go to somebody, which Sidepost does not do: most providers can, or the application adds a Bcc";
const FILTERS: &str = "a filter sees every message, and Sidepost asks none; where it only signs (DKIM), SIDEPOST_DKIM_DOMAIN, \
                       _SELECTOR and _KEY_FILE do that";
const EXPANDS: &str =
    "recipients are replaced by a table, which Sidepost does not do: mail goes to whom the application names";
const BINDS: &str = "connections leave from an address of choice, which Sidepost leaves to the network";
const PACES: &str = "mail is slowed down on purpose, which Sidepost does not do; what a provider asks for it obeys";

/// What has no equivalent, by name.
const LOST: &[(&str, &str)] = &[
    ("always_bcc", COPIES),
    ("body_checks", CHECKS),
    ("canonical_maps", REWRITES),
    ("content_filter", FILTERS),
    ("default_destination_rate_delay", PACES),
    ("default_transport", ROUTES),
    ("header_checks", CHECKS),
    ("masquerade_domains", REWRITES),
    ("mime_header_checks", CHECKS),
    ("nested_header_checks", CHECKS),
    ("non_smtpd_milters", FILTERS),
    ("recipient_bcc_maps", COPIES),
    ("recipient_canonical_maps", EXPANDS),
    ("relay_transport", ROUTES),
    ("relocated_maps", EXPANDS),
    ("sender_bcc_maps", COPIES),
    ("sender_canonical_maps", REWRITES),
    ("sender_dependent_default_transport_maps", ROUTES),
    ("sender_dependent_relayhost_maps", ROUTES),
    ("smtp_bind_address", BINDS),
    ("smtp_bind_address6", BINDS),
    ("smtp_body_checks", CHECKS),
    ("smtp_destination_rate_delay", PACES),
    ("smtp_generic_maps", REWRITES),
    ("smtp_header_checks", CHECKS),
    ("smtp_mime_header_checks", CHECKS),
    ("smtp_nested_header_checks", CHECKS),
    ("smtp_tls_policy_maps", "a level of TLS for each server: Sidepost has one, TLS with a verified certificate"),
    ("smtpd_milters", FILTERS),
    ("transport_maps", ROUTES),
    ("virtual_alias_maps", EXPANDS),
];

/// What a parameter becomes that is not carried over.
pub fn sentence(name: &str) -> Option<&'static str> {
    LOST.iter().find(|(lost, _)| *lost == name).map(|(_, sentence)| *sentence)
}

/// Why a parameter needs no equivalent.
pub fn reason(name: &str) -> Option<&'static str> {
    let fits = IDLE.iter().filter(|(start, _)| name.starts_with(start));
    fits.max_by_key(|(start, _)| start.len()).map(|(_, reason)| *reason)
}
