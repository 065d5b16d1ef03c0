//! One HTTP request to a sidecar on this host.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

use crate::ingress::http::{Config, Tokens};
use crate::net::listen::Address;
use crate::net::stream::Stream;

/// Our own answers are never longer.
const LONGEST_ANSWER: usize = 1 << 20;

/// A request.
#[derive(Debug)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// POST of JSON.
    #[must_use]
    pub fn post_json(path: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method: "POST", path: path.to_owned(), headers, body: body.into() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same with the first of the sidecar's tokens, where it wants one.
    #[must_use]
    pub fn authorized(self, config: &Config) -> Self {
        match config.api_token.as_ref().and_then(Tokens::first) {
            Some(token) => self.header("authorization", format!("Bearer {token}")),
            None => self,
        }
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// A sentence.
    pub async fn send(self, address: impl Into<Address>) -> Result<Response, String> {
        let address = address.into();
        let failed = |error: &dyn std::fmt::Display| format!("no answer from {address}: {error}");
        let stream = Stream::connect(&address).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(connection);
        let request = self.build(&address).map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let body =
            Limited::new(response.into_body(), LONGEST_ANSWER).collect().await.map_err(|error| failed(&error))?;
        connection.abort();
        Ok(Response { status, body: body.to_bytes() })
    }

    fn build(self, address: &Address) -> hyper::http::Result<hyper::Request<Full<Bytes>>> {
        let host = address.tcp().map_or_else(|| "localhost".to_owned(), |address| address.to_string());
        let mut request = hyper::Request::builder().method(self.method).uri(self.path).header("host", host);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body))
    }
}
