//! Reading a body: its type first, then room for it, then its bytes, at a pace.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use tokio::time::{Instant, timeout_at};

use super::Api;
use super::answer::{refused, too_large};
use super::problem::{Code, Problem};
use crate::delivery::budget::Hold;
use crate::message::Ingress;
use crate::message::content::{BareNewline, Content, ContentWriter};
use crate::outcome::Refusal;

/// A body with large files in it becomes the message where it lies, and grows by its line ends: two octets for each 76.
const LINE_ENDS: usize = 36;
/// Names, quotes and escapes around a message of the largest size. What is mostly escapes meets this limit earlier.
const JSON_WRAPPING: usize = 1 << 20;
/// The pace below which a client is cut: this long, and a second more for each of so many bytes.
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES_PER_SECOND: u64 = 32 * 1024;
/// How much room is asked for at a time where the length is not known in advance.
const STEP: usize = 64 * 1024;

/// Makes sure that a body is exactly of this type and plain. Browsers send neither type across sites without asking.
pub(super) fn expect(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let encoded =
        headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let fits = match (types.next(), types.next()) {
        (Some(only), None) => only.to_str().is_ok_and(|text| is_type(text, wanted)),
        _ => false,
    };
    if fits && !encoded {
        return Ok(());
    }
    let detail = format!("The body must be {wanted} in UTF-8, without Content-Encoding.");
    Err(Problem::new(Code::UnsupportedMediaType, detail).counted("malformed"))
}

fn is_type(text: &str, wanted: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(wanted))
        && parts.all(|part| ["charset=utf-8", "charset=\"utf-8\""].iter().any(|utf8| part.eq_ignore_ascii_case(utf8)))
}

/// A JSON body in one piece, and room for it and for the message that will be made of it.
pub(super) async fn json(api: &Api, body: Body) -> Result<(Vec<u8>, Hold), Problem> {
    let limit = api.relay.policy().max_message_bytes();
    let mut reader = Reader::new(api, body, limit.saturating_add(JSON_WRAPPING), held)?;
    let mut bytes = Vec::new();
    bytes.reserve_exact(capacity(reader.expected.unwrap_or_default()));
    while let Some(piece) = reader.next().await? {
        // By half of what there is: a body of unknown length is moved a few times, never held twice.
        if bytes.capacity() - bytes.len() < piece.len() {
            bytes.reserve_exact(piece.len().max(bytes.len() / 2));
            reader.room(bytes.capacity())?;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, reader.hold))
}

/// The room that a JSON body takes, large files made into lines.
pub(super) fn held(length: usize) -> usize {
    length.saturating_add(length / LINE_ENDS)
}

/// What to ask the allocator for. glibc gives memory back at once where the kernel maps it apart; but the first such
/// piece of up to 32 MiB that is freed makes it keep pieces of that size for itself. What is asked for and never
/// touched costs nothing.
fn capacity(length: usize) -> usize {
    const LARGE: usize = 1 << 20;
    const ALWAYS_MAPPED: usize = 33 << 20;
    if length < LARGE { held(length) } else { held(length).max(ALWAYS_MAPPED) }
}

/// A message as it is, and room for it. Line ends that stand alone are mended.
pub(super) async fn message(api: &Api, body: Body) -> Result<(Content, Hold), Problem> {
    let mut reader = Reader::new(api, body, api.relay.policy().max_message_bytes(), |length| length)?;
    let mut writer = ContentWriter::new(BareNewline::Normalize);
    while let Some(piece) = reader.next().await? {
        reader.room(writer.len() + piece.len())?;
        // Normalising refuses nothing.
        let _ = writer.push(&piece);
    }
    let content = writer.finish().map_err(|_| cut_short())?;
    Ok((content, reader.hold))
}

/// Room for so many bytes instead of what was held.
pub(super) fn resize(hold: &mut Hold, bytes: usize) -> Result<(), Problem> {
    hold.resize(bytes).map_err(|_| refused(&Refusal::Overloaded).counted("overloaded"))
}

struct Reader {
    body: Body,
    hold: Hold,
    /// The length, where the client said it.
    expected: Option<usize>,
    limit: usize,
    /// The memory that so many bytes of the body take.
    memory: fn(usize) -> usize,
    begun: Instant,
    received: usize,
    room: usize,
}

impl Reader {
    fn new(api: &Api, body: Body, limit: usize, memory: fn(usize) -> usize) -> Result<Self, Problem> {
        let expected = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if expected.is_some_and(|length| length > limit) {
            return Err(over(limit));
        }
        let room = expected.unwrap_or(STEP);
        let hold = api.relay.reserve(Ingress::Http, memory(room)).map_err(|refusal| refused(&refusal))?;
        Ok(Self { body, hold, expected, limit, memory, begun: Instant::now(), received: 0, room })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let earned = Duration::from_secs(self.received as u64 / BYTES_PER_SECOND);
        let frame = timeout_at(self.begun + PATIENCE + earned, self.body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = frame.transpose().map_err(|_| cut_short())? else { return Ok(None) };
        let piece = frame.into_data().unwrap_or_default();
        self.received += piece.len();
        if self.received > self.limit { Err(over(self.limit)) } else { Ok(Some(piece)) }
    }

    /// Room for so many bytes, in steps, where the length was not known in advance.
    fn room(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes > self.room {
            self.room = bytes.next_multiple_of(STEP);
            resize(&mut self.hold, (self.memory)(self.room))?;
        }
        Ok(())
    }
}

fn over(limit: usize) -> Problem {
    too_large(limit as u64).counted("too_large")
}

fn too_slow() -> Problem {
    Problem::new(Code::RequestTimeout, "The body came too slowly.")
        .retry_after(Duration::from_secs(1))
        .header(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"))
        .counted("malformed")
}

fn cut_short() -> Problem {
    Problem::new(Code::MalformedRequest, "The body ended before its announced end.").counted("malformed")
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::super::tests::api;
    use super::*;

    /// One byte whenever it is asked after a wait, and never an end.
    struct Trickle(Pin<Box<tokio::time::Sleep>>, Duration);

    impl Trickle {
        fn body(wait: Duration) -> Body {
            Body::new(Self(Box::pin(tokio::time::sleep(wait)), wait))
        }
    }

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            std::task::ready!(self.0.as_mut().poll(cx));
            let again = Instant::now() + self.1;
            self.0.as_mut().reset(again);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
        }
    }

    /// Pieces whose sum nobody was told.
    struct Pieces(std::vec::IntoIter<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_or_trickles_is_cut() {
        for wait in [Duration::from_secs(1), Duration::from_secs(3600)] {
            let begun = Instant::now();
            let problem = json(&api(), Trickle::body(wait)).await.unwrap_err();
            assert_eq!(problem.code(), Code::RequestTimeout);
            assert!(begun.elapsed() < PATIENCE + Duration::from_secs(2), "{:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn room_follows_a_body_of_unknown_length() {
        let api = api();
        let chunked = |bytes: usize| {
            let chunks = vec![Bytes::from(vec![b'x'; 1000]); bytes / 1000];
            Body::new(Pieces(chunks.into_iter()))
        };
        let (bytes, hold) = json(&api, chunked(300_000)).await.unwrap();
        assert_eq!(bytes.len(), 300_000);
        assert!(bytes.capacity() < 500_000, "{}", bytes.capacity());
        drop(hold);
        let limit = api.relay.policy().max_message_bytes();
        let problem = message(&api, chunked(limit + 1000)).await.unwrap_err();
        assert_eq!(problem.code(), Code::MessageTooLarge);
        let problem = json(&api, chunked(limit + JSON_WRAPPING + 1000)).await.unwrap_err();
        assert_eq!(problem.code(), Code::MessageTooLarge);
    }

    #[test]
    fn types_are_exact() {
        for good in ["application/json", "Application/JSON ; charset=UTF-8", "application/json;charset=\"utf-8\""] {
            assert!(is_type(good, "application/json"), "{good}");
        }
        for bad in [
            "",
            "text/json",
            "application/json-seq",
            "application/json; charset=latin1",
            "application/json, text/plain",
            "application/json; a=b",
        ] {
            assert!(!is_type(bad, "application/json"), "{bad}");
        }
    }
}
