//! A resolver (RFC 1035) of few names, which can be slow, or fail.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const A: u16 = 1;
const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// How it behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// It answers so much later.
    pub delay: Duration,
    /// It says that it has failed.
    pub fails: bool,
}

/// A resolver at work, over UDP. Dropping it ends it.
pub struct Names {
    manner: Arc<Mutex<Manner>>,
    task: JoinHandle<()>,
}

impl Names {
    /// Begins with these names; no other exists.
    pub async fn start(address: SocketAddr, names: &[(&str, &str)]) -> Self {
        let names: Arc<[(String, IpAddr)]> =
            names.iter().map(|(name, ip)| ((*name).to_owned(), ip.parse().unwrap())).collect();
        let socket = Arc::new(UdpSocket::bind(address).await.unwrap());
        let manner = Arc::new(Mutex::new(Manner::default()));
        let task = tokio::spawn(serve(socket, names, Arc::clone(&manner)));
        Self { manner, task }
    }

    /// Behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: Arc<UdpSocket>, names: Arc<[(String, IpAddr)]>, manner: Arc<Mutex<Manner>>) {
    let mut query = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut query).await {
        let manner = *manner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = answer(&query[..length], &names, manner.fails) else { continue };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            tokio::time::sleep(manner.delay).await;
            // Who asked may be gone by now.
            let _ = socket.send_to(&answer, client).await;
        });
    }
}

/// The answer to one question; nothing to what is none.
fn answer(query: &[u8], names: &[(String, IpAddr)], fails: bool) -> Option<Vec<u8>> {
    let (name, end) = name_at(query, 12)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let of_name: Vec<_> = names.iter().filter(|(known, _)| *known == name).map(|(_, ip)| *ip).collect();
    let code = match of_name.is_empty() {
        _ if fails => SERVFAIL,
        true => NXDOMAIN,
        false => 0,
    };
    let wanted = |ip: &&IpAddr| !fails && (ip.is_ipv4() && kind == A || ip.is_ipv6() && kind == AAAA);
    let found: Vec<_> = of_name.iter().filter(wanted).collect();
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(found.len()).unwrap(), 0, 0, 0, 0]);
    reply.extend(query.get(12..end + 4)?);
    for ip in found {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // The name of the question, the class of the Internet, a life of one second.
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 1, 0, u8::try_from(octets.len()).unwrap()]);
        reply.extend(octets);
    }
    Some(reply)
}

/// The name in lower case, and where it ends.
fn name_at(query: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
}
