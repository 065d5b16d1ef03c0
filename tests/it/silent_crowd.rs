//! Many connections that say nothing, or stop in mid message: what they cost, and that others are served meanwhile.
//! `scripts/crowd.sh` does the same with 10,000 of each.

use std::process::Command;

use serde_json::Value;

use crate::support::sidecar::Process;

/// What `scripts/crowd.py` found.
fn crowd(process: &Process, count: usize, kind: &str) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/crowd.py");
    let (smtp, pid) = (process.smtp.to_string(), process.id().to_string());
    let output = Command::new("timeout")
        .args(["120", "python3", script, &smtp, &pid, &count.to_string(), kind])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprint!("{said}");
    serde_json::from_str(&said).unwrap()
}

fn number(found: &Value, field: &str) -> u64 {
    found[field].as_u64().unwrap_or_else(|| panic!("{field} in {found}"))
}

#[test]
fn by_default_a_thousand_are_served_and_the_others_told_to_come_back() {
    let process = Process::start_with_many_files(&[("LOG_LEVEL", "info")]);
    let found = crowd(&process, 1_100, "silent");
    assert_eq!((number(&found, "greeted"), number(&found, "turned_away")), (1_000, 100));
}

/// The bounds are a multiple of what was measured, since an allocator gives back memory as it likes.
#[test]
fn silent_connections_cost_little() {
    let process = Process::start_with_many_files(&[("SMTP_CONNECTIONS", "4000")]);
    let found = crowd(&process, 2_000, "silent");
    assert_eq!(number(&found, "greeted"), 2_000);
    assert!(number(&found, "bytes_per_connection") < 16 * 1024, "{found}");
}

#[test]
fn half_finished_messages_cost_little_and_leave_room() {
    let process = Process::start_with_many_files(&[]);
    let found = crowd(&process, 600, "half");
    assert_eq!(number(&found, "greeted"), 600);
    assert!(number(&found, "bytes_per_connection") < 48 * 1024, "{found}");
}
