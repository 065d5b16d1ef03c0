//! The kinds of value a setting can have: how each is written, and what to say when it is not.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};

use super::secret::Secret;

/// A kind of value that can be read from the text of an environment variable.
pub trait Value: Sized {
    /// What is expected, to complete "expected ...". Never contains what was given.
    const EXPECTS: &'static str;
    /// Whether the value must never be shown.
    const SECRET: bool = false;

    /// Reads the text, or says nothing more than that it does not fit.
    fn parse(text: &str) -> Option<Self>;
}

/// Carries a [`Value`] through `envy`, which knows only serde.
pub fn parsed<'de, D: Deserializer<'de>, T: Value>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    T::parse(&text).ok_or_else(|| D::Error::custom(T::EXPECTS))
}

/// A value that may be absent; the empty text says so.
impl<T: Value> Value for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }
}

impl Value for String {
    const EXPECTS: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for std::path::PathBuf {
    const EXPECTS: &'static str = "the path of a file";

    fn parse(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }
}

impl Value for bool {
    const EXPECTS: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }
}

/// A whole number of at least one.
impl Value for usize {
    const EXPECTS: &'static str = "a whole number of at least 1, such as `256`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|&n| n > 0)
    }
}

impl Value for f64 {
    const EXPECTS: &'static str = "a number from 1 to 10, such as `2`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|n| (1.0..=10.0).contains(n))
    }
}

/// A span of time: `250ms`, `30s`, `5m`, `1h`; `0s` is fine.
impl Value for Duration {
    const EXPECTS: &'static str = "a duration with its unit, such as `250ms`, `30s` or `5m` (at most 24h)";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let milliseconds = match unit.trim_start() {
            "ms" => number,
            "s" => number.checked_mul(1_000)?,
            "m" => number.checked_mul(60_000)?,
            "h" => number.checked_mul(3_600_000)?,
            _ => return None,
        };
        (milliseconds <= 86_400_000).then(|| Self::from_millis(milliseconds))
    }
}

/// A number of bytes: `500000`, `64KiB`, `25MiB`, `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

impl Value for Size {
    const EXPECTS: &'static str =
        "a size such as `25MiB`, `10MB` or a plain number of bytes (at least 1 KiB, at most 16 GiB)";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return None,
        };
        let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
        (1 << 10..=16 << 30).contains(&bytes).then_some(())?;
        usize::try_from(bytes).ok().map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Settings reach `envy` as text, one char for each byte of a secret, so that any byte passes unharmed.
impl Value for Secret {
    const EXPECTS: &'static str = "a secret";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>().map(Self::new)
    }
}

/// Implements [`Value`] for a type that is written as one of a few words.
#[macro_export]
macro_rules! words {
    ($type:ty, $expects:literal, $($word:literal => $value:expr),+ $(,)?) => {
        impl $crate::config::value::Value for $type {
            const EXPECTS: &'static str = $expects;

            fn parse(text: &str) -> Option<Self> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_stay_in_bounds() {
        let parse = <Duration as Value>::parse;
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        assert_eq!(parse("5m"), Some(Duration::from_secs(300)));
        for bad in ["", "30", "s", "-1s", "1.5s", "25h", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        let parse = <Size as Value>::parse;
        assert_eq!(parse("25MiB"), Some(Size(25 << 20)));
        assert_eq!(parse("10 MB"), Some(Size(10_000_000)));
        assert_eq!(parse("4096"), Some(Size(4096)));
        for bad in ["", "MiB", "0", "1", "17GiB", "1TB", "18446744073709551615GiB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_keeps_every_byte() {
        let text: String = (0..=255u8).map(char::from).collect();
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(<Secret as Value>::parse(&text).unwrap().expose(), bytes);
    }
}
