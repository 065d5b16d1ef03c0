//! What the Helm chart has to repeat, because a chart cannot read outside its folder: the names of the settings, the
//! version, the alerts, the dashboard. `SIDEPOST_TEST_UPDATE=1 cargo test --test it settings` writes all of it anew.

use std::path::{Path, PathBuf};

use sidepost::config;
use sidepost::config::env::Setting;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The file is as it should be, or is made so.
fn keep(path: &str, wanted: &str) {
    if std::env::var_os("SIDEPOST_TEST_UPDATE").is_some() {
        return std::fs::write(file(path), wanted).unwrap();
    }
    let is = std::fs::read_to_string(file(path)).unwrap();
    assert!(is == wanted, "{path} is behind: run SIDEPOST_TEST_UPDATE=1 cargo test --test it settings");
}

/// The text with all that stands between the two marks replaced.
fn replaced(text: &str, begin: &str, end: &str, with: &str) -> String {
    let mut parts = text.split(begin);
    let mut made = parts.next().unwrap().to_owned();
    let before = made.len();
    for part in parts {
        let (_, rest) = part.split_once(end).expect("the second mark");
        made.extend([begin, with, end, rest]);
    }
    assert!(made.len() > before, "no {begin}");
    made
}

fn names(wanted: impl Fn(&Setting) -> bool) -> Vec<String> {
    let mut names: Vec<_> = config::settings().into_iter().filter(wanted).map(|setting| setting.name()).collect();
    names.sort();
    names
}

#[test]
fn the_chart_knows_the_settings() {
    const SCHEMA: &str = "helm/sidepost/values.schema.json";
    // Probes need the admin listener, so its place is `ports.admin`.
    let names = names(|setting| setting.field != "admin_listen").join("|");
    let schema = std::fs::read_to_string(file(SCHEMA)).unwrap();
    keep(SCHEMA, &replaced(&schema, "\"^(A", ")", &names[1..]));
}

#[test]
fn the_chart_knows_which_are_secret() {
    const TEMPLATE: &str = "helm/sidepost/templates/_settings.tpl";
    let names: String = names(|setting| setting.secret).iter().map(|name| format!(" \"{name}\"")).collect();
    let template = std::fs::read_to_string(file(TEMPLATE)).unwrap();
    keep(TEMPLATE, &replaced(&template, "$secrets := list", " -}}", &names));
}

#[test]
fn the_chart_has_the_version_of_the_program() {
    const CHART: &str = "helm/sidepost/Chart.yaml";
    let chart = std::fs::read_to_string(file(CHART)).unwrap();
    keep(CHART, &replaced(&chart, "appVersion: ", "\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_chart_has_the_alerts_and_the_dashboard() {
    for (from, to) in [
        ("deploy/prometheus/sidepost.rules.yaml", "helm/sidepost/files/sidepost.rules.yaml"),
        ("deploy/grafana/sidepost.json", "helm/sidepost/files/sidepost.json"),
    ] {
        keep(to, &std::fs::read_to_string(file(from)).unwrap());
    }
}
