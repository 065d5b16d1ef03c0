//! One connection's bytes: lines and content in, replies out, each wait with its end.
//!
//! A connection that waits for a command holds no buffer: what comes is read onto the stack, and only what came is kept.
//! The timer is set anew only when it rings too early, so that a busy connection never touches the clock's queue.

use std::future::{Future as _, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::reply::Reply;
use crate::lifecycle::{Phase, Watch};
use crate::net::tls::link::Link;
use crate::net::tls::server::ServerTls;

/// The longest command line with its CRLF: RFC 5321 asks for 512, SMTPUTF8 for more; AUTH has a limit of its own.
pub const LONGEST_LINE: usize = 2_048;
/// What is read at once.
const READ: usize = 8 * 1024;
/// What is read at once where content comes faster than that.
const READ_FAST: usize = 64 * 1024;
/// Replies are collected up to this many bytes while commands are waiting (RFC 2920 section 3.2).
const MOST_UNSENT: usize = 4 * 1024;
/// How long a client may take to read what we send.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long, and how much, a client may still send after we have said the last word, so that it can read that.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 * 1024;

/// Why a wait ended without bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The client closed the connection, or it broke, or the client does not read.
    Gone,
    /// The deadline passed.
    Late,
    /// The process has reached the phase that ends the wait.
    Phase,
}

/// A line longer than it may be; all of it has been passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Bytes that came and are not used yet.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    at: usize,
    /// How much of a line that is too long was passed over; 0 where none is.
    skipped: usize,
}

impl Input {
    /// The next line without its CRLF, once it is complete, if it has no more than `longest` bytes with it. A bare LF ends
    /// nothing.
    pub fn line(&mut self, longest: usize) -> Option<Result<&[u8], TooLong>> {
        let start = self.at;
        let Some(length) = memmem::find(self.unread(), b"\r\n") else {
            self.skip_if_too_long(longest);
            return None;
        };
        self.consume(length + 2);
        if std::mem::take(&mut self.skipped) + length + 2 > longest {
            return Some(Err(TooLong));
        }
        Some(Ok(&self.bytes[start..start + length]))
    }

    /// Lets go of the line's beginning. A CR at the end stays: it may be half of the line's end.
    fn skip_if_too_long(&mut self, longest: usize) {
        let unread = self.unread();
        let length = unread.len() - usize::from(unread.ends_with(b"\r"));
        if self.skipped + unread.len() >= longest {
            self.skipped += length;
            self.consume(length);
        }
    }

    /// How many bytes of the line that is coming were passed over because it is too long.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// All bytes that are there.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Marks bytes as used.
    pub fn consume(&mut self, count: usize) {
        self.at = (self.at + count).min(self.bytes.len());
    }

    /// Gives the buffer back where nothing is in it.
    fn release(&mut self) {
        if self.unread().is_empty() {
            *self = Self { skipped: self.skipped, ..Self::default() };
        }
    }

    /// Adds bytes, and holds no more than is unread.
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.at));
        self.bytes.extend_from_slice(bytes);
    }

    /// Makes room to read into. What filled a whole buffer at once gets a larger one.
    fn make_room(&mut self) {
        if self.at == self.bytes.len() {
            let size = if self.bytes.len() >= READ { READ_FAST } else { READ };
            self.bytes.clear();
            self.at = 0;
            self.bytes.reserve_exact(size);
        } else if self.bytes.len() == self.bytes.capacity() {
            self.bytes.drain(..self.at);
            self.at = 0;
            self.bytes.reserve_exact(READ);
        }
    }
}

/// A stream with its buffers and its ends.
#[derive(Debug)]
pub struct Wire<S> {
    stream: Link<S>,
    /// What came.
    pub input: Input,
    output: Vec<u8>,
    timer: Pin<Box<Sleep>>,
    life: Life,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Takes over a stream.
    #[must_use]
    pub fn new(stream: Link<S>, life: Watch) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + WRITE_TIMEOUT));
        Self { stream, input: Input::default(), output: Vec::new(), timer, life: Life::new(life) }
    }

    /// The connection itself.
    #[must_use]
    pub fn link(&self) -> &Link<S> {
        &self.stream
    }

    /// The TLS handshake, before which everything that was said must have been flushed.
    ///
    /// # Errors
    /// Where it fails; nothing can be said any more.
    pub async fn secure(&mut self, tls: &ServerTls) -> io::Result<()> {
        self.stream.secure(tls).await
    }

    /// Whether new mail is no longer taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.life.watch.is_draining()
    }

    /// Whether the client spoke before it was spoken to. Looks, and does not wait.
    pub async fn spoke_early(&mut self) -> bool {
        // The runtime learns what a new socket holds only when it polls for events.
        tokio::task::yield_now().await;
        poll_fn(|cx| Poll::Ready(matches!(self.poll_read_some(cx), Poll::Ready(Ok(count)) if count > 0))).await
    }

    /// Waits for more bytes of a command.
    ///
    /// # Errors
    /// Why none came. At [`Phase::Draining`] the wait is over.
    pub async fn fill_idle(&mut self, deadline: Instant) -> Result<(), Stop> {
        self.fill_empty(deadline, Phase::Draining).await
    }

    /// Waits for more bytes of content that has not come for a while.
    ///
    /// # Errors
    /// Why none came. At [`Phase::Ending`] the wait is over.
    pub async fn fill_stalled(&mut self, deadline: Instant) -> Result<(), Stop> {
        self.fill_empty(deadline, Phase::Ending).await
    }

    /// Waits without a buffer.
    async fn fill_empty(&mut self, deadline: Instant, end: Phase) -> Result<(), Stop> {
        self.input.release();
        poll_fn(|cx| {
            let read = self.poll_read_some(cx);
            self.poll_wait(&read, deadline, end, cx)
        })
        .await
    }

    /// Waits for more bytes of content.
    ///
    /// # Errors
    /// Why none came. At [`Phase::Ending`] the wait is over.
    pub async fn fill(&mut self, deadline: Instant) -> Result<(), Stop> {
        poll_fn(|cx| {
            let read = self.poll_read(cx);
            self.poll_wait(&read, deadline, Phase::Ending, cx)
        })
        .await
    }

    /// What a read comes to; where nothing came, whether there is reason to wait on.
    fn poll_wait(
        &mut self,
        read: &Poll<io::Result<usize>>,
        deadline: Instant,
        end: Phase,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stop>> {
        match read {
            Poll::Ready(Ok(1..)) => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Stop::Gone)),
            Poll::Pending => {}
        }
        if self.life.poll_reached(end, cx).is_ready() {
            return Poll::Ready(Err(Stop::Phase));
        }
        self.poll_deadline(deadline, cx).map(|()| Err(Stop::Late))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.make_room();
        pin!(self.stream.read_buf(&mut self.input.bytes)).poll(cx)
    }

    /// Reads what a few commands need, by way of the stack.
    fn poll_read_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.input.add(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_deadline(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Adds a reply to what will be sent.
    pub fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    /// Whether so much waits to be sent that it must go before more is said.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.output.len() >= MOST_UNSENT
    }

    /// Sends what was said, in one write.
    ///
    /// # Errors
    /// [`Stop::Gone`] where the client takes none of it.
    pub async fn flush(&mut self) -> Result<(), Stop> {
        if self.output.is_empty() {
            return Ok(());
        }
        let (mut sent, mut deadline) = (0, None);
        let written = poll_fn(|cx| {
            let polled = self.poll_send(&mut sent, cx);
            if polled.is_ready() {
                return polled;
            }
            // Hardly ever needed: the client's buffers have room for a reply.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + WRITE_TIMEOUT);
            self.poll_deadline(deadline, cx).map(|()| Err(Stop::Gone))
        });
        let written = written.await;
        self.output.clear();
        self.output.shrink_to(MOST_UNSENT);
        written
    }

    fn poll_send(&mut self, sent: &mut usize, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let mut stream = Pin::new(&mut self.stream);
        while *sent < self.output.len() {
            match ready!(stream.as_mut().poll_write(cx, &self.output[*sent..])) {
                Ok(written @ 1..) => *sent += written,
                Ok(0) | Err(_) => return Poll::Ready(Err(Stop::Gone)),
            }
        }
        stream.poll_flush(cx).map_err(|_| Stop::Gone)
    }

    /// Gives back what an empty buffer holds, before a wait for somebody else.
    pub fn release(&mut self) {
        self.input.release();
    }

    /// Sends what was said and closes. With `linger`, a client that is still sending gets a moment: closing on bytes
    /// unread resets the connection, and the last reply with it.
    pub async fn close(mut self, linger: bool) {
        let closed = self.flush().await.is_ok() && matches!(timeout(LINGER, self.stream.shutdown()).await, Ok(Ok(())));
        if closed && linger {
            let _ = timeout(LINGER, self.read_away()).await;
        }
    }

    async fn read_away(&mut self) {
        let mut scrap = [0; 512];
        let mut left = LINGER_BYTES;
        while let Ok(count @ 1..) = self.stream.read(&mut scrap).await {
            left = left.saturating_sub(count);
            if left == 0 {
                return;
            }
        }
    }
}

type Reached = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The process' life, waited for by one future for as long as it can serve.
struct Life {
    watch: Watch,
    passed: Phase,
    next: Reached,
}

impl Life {
    fn new(watch: Watch) -> Self {
        let next = reached(&watch, Phase::Draining);
        Self { watch, passed: Phase::Starting, next }
    }

    fn poll_reached(&mut self, phase: Phase, cx: &mut Context<'_>) -> Poll<()> {
        while self.passed < phase {
            ready!(self.next.as_mut().poll(cx));
            self.passed = if self.passed < Phase::Draining { Phase::Draining } else { Phase::Ending };
            self.next = reached(&self.watch, Phase::Ending);
        }
        Poll::Ready(())
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.watch.fmt(f)
    }
}

fn reached(watch: &Watch, phase: Phase) -> Reached {
    let watch = watch.clone();
    Box::pin(async move { watch.reached(phase).await })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the pieces and collects what comes out, `None` for a line that is too long.
    fn lines(pieces: &[&[u8]]) -> (Vec<Option<Vec<u8>>>, Input) {
        let (mut input, mut lines) = (Input::default(), Vec::new());
        for (turn, piece) in pieces.iter().enumerate() {
            let mut rest = *piece;
            while !rest.is_empty() {
                input.make_room();
                // A connection reads in both ways, by turns.
                let room = if turn % 2 == 0 { input.bytes.capacity() - input.bytes.len() } else { READ };
                let (now, later) = rest.split_at(room.min(rest.len()));
                if turn % 2 == 0 {
                    input.bytes.extend_from_slice(now);
                } else {
                    input.add(now);
                }
                rest = later;
                while let Some(line) = input.line(LONGEST_LINE) {
                    lines.push(line.map(<[u8]>::to_vec).ok());
                }
            }
        }
        (lines, input)
    }

    fn check(piece: &[u8], expected: &[&str]) {
        let expected: Vec<_> = expected.iter().map(|line| Some(line.as_bytes().to_vec())).collect();
        assert_eq!(lines(&[piece]).0, expected);
        let bytes: Vec<&[u8]> = piece.chunks(1).collect();
        assert_eq!(lines(&bytes).0, expected, "byte by byte");
    }

    #[test]
    fn lines_end_in_crlf_only() {
        check(b"a\r\nb\r\nc", &["a", "b"]);
        check(b"\r\n\r\n", &["", ""]);
        check(b"a\nb\rc\r\r\n", &["a\nb\rc\r"]);
        check(b"a\n\r", &[]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_without_memory() {
        for excess in [0, 1, 2, 3, 10_000, 1_000_000] {
            let long = [b"x".repeat(LONGEST_LINE - 1 + excess), b"\r\nNOOP\r\n".to_vec()].concat();
            for size in [7, 2047, 2048, 2049, 100_000] {
                let pieces: Vec<&[u8]> = long.chunks(size).collect();
                let (found, input) = lines(&pieces);
                assert_eq!(found, [None, Some(b"NOOP".to_vec())], "{excess} over, {size} at once");
                assert!(input.bytes.capacity() <= READ_FAST, "{}", input.bytes.capacity());
            }
        }
        let longest = [b"x".repeat(LONGEST_LINE - 2), b"\r\n".to_vec()].concat();
        assert_eq!(lines(&[&longest]).0, [Some(b"x".repeat(LONGEST_LINE - 2))]);
    }

    #[test]
    fn an_empty_buffer_is_given_back() {
        let mut input = lines(&[b"NOOP\r\n"]).1;
        input.release();
        assert_eq!(input.bytes.capacity(), 0);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in "[a\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let mut whole: Vec<_> = text.split("\r\n").map(|line| Some(line.as_bytes().to_vec())).collect();
            whole.pop();
            prop_assert_eq!(lines(&pieces).0, whole);
        }
    }
}
