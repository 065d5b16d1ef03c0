//! Until when a certificate holds (RFC 5280 section 4.1.2.5); nothing else is read of it here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's time, from its DER; nothing where that is malformed.
#[must_use]
pub fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = any(rest)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = any(rest)?.2;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (tag, text, _) = any(any(validity)?.2)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// An element of that kind and what follows it.
fn element(input: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (tag, body, rest) = any(input)?;
    (tag == kind).then_some((body, rest))
}

/// The next element: its tag, its body, and what follows it.
fn any(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

fn time(tag: u8, text: &str) -> Option<SystemTime> {
    let (year, rest) = match tag {
        // Two digits mean 1950 to 2049.
        UTC_TIME => (
            text.get(..2)?.parse::<u64>().ok().map(|year| if year < 50 { 2000 + year } else { 1900 + year })?,
            text.get(2..)?,
        ),
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let days = days(year, number(0)?, number(2)?)?;
    let seconds = days * 86_400 + number(4)? * 3600 + number(6)? * 60 + number(8)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days since 1970, of years that begin in March.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of(year: i32, month: u8, day: u8) -> Option<u64> {
        let mut parameters = rcgen::CertificateParams::new(vec!["mail.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        not_after(certificate.der()).map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        assert_eq!(end_of(2026, 11, 22), Some(1_795_305_600));
        assert_eq!(end_of(2028, 2, 29), Some(1_835_395_200));
        assert_eq!(end_of(2100, 3, 1), Some(4_107_542_400));
    }

    #[test]
    fn what_is_malformed_has_no_end() {
        let parameters = rcgen::CertificateParams::new(vec!["mail.example".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let whole = certificate.der().to_vec();
        for length in 0..200 {
            assert_eq!(not_after(&whole[..length]), None);
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = not_after(&broken);
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
