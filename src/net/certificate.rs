//! When a certificate begins and ends: the facts in it that rustls checks and does not tell.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `notAfter` of a certificate in DER (RFC 5280 section 4.1.2.5); nothing where it is not one.
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    moment(validity(certificate)?.1)
}

/// `notBefore`, likewise.
#[must_use]
pub fn not_before(certificate: &[u8]) -> Option<SystemTime> {
    moment(validity(certificate)?.0?)
}

fn moment(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Both in seconds since 1970.
fn validity(certificate: &[u8]) -> Option<(Option<u64>, u64)> {
    let mut certificate = Der(certificate).inside(SEQUENCE)?;
    let mut body = certificate.inside(SEQUENCE)?;
    if body.0.first() == Some(&VERSION) {
        body.next()?;
    }
    let (_serial, _algorithm, _issuer) = (body.next()?, body.next()?, body.next()?);
    let mut validity = body.inside(SEQUENCE)?;
    Some((time(validity.next()?), time(validity.next()?)?))
}

fn time(element: (u8, &[u8])) -> Option<u64> {
    match element {
        (UTC_TIME, text) => seconds(if text.first()? < &b'5' { b"20" } else { b"19" }, text),
        (GENERALIZED_TIME, text) => seconds(text.get(..2)?.try_into().ok()?, text.get(2..)?),
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is left of a run of elements.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        let (length, rest) = if length < 0x80 {
            (usize::from(length), rest)
        } else {
            let (digits, rest) =
                rest.split_at_checked(usize::from(length & 0x7f)).filter(|(digits, _)| digits.len() < 4)?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The elements in the next one, which has this tag.
    fn inside(&mut self, tag: u8) -> Option<Self> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| Self(content))
    }
}

/// `YYMMDDHHMMSSZ` of a century.
fn seconds(century: &[u8; 2], text: &[u8]) -> Option<u64> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
    if text.len() != 13 || text[12] != b'Z' || !text[..12].iter().chain(century).all(u8::is_ascii_digit) {
        return None;
    }
    let mut pairs = text[..12].chunks(2).map_while(number);
    let (year, month, day) = (number(century)? * 100 + pairs.next()?, pairs.next()?, pairs.next()?);
    let (hour, minute, second) = (pairs.next()?, pairs.next()?, pairs.next()?);
    ((1..=12).contains(&month) && (1..=31).contains(&day) && year >= 1970)
        .then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since 1970, in the Gregorian calendar; the year begins in March, so that the leap day is its last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let to_the_first_of_january_1970 = 719_468;
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - to_the_first_of_january_1970
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn made(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_in_both_forms_of_time() {
        for (year, month, day, expected) in [
            (2026, 11, 22, 1_795_305_600),
            (2030, 1, 1, 1_893_456_000),
            (2028, 2, 29, 1_835_395_200),
            (2049, 12, 31, 2_524_521_600),
            (2050, 3, 1, 2_529_705_600),
            (2100, 3, 1, 4_107_542_400),
            (1999, 12, 31, 946_598_400),
        ] {
            let expected = UNIX_EPOCH + Duration::from_secs(expected);
            assert_eq!(not_after(&made(year, month, day)), Some(expected), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn the_beginning_is_read_as_well() {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(not_before(certificate.der()), Some(UNIX_EPOCH + Duration::from_secs(1_893_456_000)));
    }

    #[test]
    fn what_is_malformed_has_no_end() {
        let whole = made(2030, 1, 1);
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

    proptest! {
        #[test]
        fn other_bytes_do_no_harm(bytes in any::<Vec<u8>>(), at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut certificate = MADE.get_or_init(|| made(2030, 1, 1)).clone();
            let length = certificate.len();
            certificate[at % length] = byte;
            let _ = (not_after(&bytes), not_after(&certificate), not_after(&certificate[..cut % length]));
        }
    }
}
