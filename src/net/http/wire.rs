//! The socket under one HTTP connection: it gives up on peers that trickle, stall, or never stop.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::super::stream::Stream;
use super::{Patience, Turn};

/// The most bytes that are read and thrown away behind an early refusal.
const MOST_THROWN_AWAY: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    turn: Turn,
    patience: Patience,
    /// What is to be read before anything else.
    unread: Bytes,
    /// The request that `head` belongs to.
    request: u32,
    head: Deadline,
    stall: Deadline,
    linger: Deadline,
    thrown_away: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream, turn: Turn, patience: Patience) -> Self {
        let (head, stall, linger) = Default::default();
        Self { stream, turn, patience, unread: Bytes::new(), request: 0, head, stall, linger, thrown_away: 0 }
    }

    /// Puts bytes in front of what the peer sends.
    pub(super) fn unread(&mut self, head: &str, rest: &[u8]) {
        self.unread = [head.as_bytes(), rest].concat().into();
    }

    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.turn.stalls(written.is_pending());
        if written.is_ready() {
            self.stall.clear();
            return written;
        }
        self.stall.start(self.patience.stall);
        if self.stall.has_passed(cx) { timed_out() } else { Poll::Pending }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.unread.is_empty() {
            let length = buffer.remaining().min(this.unread.len());
            buffer.put_slice(&this.unread.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let request = this.turn.request();
        if std::mem::replace(&mut this.request, request) != request {
            this.head.clear();
        }
        match &read {
            _ if this.turn.is(Turn::OURS) => {}
            // Not each byte but the whole head has a deadline, or one byte a second would do.
            Poll::Ready(_) => this.head.start(this.patience.head),
            Poll::Pending if this.head.has_passed(cx) => return timed_out(),
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// After a refusal, takes what the peer still sends and throws it away for a while: closing a socket with unread
    /// bytes resets the connection, and the peer would never read why it was refused.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        if !this.turn.is(Turn::REFUSED) {
            return Poll::Ready(Ok(()));
        }
        this.linger.start(this.patience.linger);
        let mut scratch = [0; 16 * 1024];
        while this.thrown_away < MOST_THROWN_AWAY && !this.linger.has_passed(cx) {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => this.thrown_away += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn timed_out<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

/// A moment that is set often and waited for rarely: the timer is made only when there is something to wait for.
#[derive(Debug, Default)]
struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Sets the moment, unless it is set.
    fn start(&mut self, wait: Duration) {
        self.at.get_or_insert_with(|| Instant::now() + wait);
    }

    fn clear(&mut self) {
        self.at = None;
        self.timer = None;
    }

    /// Whether the moment was set and has passed; if not, the task is woken when it does.
    fn has_passed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.at else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        timer.as_mut().poll(cx).is_ready()
    }
}
