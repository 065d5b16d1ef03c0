//! A look at a server without a message: to EHLO and away again, or through the login, where the session is kept for
//! the next message.

use std::time::Duration;

use tokio::time::Instant;

use super::limits::Limits;
use super::pool::Turn;
use super::{Smtp, quit};
use crate::diagnosis::comparison::families::Host;
use crate::diagnosis::comparison::names::Lookup;
use crate::diagnosis::comparison::{Found, Trust};
use crate::diagnosis::table;
use crate::lifecycle::Watch;
use crate::outcome::{Failure, Reason, Step};
use crate::provider::{self, Link, Server};
use crate::transport::{Depth, Phases, Probe, Probed, reach};

impl Smtp {
    /// One look. Nothing where every connection is in use: mail is on its way, and tells as much.
    pub async fn probe(&self, server: &Server, probe: &Probe<'_>) -> Option<Probed> {
        let turn = self.pool.try_turn(server)?;
        let link = self.provider.link(server);
        let Probe { deadline, step, lifecycle, .. } = *probe;
        let limits = Limits { deadline, most: step, connect: step, lifecycle };
        let mut phases = Phases::default();
        let result = self.probe_as_far_as(probe, server, &link, turn, limits, &mut phases).await;
        Some(Probed { result, phases })
    }

    async fn probe_as_far_as(
        &self,
        probe: &Probe<'_>,
        server: &Server,
        link: &Link,
        turn: Turn,
        limits: Limits<'_>,
        phases: &mut Phases,
    ) -> Result<Depth, Failure> {
        if probe.depth == Depth::Login {
            match self.open(server, link, probe.gate, limits, phases).await {
                // A session that nobody has used yet is worth more to the next message than a farewell.
                Ok(connection) => {
                    self.pool.keep(server, connection);
                    return Ok(Depth::Login);
                }
                Err(unopened) if unopened.is_held => {}
                Err(unopened) => return Err(unopened.failure),
            }
        }
        let counted = self.pool.count();
        let session = self.dialer.arrive(server, link, limits, phases).await?;
        tokio::spawn(quit(counted.adopt(session), Some(turn)));
        Ok(Depth::Hello)
    }

    /// What is found at a host's port, and whether that is in a network of our own. A greeting is waited for where
    /// the conversation is what failed, and a certificate is looked at where ours was.
    pub async fn look(
        &self,
        server: &Server,
        host: String,
        port: u16,
        failure: &Failure,
        wait: Duration,
        lifecycle: &Watch,
    ) -> (Found, bool) {
        let speaks_first = server.tls != provider::Tls::Implicit && port == server.port && failure.step > Step::Connect;
        let reached = reach::reach(&self.dialer.resolver, &host, port, speaks_first, wait).await;
        let trust = if failure.reason == Reason::TlsCertificate && port == server.port {
            self.trust(&host, server, wait, lifecycle).await
        } else {
            None
        };
        let reach::Reach { answer, is_private, greeting } = reached;
        (Found { host, port, answer, greeting, trust }, is_private)
    }

    /// How the lookup of a name ends just now.
    pub async fn look_up(&self, host: &str, wait: Duration) -> Lookup {
        reach::look_up(&self.dialer.resolver, host, wait).await
    }

    /// What answers at a host's port by each family of addresses.
    pub async fn families(&self, host: &str, port: u16, wait: Duration) -> Host {
        reach::families(&self.dialer.resolver, host.to_owned(), port, wait).await
    }

    /// What the host's certificate is worth here; nothing where it shows none.
    async fn trust(&self, host: &str, server: &Server, wait: Duration, lifecycle: &Watch) -> Option<Trust> {
        let there = Server { host: host.into(), ..server.clone() };
        let link = Link { host: host.into(), ..self.provider.link(server) };
        let limits = Limits { deadline: Instant::now() + wait, most: wait, connect: wait, lifecycle };
        let untimely = [&table::CERTIFICATE_EXPIRED, &table::CERTIFICATE_NOT_YET_VALID];
        let arrived = self.dialer.arrive(&there, &link, limits, &mut Phases::default()).await;
        match arrived {
            Ok(_) => Some(Trust::Good),
            Err(failure) if failure.reason != Reason::TlsCertificate => None,
            Err(failure) if failure.cause == &table::CERTIFICATE_NAME => Some(Trust::OtherName),
            Err(failure) if untimely.contains(&failure.cause) => Some(Trust::Untimely),
            Err(_) => Some(Trust::Distrusted),
        }
    }
}
