//! What will go wrong if nobody acts, told once each while there is time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::warn;

use super::super::endpoint::CLOCK_TOLERANCE;
use super::super::grant::{Grant, How};
use super::super::store::Kept;
use super::super::{Kind, Status, Trouble, Vendor, remedy};

const DAY: Duration = Duration::from_secs(86_400);
/// Within this time an announced end is told.
const SOON: Duration = Duration::from_secs(8 * 86_400);

/// Facts that are no trouble yet, and what was said about them.
#[derive(Debug, Default)]
pub struct Outlook {
    /// A new refresh token came, and there is no place to keep it.
    pub rotated_into_memory: bool,
    /// Why the last one could not be kept.
    pub store_trouble: Option<String>,
    told: Vec<&'static str>,
}

impl Outlook {
    /// Everything to be said, as one text.
    #[must_use]
    pub fn told(&self, grant: &Grant, status: &Status, now: SystemTime) -> Option<String> {
        let all: Vec<_> = self.all(grant, status, now).into_values().collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// Says in the log what was not said before.
    pub fn tell(&mut self, grant: &Grant, status: &Status, now: SystemTime) {
        let all = self.all(grant, status, now);
        for (cause, detail) in all.iter().filter(|(cause, _)| !self.told.contains(cause)) {
            warn!(issuer = grant.token_url.host(), cause, detail, "the login will not last");
        }
        self.told = all.into_keys().collect();
    }

    fn all(&self, grant: &Grant, status: &Status, now: SystemTime) -> BTreeMap<&'static str, String> {
        let store = self.store_trouble.clone().map(|sentence| {
            (
                "oauth_store",
                format!(
                    "{sentence}: the new refresh token is only in memory, and a restart falls back on the old one."
                ),
            )
        });
        let memory = self.rotated_into_memory.then(|| {
            let sentence = "The issuer gave a new refresh token, which is only in memory: after a restart the one of the \
                            settings is used again, for as long as the issuer takes it. Point SIDEPOST_OAUTH_TOKEN_STORE to \
                            a file on a volume that stays.";
            ("oauth_no_store", sentence.to_owned())
        });
        let clock = status
            .clock_ahead
            .filter(|ahead| ahead.unsigned_abs() > CLOCK_TOLERANCE)
            .map(|ahead| ("oauth_clock", format!("{} {}", clock(ahead), remedy::CLOCK.remedy)));
        [store, memory, clock, end(grant, status, now)].into_iter().flatten().collect()
    }

    /// Adds to a trouble what is known beside the issuer's words.
    pub fn explained(
        &self,
        mut trouble: Trouble,
        grant: &Grant,
        kept: Option<&Kept>,
        status: &Status,
        now: SystemTime,
    ) -> Trouble {
        let since = kept.map(|kept| UNIX_EPOCH + Duration::from_secs(kept.since));
        let days =
            since.and_then(|since| now.duration_since(since).ok()).map(|age| age.as_secs_f64() / DAY.as_secs_f64());
        let google = grant.vendor == Vendor::Google && matches!(grant.how, How::Refresh(_));
        let at_the_cliff = google && days.is_some_and(|days| (6.0..=8.0).contains(&days));
        match trouble.kind {
            Kind::Refused if at_the_cliff && trouble.cause.name == "oauth_grant" => trouble.cause = &remedy::SEVEN_DAYS,
            Kind::Busy | Kind::Unreachable if at_the_cliff => {
                let days = days.unwrap_or_default();
                trouble.evidence.push_str(&format!(
                    " The refresh token is {days:.0} days old: if the publishing status of the OAuth app is Testing, it \
                     ends after seven."
                ));
            }
            Kind::Refused | Kind::Busy | Kind::Unreachable => {}
        }
        if let Some(ahead) = status.clock_ahead.filter(|ahead| ahead.unsigned_abs() > CLOCK_TOLERANCE) {
            trouble.evidence.push_str(&format!(" {}", clock(ahead)));
            if trouble.cause.name == "oauth_assertion" {
                trouble.cause = &remedy::CLOCK;
            }
        }
        trouble
    }
}

fn clock(ahead: i64) -> String {
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    format!("This machine's clock is {} s {way} the issuer's.", ahead.unsigned_abs())
}

/// The end of the refresh token, where the issuer announced one that is near.
fn end(grant: &Grant, status: &Status, now: SystemTime) -> Option<(&'static str, String)> {
    let left = status.refresh_token_expires?.duration_since(now).unwrap_or_default();
    if left > SOON {
        return None;
    }
    let hours = left.as_secs() / 3600;
    let span = if hours > 48 { format!("{} days", hours / 24) } else { format!("{hours} hours") };
    let evidence = format!("The refresh token ends in {span}.");
    if grant.vendor == Vendor::Google {
        // Said again on the last day.
        let key = if left < DAY { "oauth_last_day" } else { remedy::SEVEN_DAYS_AHEAD.name };
        return Some((key, remedy::SEVEN_DAYS_AHEAD.explain(&evidence)));
    }
    let key = if left < DAY { "oauth_last_day" } else { "oauth_end_ahead" };
    Some((key, format!("{evidence} Consent again and set the new SIDEPOST_OAUTH_REFRESH_TOKEN before that.")))
}

#[cfg(test)]
mod tests {
    use super::super::super::grant::Refresh;
    use super::*;
    use crate::config::secret::Secret;
    use crate::net::client::Url;

    fn grant(vendor: Vendor) -> Grant {
        let secret = || Secret::new(b"x".to_vec());
        let how = How::Refresh(Refresh { client_id: "id".into(), client_secret: None, initial: secret(), scope: None });
        Grant { vendor, token_url: Url::parse("https://issuer.test/").unwrap(), how, needs_scope: None, store: None }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + 1_000 * DAY
    }

    fn explained(kind: Kind, vendor: Vendor, age_in_days: u64, ahead: Option<i64>) -> Trouble {
        let cause = if kind == Kind::Refused { remedy::of(&refusal()).1 } else { &remedy::NOT_REACHED };
        let trouble = Trouble { kind, cause, evidence: "Seen.".to_owned(), retry_after: None };
        let since = (1_000 - age_in_days) * DAY.as_secs();
        let kept = Kept { refresh_token: Secret::new(b"x".to_vec()), since };
        let status = Status { clock_ahead: ahead, ..Status::default() };
        Outlook::default().explained(trouble, &grant(vendor), Some(&kept), &status, now())
    }

    fn refusal() -> remedy::Refusal<'static> {
        remedy::Refusal { vendor: Vendor::Google, flow: remedy::Flow::Refresh, error: "invalid_grant", text: "" }
    }

    #[test]
    fn a_refusal_on_day_six_to_eight_is_the_seven_days_of_testing() {
        for (age, name) in [(0, "oauth_grant"), (5, "oauth_grant"), (6, "oauth_seven_days"), (7, "oauth_seven_days")] {
            assert_eq!(explained(Kind::Refused, Vendor::Google, age, None).cause.name, name, "{age}");
        }
        assert_eq!(explained(Kind::Refused, Vendor::Google, 8, None).cause.name, "oauth_seven_days");
        assert_eq!(explained(Kind::Refused, Vendor::Google, 9, None).cause.name, "oauth_grant");
        assert_eq!(explained(Kind::Refused, Vendor::Microsoft, 7, None).cause.name, "oauth_grant");
    }

    #[test]
    fn trouble_of_the_line_at_that_age_is_told_with_the_end_that_is_near() {
        let near = explained(Kind::Unreachable, Vendor::Google, 6, None);
        assert!(near.evidence.contains("6 days old") && near.cause == &remedy::NOT_REACHED, "{}", near.evidence);
        assert_eq!(explained(Kind::Unreachable, Vendor::Google, 3, None).evidence, "Seen.");
        assert_eq!(explained(Kind::Busy, Vendor::Microsoft, 7, None).evidence, "Seen.");
    }

    #[test]
    fn a_clock_that_is_off_is_named_and_one_that_is_nearly_right_is_not() {
        let clock = |ahead| explained(Kind::Refused, Vendor::Google, 0, Some(ahead)).evidence;
        assert_eq!(clock(90), "Seen. This machine's clock is 90 s ahead of the issuer's.");
        assert_eq!(clock(-90), "Seen. This machine's clock is 90 s behind the issuer's.");
        assert_eq!(clock(60), "Seen.");
    }

    #[test]
    fn an_end_that_was_announced_is_told_before_it_comes() {
        let told = |vendor, left: Duration| {
            let status = Status { refresh_token_expires: Some(now() + left), ..Status::default() };
            Outlook::default().told(&grant(vendor), &status, now())
        };
        let week = told(Vendor::Google, 6 * DAY + DAY / 2).unwrap();
        assert!(week.contains("ends in 6 days") && week.contains("Testing") && week.contains("publish"), "{week}");
        assert!(told(Vendor::Google, DAY / 2).unwrap().contains("ends in 12 hours"));
        assert!(told(Vendor::Other, 2 * DAY).unwrap().contains("SIDEPOST_OAUTH_REFRESH_TOKEN"));
        assert_eq!(told(Vendor::Google, 30 * DAY), None);
    }

    #[test]
    fn a_new_token_without_a_place_and_a_place_that_failed_are_told() {
        let told = |outlook: Outlook| outlook.told(&grant(Vendor::Microsoft), &Status::default(), now());
        assert_eq!(told(Outlook::default()), None);
        let memory = told(Outlook { rotated_into_memory: true, ..Outlook::default() }).unwrap();
        assert!(memory.contains("SIDEPOST_OAUTH_TOKEN_STORE"), "{memory}");
        let disk = told(Outlook { store_trouble: Some("It is full".to_owned()), ..Outlook::default() }).unwrap();
        assert!(disk.contains("It is full: the new refresh token is only in memory"), "{disk}");
    }
}
