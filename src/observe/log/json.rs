//! Lines as JSON: one object, flat, in the order in which the fields were given.

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::time::UtcWithMicroseconds;

/// The form of a line. There is one for each message, so it is written straight into the line's buffer.
#[derive(Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields { line, result: Ok(()) };
        fields.begin(event);
        event.record(&mut fields);
        fields.put(|line| line.write_str("}\n"));
        fields.result
    }
}

struct Fields<'w> {
    line: Writer<'w>,
    result: fmt::Result,
}

impl<'w> Fields<'w> {
    fn begin(&mut self, event: &Event<'_>) {
        let (now, level) = (UtcWithMicroseconds::of(SystemTime::now()), event.metadata().level());
        self.put(|line| {
            line.write_str("{\"timestamp\":\"")?;
            line.write_str(now.as_str())?;
            line.write_str("\",\"level\":\"")?;
            line.write_str(level.as_str())?;
            line.write_str("\"")
        });
    }

    fn quoted(&mut self, field: &Field, write: impl FnOnce(&mut Escaped<'_, 'w>) -> fmt::Result) {
        self.put(|line| {
            name(line, field)?;
            line.write_str("\"")?;
            write(&mut Escaped(line))?;
            line.write_str("\"")
        });
    }

    /// A field that needs no quotes.
    fn bare(&mut self, field: &Field, value: &dyn fmt::Display) {
        self.put(|line| {
            name(line, field)?;
            write!(line, "{value}")
        });
    }

    fn put(&mut self, write: impl FnOnce(&mut Writer<'w>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = write(&mut self.line);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.quoted(field, |text| text.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.quoted(field, |text| write!(text, "{value:?}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, &value);
    }
}

/// Names are ours: nothing in them needs to be escaped.
fn name(line: &mut Writer<'_>, field: &Field) -> fmt::Result {
    line.write_str(",\"")?;
    line.write_str(field.name())?;
    line.write_str("\":")
}

/// What is written to it stands within quotes (RFC 8259 section 7).
struct Escaped<'e, 'w>(&'e mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some(at) = text.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            let (plain, rest) = text.split_at(at);
            self.0.write_str(plain)?;
            let (special, rest) = rest.split_at(1);
            match special {
                "\"" => self.0.write_str("\\\"")?,
                "\\" => self.0.write_str("\\\\")?,
                "\n" => self.0.write_str("\\n")?,
                other => write!(self.0, "\\u{:04x}", other.as_bytes()[0])?,
            }
            text = rest;
        }
        self.0.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What is logged meanwhile, as lines.
    fn logged(act: impl FnOnce()) -> Vec<Value> {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let copy = kept.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(Json).with_writer(move || copy.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        let bytes = kept.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.is_empty() || text.ends_with("}\n"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_keep_their_kinds_and_their_order() {
        let lines = logged(|| {
            tracing::warn!(text = "t", shown = %1.5, debug = ?Some("x"), count = 7_u16, below = -7, flag = true,
                some = Some("s"), none = None::<&str>, "said");
        });
        let Some(Value::Object(fields)) = lines.first() else { panic!("an object") };
        assert_eq!(fields["timestamp"].as_str().unwrap().len(), "2026-11-22T16:04:16.123456Z".len());
        let rest: Vec<_> =
            fields.iter().filter(|(name, _)| *name != "timestamp").map(|(_, value)| value.clone()).collect();
        let expected = json!({ "level": "WARN", "message": "said", "text": "t", "shown": "1.5", "debug": "Some(\"x\")",
            "count": 7, "below": -7, "flag": true, "some": "s" });
        assert_eq!(rest.len(), expected.as_object().unwrap().len());
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&fields[name], value, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in any::<String>(), control in "[\\x00-\\x20\"\\\\\\x7fa]{0,20}") {
            let all = format!("{text}{control}");
            let lines = logged(|| tracing::info!(quoted = all.as_str(), shown = %all, "{all}"));
            prop_assert_eq!(lines.len(), 1);
            for name in ["quoted", "shown", "message"] {
                prop_assert_eq!(lines[0][name].as_str(), Some(all.as_str()));
            }
        }
    }
}
