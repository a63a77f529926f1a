//! Tunnels: the ways to servers that cannot be reached directly, as child processes of a session.
//!
//! A tunnel belongs to one session with a source or destination: it starts when the connector first
//! dials, starts again when it has ended since, and ends with the session, with everything that it
//! started. The connector sees its local end only.

mod command;
mod failure;
mod process;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Events, Kind, LocalEnd, Pending, Result, Tunnel, TunnelSettings};

use process::{About, Process};

/// How long a local port may take to open where the settings do not say.
const START: Duration = Duration::from_secs(30);
/// How often it is looked whether it is open.
const LOOK: Duration = Duration::from_millis(25);

/// The tunnel of one session.
pub struct SessionTunnel {
    settings: TunnelSettings,
    base_dir: PathBuf,
    role: &'static str,
    events: Events,
    cancel: CancellationToken,
    running: tokio::sync::Mutex<Option<Running>>,
    /// Set by the end of the session: what is still under way does not start it again.
    over: AtomicBool,
    /// The process that ran last, for what it said.
    last: Mutex<Option<Arc<Process>>>,
}

struct Running {
    process: Arc<Process>,
    end: LocalEnd,
    /// Removed with it.
    _folder: TempDir,
}

impl SessionTunnel {
    /// The tunnel that these settings name, where they name one; it is not started yet.
    pub fn of(
        settings: &serde_json::Value,
        base_dir: PathBuf,
        role: &'static str,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Option<Arc<dyn Tunnel>>> {
        let Some(settings) = settings.get("tunnel").filter(|settings| !settings.is_null()) else {
            return Ok(None);
        };
        let settings: TunnelSettings =
            serde_json::from_value(settings.clone()).map_err(|e| Error::config(format!("tunnel: {e}")))?;
        settings.validate()?;
        Ok(Some(Arc::new(SessionTunnel {
            settings,
            base_dir,
            role,
            events: events.clone(),
            cancel: cancel.clone(),
            running: tokio::sync::Mutex::default(),
            over: AtomicBool::new(false),
            last: Mutex::default(),
        })))
    }

    /// The local end of the tunnel that runs, or of one that is started now.
    async fn running(&self, host: &str, port: u16) -> Result<LocalEnd> {
        let mut running = self.running.lock().await;
        if let Some(up) = running.as_ref().filter(|up| up.process.exited().is_none()) {
            return Ok(up.end.clone());
        }
        if self.over.load(Ordering::SeqCst) {
            return Err(Error::cancelled());
        }
        // What it left in its process group goes before another one starts.
        if let Some(ended) = running.take() {
            ended.process.close().await;
        }
        let up = self.start(host, port).await.map_err(|e| e.context("the tunnel"))?;
        let end = up.end.clone();
        *running = Some(up);
        Ok(end)
    }

    async fn start(&self, host: &str, port: u16) -> Result<Running> {
        let (local, folder) = (free_port()?, private_folder()?);
        let command = command::command(&self.settings, &self.base_dir, local, host, port)?;
        let about = About {
            role: self.role,
            kind: match self.settings {
                TunnelSettings::Ssh(_) => "ssh",
                TunnelSettings::Command(_) => "command",
            },
            local_port: local,
            target: format!("{host}:{port}"),
        };
        let process = Arc::new(Process::start(&command, &self.base_dir, about, &self.events)?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&process));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, local));
        let opened = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::cancelled()),
            opened = self.opened(&process, address) => opened,
        };
        if let Err(error) = opened {
            process.close().await;
            return Err(error);
        }
        let end = LocalEnd { address, folder: folder.path().to_path_buf() };
        Ok(Running { process, end, _folder: folder })
    }

    /// Waits until somebody listens at the local port, as long as the process lives.
    async fn opened(&self, process: &Process, address: SocketAddr) -> Result<()> {
        let timeout = match &self.settings {
            TunnelSettings::Ssh(ssh) => ssh.start_timeout_ms,
            TunnelSettings::Command(by) => by.start_timeout_ms,
        };
        let limit = timeout.map_or(START, Duration::from_millis);
        let started = Instant::now();
        loop {
            let open = TcpStream::connect(address).await.is_ok();
            // One that ended has not opened the port: somebody else has.
            if let Some(exit) = process.exited() {
                return Err(failure::ended(&self.settings, exit, &process.words()));
            }
            if open {
                return Ok(());
            }
            if started.elapsed() >= limit {
                let seconds = limit.as_secs_f64();
                let message = format!("the tunnel did not open {address} within {seconds}s");
                let words =
                    process.words().pop().map(|said| format!(" (it said: {said})")).unwrap_or_default();
                return Err(Error::new(Kind::Timeout, format!("{message}{words}")).hint(
                    "look whether the program can reach its server and opens {local_port}, or raise start_timeout_ms of the tunnel",
                ));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = process.gone() => {}
            }
        }
    }
}

impl Tunnel for SessionTunnel {
    fn reach<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Result<LocalEnd>> {
        Box::pin(self.running(host, port))
    }

    fn last_words(&self) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().and_then(|process| process.words().pop())
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.over.store(true, Ordering::SeqCst);
            if let Some(running) = self.running.lock().await.take() {
                running.process.close().await;
            }
        })
    }
}

/// A port that nobody listens at now. Somebody may take it before the tunnel does: then the tunnel
/// fails, and the next attempt takes another one.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|e| Error::new(Kind::Network, "no local port is free for the tunnel").cause(e))
}

/// A folder that only this user may enter; its path is short, as sockets need it.
fn private_folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("wb-").tempdir().map_err(|e| {
        Error::new(Kind::Internal, "no temporary folder can be made for the tunnel")
            .hint("look whether TMPDIR is a folder that can be written")
            .cause(e)
    })
}
