//! A connection to one of several addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// RFC 8305 section 5: the next address is tried that long after the one before it.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to whichever address answers first; each gets a head start before the next (RFC 8305 section 5).
///
/// # Errors
/// What the last of them said, once all have failed.
pub async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut running = JoinSet::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let more = waiting.next();
        let none_left = more.is_none();
        if let Some(address) = more {
            running.spawn(TcpStream::connect(address));
        }
        match next_result(&mut running, none_left).await {
            Some(Ok(tcp)) => return Ok(tcp),
            Some(Err(error)) => last_error = error,
            None => {}
        }
        if none_left && running.is_empty() {
            return Err(last_error);
        }
    }
}

/// The next attempt to end; nothing where the head start is over before that.
async fn next_result(running: &mut JoinSet<io::Result<TcpStream>>, wait: bool) -> Option<io::Result<TcpStream>> {
    let ended = if wait {
        running.join_next().await
    } else {
        tokio::time::timeout(CONNECTION_ATTEMPT_DELAY, running.join_next()).await.ok()?
    };
    ended.map(|joined| joined.unwrap_or_else(|error| Err(io::Error::other(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_address_does_not_stop_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            other.local_addr().unwrap()
        };
        let tcp = race(vec![closed, open]).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), open);
        assert_eq!(race(vec![closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(race(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
