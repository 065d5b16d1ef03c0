//! A request whose answer takes long holds what makes the answer, and nothing else.
//!
//! hyper's connection has two buffers of 8 kB, more than all the rest of a message that waits for the provider. So it is
//! taken apart for the time of waiting. Once there is an answer, another is made around the same socket, which finds the
//! same request there once more, as far as it matters to how the answer is written.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::CONNECTION;
use hyper::{Method, Request, Version};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Turn;

type Making = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The answer that a connection waits for, if any. Clones share it.
#[derive(Clone)]
pub(super) struct Held {
    turn: Turn,
    /// How long an answer may take until the connection is taken apart.
    patience: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    request: Line,
    making: Option<Making>,
    made: Option<Response>,
    /// When the wait becomes long.
    end: Option<Instant>,
    /// Made once per connection, and set again only when it has passed.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What of a request decides how its answer is written, and whether there can be another.
#[derive(Default)]
struct Line {
    method: Method,
    version: Version,
    connection: Option<&'static str>,
}

impl Line {
    fn of<B>(request: &Request<B>) -> Self {
        let lists = |word: &str| {
            let mut values = request.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
            values.any(|value| value.split(',').any(|option| option.trim().eq_ignore_ascii_case(word)))
        };
        let connection = ["close", "keep-alive"].into_iter().find(|word| lists(word));
        Self { method: request.method().clone(), version: request.version(), connection }
    }
}

impl Held {
    pub(super) fn new(turn: Turn, patience: Duration) -> Self {
        Self { turn, patience, state: Arc::default() }
    }

    /// What hyper asks for the answer to a request: `make` makes it, unless it is there since the connection before.
    pub(super) fn answer<F>(
        self,
        request: Request<Incoming>,
        make: impl FnOnce(Request<Watched>) -> F,
    ) -> impl Future<Output = Result<Response, Infallible>>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let is_new = self.state().made.is_none();
        if is_new {
            self.turn.begin(request.body().is_end_stream());
            let line = Line::of(&request);
            let making = make(request.map(|body| Watched { body, turn: self.turn.clone() }));
            let mut state = self.state();
            state.request = line;
            state.making = Some(Box::pin(making));
            state.end = None;
        }
        poll_fn(move |cx| {
            ready!(self.poll_made(cx));
            self.state().made.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
        })
    }

    /// Waits until an answer takes long, and nothing else is under way on the connection.
    pub(super) async fn is_long(&self) {
        poll_fn(|cx| self.poll_long(cx)).await;
    }

    /// Waits for the answer. Safe to cancel.
    pub(super) async fn is_made(&self) {
        poll_fn(|cx| self.poll_made(cx)).await;
    }

    /// The request once more, for the next connection to find.
    pub(super) fn request(&self, is_last: bool) -> String {
        let Line { method, version, connection } = &self.state().request;
        let connection = if is_last { Some("close") } else { *connection };
        let connection = connection.map(|word| format!("Connection: {word}\r\n")).unwrap_or_default();
        format!("{method} / {version:?}\r\n{connection}\r\n")
    }

    fn poll_made(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if let Some(making) = &mut state.making {
            let answer = ready!(making.as_mut().poll(cx));
            (state.making, state.made) = (None, Some(answer));
        }
        Poll::Ready(())
    }

    fn poll_long(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        // What is still to be read or written would be lost with hyper's buffers.
        if state.making.is_none() || !self.turn.is_read() || self.turn.is_stalled() {
            return Poll::Pending;
        }
        let end = *state.end.get_or_insert_with(|| Instant::now() + self.patience);
        let timer = state.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request, which tells when it was read to its end.
pub(super) struct Watched {
    body: Incoming,
    turn: Turn,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.turn.has_read();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
