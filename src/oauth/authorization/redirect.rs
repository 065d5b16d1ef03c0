//! Where the browser brings the code: a listener of this machine alone, for as long as somebody waits.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::form::decoded;
use crate::config::secret::Secret;

/// Browsers open connections ahead and say nothing on them.
const MOST_CONNECTIONS: usize = 32;
const LONGEST_HEAD: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// What the browser brought.
#[derive(Debug)]
pub enum Brought {
    /// A code.
    Code(Secret),
    /// An error, and its description.
    Error(String, String),
}

/// A listener on a free port of this machine.
#[derive(Debug)]
pub struct Redirect {
    v4: TcpListener,
    /// The same port, for browsers that look for `localhost` there.
    v6: Option<TcpListener>,
}

impl Redirect {
    /// Listens.
    ///
    /// # Errors
    /// Where there is no port.
    pub async fn bind() -> io::Result<Self> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, v4.local_addr()?.port())).await.ok();
        Ok(Self { v4, v6 })
    }

    /// The port.
    ///
    /// # Errors
    /// Where the socket has none.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.v4.local_addr()?.port())
    }

    /// Waits for a request that has the state; all others are turned away.
    pub async fn wait(&self, state: &str) -> Brought {
        let mut conversations = JoinSet::new();
        loop {
            tokio::select! {
                Ok(stream) = self.accept(), if conversations.len() < MOST_CONNECTIONS => {
                    let state = state.to_owned();
                    conversations.spawn(async move { timeout(PATIENCE, converse(stream, &state)).await });
                }
                Some(done) = conversations.join_next() => {
                    if let Ok(Ok(Some(brought))) = done {
                        return brought;
                    }
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let v6 = async {
            match &self.v6 {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let accepted = tokio::select! {
            accepted = self.v4.accept() => accepted,
            accepted = v6 => accepted,
        };
        Ok(accepted?.0)
    }
}

async fn converse(mut stream: TcpStream, state: &str) -> Option<Brought> {
    let target = target(&mut stream).await;
    let (path, query) = target.as_deref().map(|target| target.split_once('?').unwrap_or((target, "")))?;
    let brought = if path == "/" { read(query, state) } else { None };
    let (status, text) = match &brought {
        Some(Brought::Code(_)) => ("200 OK", "Sidepost has what it needs. You can close this window."),
        Some(Brought::Error(..)) => ("200 OK", "No access was granted. The terminal says what to do."),
        None => ("404 Not Found", "This is not what Sidepost waits for."),
    };
    let page = format!("<!doctype html><title>Sidepost</title><p>{text}</p>\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n",
        page.len()
    );
    // A browser that is gone by now has brought what it had.
    let _ = stream.write_all((head + &page).as_bytes()).await;
    let _ = stream.shutdown().await;
    brought
}

/// The target of a GET request.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
        let mut piece = [0; 2048];
        let count = stream.read(&mut piece).await.ok().filter(|&count| count > 0)?;
        head.extend_from_slice(piece.get(..count)?);
        if head.len() > LONGEST_HEAD {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.lines().next()?.split(' ');
    (words.next()? == "GET").then_some(())?;
    words.next().map(str::to_owned)
}

/// What a query brings, if it has the state: an address that somebody else made us visit has not.
#[must_use]
pub fn read(query: &str, state: &str) -> Option<Brought> {
    let field = |wanted: &str| {
        let fields = query.split('&').filter_map(|field| field.split_once('='));
        fields.filter(|(name, _)| *name == wanted).map(|(_, value)| decoded(value)).next()
    };
    if field("state")? != state {
        return None;
    }
    if let Some(error) = field("error") {
        return Some(Brought::Error(error, field("error_description").unwrap_or_default()));
    }
    field("code").filter(|code| !code.is_empty()).map(|code| Brought::Code(Secret::new(code.into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_state_brings_anything() {
        let code = |query: &str| match read(query, "s") {
            Some(Brought::Code(code)) => Some(String::from_utf8(code.expose().to_vec()).unwrap()),
            Some(Brought::Error(error, text)) => Some(format!("error {error} {text}")),
            None => None,
        };
        assert_eq!(code("state=s&code=4%2Fabc&scope=x").as_deref(), Some("4/abc"));
        assert_eq!(code("code=a+b&state=s").as_deref(), Some("a b"));
        assert_eq!(
            code("error=access_denied&state=s&error_description=No+way").as_deref(),
            Some("error access_denied No way")
        );
        for bad in ["", "code=x", "state=&code=x", "state=t&code=x", "state=s", "state=s&code=", "code=%&state=s%"] {
            assert_eq!(code(bad), None, "{bad}");
        }
    }
}
