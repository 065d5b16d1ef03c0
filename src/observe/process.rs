//! The process' own figures, under the names that every Prometheus client library uses.

use std::fmt::Display;
use std::io::Write as _;

/// Appends what `/proc` tells; leaves out what it does not.
pub fn render(out: &mut Vec<u8>) {
    let Some(stat) = Stat::read() else { return };
    let mut line = |name: &str, kind: &str, help: &str, value: f64| line(out, name, kind, help, value);
    line("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", stat.cpu_seconds);
    line("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", stat.resident_bytes);
    line("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", stat.virtual_bytes);
    line("process_threads", "gauge", "Number of OS threads in the process.", stat.threads);
    if let Some(start) = stat.start_seconds {
        line("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", start);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        #[allow(clippy::cast_precision_loss, reason = "there are never 2^52 file descriptors")]
        line("process_open_fds", "gauge", "Number of open file descriptors.", open.count() as f64);
    }
}

/// One metric with one series.
pub fn line(out: &mut Vec<u8>, name: &str, kind: &str, help: &str, value: impl Display) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    threads: f64,
    start_seconds: Option<f64>,
}

impl Stat {
    /// Reads `/proc/self/stat`; fields are numbered as in proc(5), where the third follows the command's name.
    #[allow(clippy::cast_precision_loss, reason = "ticks and pages fit a double for centuries")]
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_seconds: boot_seconds().zip(field(22)).map(|(boot, start)| boot + start / ticks),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page,
        })
    }
}

fn boot_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}
