//! The way to a server: its own address, or the local end of a tunnel.
//!
//! The driver verifies the name of the host that it dials. Through a tunnel that would be the local
//! end's, so it dials a Unix socket instead, for which it takes the name from the settings, and what
//! comes there is carried on to the local end.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinHandle;
use waybill_protocol::{Error, Kind, LocalEnd, Result, Tunnel};

use super::address::Address;

/// How the server of one role is dialled.
pub(super) struct Way {
    tunnel: Option<Arc<dyn Tunnel>>,
    host: String,
    port: u16,
    named: bool,
    relay: tokio::sync::Mutex<Option<Relay>>,
}

/// Carries what comes to a socket on to the local end of a tunnel.
struct Relay {
    to: LocalEnd,
    accepting: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Way {
    pub(super) fn new(tunnel: Option<Arc<dyn Tunnel>>, address: &Address) -> Way {
        Way {
            tunnel,
            host: address.host.clone(),
            port: address.port,
            named: address.may_encrypt(),
            relay: tokio::sync::Mutex::default(),
        }
    }

    /// Whether a tunnel leads there.
    pub(super) fn tunnelled(&self) -> bool {
        self.tunnel.is_some()
    }

    /// What to dial now; starts the tunnel where it does not run.
    pub(super) async fn options(&self, options: &PgConnectOptions) -> Result<PgConnectOptions> {
        let Some(tunnel) = &self.tunnel else { return Ok(options.clone()) };
        let end = tunnel.reach(&self.host, self.port).await?;
        if !self.named {
            let (ip, port) = (end.address.ip().to_string(), end.address.port());
            return Ok(options.clone().host(&ip).port(port));
        }
        let folder = end.folder.clone();
        let mut relay = self.relay.lock().await;
        if relay.as_ref().is_none_or(|relay| relay.to != end || relay.accepting.is_finished()) {
            *relay = Some(Relay::start(end, self.port)?);
        }
        Ok(options.clone().socket(folder))
    }

    /// An error of connecting, with what the tunnel said about it.
    pub(super) async fn explained(&self, error: Error) -> Error {
        let Some(tunnel) = &self.tunnel else { return error };
        let error = error.context("through the tunnel");
        if error.kind() != Kind::Network || !error.retryable() || error.get_code().is_some() {
            return error;
        }
        // What it has to say may just be on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        match tunnel.last_words() {
            // Behind a tunnel that could not go on, the server itself has said nothing.
            Some(words) => error.hint_instead(format!("look at what the tunnel said: {words}")),
            None => error,
        }
    }

    /// Ends the tunnel.
    pub(super) async fn close(&self) {
        if let Some(tunnel) = &self.tunnel {
            drop(self.relay.lock().await.take());
            tunnel.close().await;
        }
    }
}

impl Relay {
    fn start(end: LocalEnd, port: u16) -> Result<Relay> {
        let socket = end.folder.join(format!(".s.PGSQL.{port}"));
        // One that an earlier relay left.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(|e| {
            Error::internal(format!("the socket of the tunnel, {}, cannot be made", socket.display()))
                .cause(e)
        })?;
        let to = end.address;
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    let _ = far.set_nodelay(true);
                    let _ = tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, 64 << 10, 64 << 10)
                        .await;
                });
            }
        });
        Ok(Relay { to: end, accepting })
    }
}
