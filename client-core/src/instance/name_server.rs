//! Which name server to ask, and when to ask another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::HOUSEKEEPING_TIMEOUT;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind};
use crate::net::connections::Connections;
use crate::protocol::command::RemotingCommand;

/// The name servers of a cluster. They know the same, so one is asked until it fails.
#[derive(Debug)]
pub(crate) struct NameServers {
    addresses: Vec<Arc<str>>,
    current: AtomicUsize,
}

impl NameServers {
    /// Parses `host:port`, several separated by `;` or `,`. `first` chooses whom to ask first.
    pub(crate) fn parse(text: &str, first: usize) -> Result<Self, Error> {
        let invalid = |reason| Err(Error::invalid("connect", reason));
        let addresses: Vec<Arc<str>> = text
            .split([';', ','])
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(Arc::from)
            .collect();
        if addresses.is_empty() {
            return invalid("no name server is given; one looks like `127.0.0.1:9876`".to_owned());
        }
        for address in &addresses {
            let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(_))) || address.contains("://") {
                return invalid(format!("`{address}` is no `host:port`"));
            }
        }
        let current = AtomicUsize::new(first % addresses.len());
        Ok(Self { addresses, current })
    }

    /// The addresses, for error texts.
    pub(crate) fn shown(&self) -> String {
        self.addresses.join(";")
    }

    /// Whether it is the address of one of them.
    pub(crate) fn contains(&self, address: &str) -> bool {
        self.addresses.iter().any(|known| &**known == address)
    }

    /// Opens a connection to the first that can be reached.
    pub(crate) async fn connect(
        &self,
        connections: &Connections,
        clock: &dyn Clock,
        deadline: Duration,
    ) -> Result<(), Error> {
        self.try_each("connect", connections, clock, None, deadline).await.map(drop)
    }

    /// Asks one after another until one answers, whatever it answers.
    pub(crate) async fn ask(
        &self,
        operation: &'static str,
        connections: &Connections,
        clock: &dyn Clock,
        request: &RemotingCommand,
        deadline: Duration,
    ) -> Result<RemotingCommand, Error> {
        let answer = self.try_each(operation, connections, clock, Some(request), deadline).await?;
        answer.ok_or_else(|| Error::new(ErrorKind::Protocol, operation, "no answer"))
    }

    /// Connects to one after another until one answers the request, if there is one.
    async fn try_each(
        &self,
        operation: &'static str,
        connections: &Connections,
        clock: &dyn Clock,
        request: Option<&RemotingCommand>,
        deadline: Duration,
    ) -> Result<Option<RemotingCommand>, Error> {
        let start = self.current.load(Ordering::Relaxed);
        let mut failure = None;
        let order = self.addresses.iter().enumerate().cycle().skip(start);
        for (index, address) in order.take(self.addresses.len()) {
            let now = clock.monotonic();
            if now >= deadline {
                break;
            }
            // A server that swallows everything leaves time for the next.
            let until = deadline.min(now.saturating_add(HOUSEKEEPING_TIMEOUT));
            let outcome = match request {
                Some(request) => connections.call(address, request.clone(), until).await.map(Some),
                None => connections.connect(address, until).await.map(|()| None),
            };
            match outcome {
                Ok(answer) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(%address, ?error, "name server failed");
                    failure = Some(error.into_error(operation, address));
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::new(ErrorKind::Timeout, operation, "no time was left to ask a name server")
                .at(self.shown())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_and_checked() {
        let servers = NameServers::parse(" a:1 ; [::1]:9876,c:3;", 7).unwrap();
        assert_eq!(servers.shown(), "a:1;[::1]:9876;c:3");
        assert!(servers.contains("a:1") && !servers.contains("b:1"));
        for bad in ["", ";", "a", "a:b", "a:99999", "http://a:80"] {
            assert!(NameServers::parse(bad, 0).is_err(), "{bad}");
        }
    }
}
