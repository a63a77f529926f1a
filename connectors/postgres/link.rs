//! A server as one role of one run reaches it: connecting, its pool, cancelling at the server.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::task::JoinHandle;
use waybill_protocol::event::Body;
use waybill_protocol::{Context, Error, Kind, Level, Origin, Result};

use super::address::Address;
use super::error::{Circumstances, classify};
use super::explain::{self, Found};
use super::pool::{Place, Pool};
use super::relay::Way;
use super::session::Session;
use super::settings::PostgresSettings;
use super::watch::Backend;

/// What the server said about itself when the first connection was made.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// `150018`.
    pub(super) version: u32,
    /// `15.18 (Debian …)`.
    pub(super) version_text: String,
    /// The database's oid.
    pub(super) database_oid: String,
    /// Whether it is a standby.
    pub(super) standby: bool,
    /// Whether pg_control_system() may be called.
    pub(super) control: bool,
    /// The database's encoding.
    pub(super) encoding: String,
}

/// A server as one role of one run reaches it; shared by its sessions.
pub(super) struct Server {
    /// The run's context.
    pub(super) ctx: Context,
    /// `host:port/database`, without secrets.
    pub(super) target: String,
    /// Whether a transaction pooler stands in between.
    pub(super) pooler: bool,
    facts: OnceLock<Facts>,
    address: Address,
    host_port: String,
    options: PgConnectOptions,
    connect_timeout: Duration,
    pool: Pool,
    way: Way,
    /// Whether `connection.opened` was said and `connection.closed` was not.
    announced: AtomicBool,
    cleanups: Mutex<Vec<JoinHandle<()>>>,
    patience_spent: Mutex<BTreeSet<String>>,
}

/// An open connection.
pub(super) struct Live {
    pub(super) conn: PgConnection,
    /// Who serves it. Behind a pooler that is known in a transaction only.
    pub(super) backend: Backend,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Makes the first connection and says so by an event; the connection waits in [`Server::session`].
    pub(super) async fn open(ctx: Context, settings: &PostgresSettings) -> Result<Arc<Server>> {
        let address = Address::resolve(settings)?;
        address.look_at_files(&ctx.base_dir)?;
        let server = Arc::new(Server {
            target: address.target(),
            pooler: settings.pooler,
            facts: OnceLock::new(),
            host_port: address.host_port(),
            options: address.options(&ctx.base_dir, settings.pooler),
            connect_timeout: address.connect_timeout,
            pool: Pool::new(settings.pool.unwrap_or_default().limits(ctx.parallelism)),
            way: Way::new(ctx.tunnel.clone(), &address),
            announced: AtomicBool::new(false),
            address,
            cleanups: Mutex::default(),
            patience_spent: Mutex::default(),
            ctx,
        });
        let started = Instant::now();
        let opened = async {
            let mut session = server.session().await?;
            let facts = session.facts().await?;
            let mut others = Vec::new();
            for _ in 1..server.pool.min {
                others.push(server.session().await?);
            }
            session.release();
            others.into_iter().for_each(Session::release);
            Ok::<Facts, Error>(facts)
        };
        let role = server.ctx.role.to_owned();
        let target = server.target.clone();
        match opened.await {
            Ok(facts) => {
                let version = format!("PostgreSQL {}", facts.version_text);
                let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                let message = format!("connected to {target} ({version})");
                let _ = server.facts.set(facts);
                server.announced.store(true, Ordering::SeqCst);
                server.ctx.events.emit(
                    Level::Info,
                    Body::ConnectionOpened { role, system: "postgres".into(), server: version, target, ms },
                    message,
                    None,
                );
                Ok(server)
            }
            Err(error) => {
                let error = error.context(format!("cannot connect to {target}"));
                server.failed(Level::Error, &error);
                server.way.close().await;
                Err(error)
            }
        }
    }

    /// Says that no connection could be made.
    fn failed(&self, level: Level, error: &Error) {
        let body = Body::ConnectionFailed { role: self.ctx.role.to_owned(), target: self.target.clone() };
        self.ctx.events.emit(level, body, error.to_string(), Some(error.record()));
    }

    /// How it is reached, and as whom.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The connections that this role has open.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What the server said about itself.
    pub(super) fn facts(&self) -> Facts {
        self.facts.get().cloned().unwrap_or_default()
    }

    /// The user that it is logged in to as.
    pub(super) fn user(&self) -> &str {
        &self.address.user
    }

    /// `host:port`, or the path of the socket.
    pub(super) fn host_port(&self) -> &str {
        &self.host_port
    }

    /// A connection that nobody uses: an idle one, else a new one. Waits while all are in use.
    pub(super) async fn session(self: &Arc<Server>) -> Result<Session> {
        let place = self.pool.place(&self.ctx).await?;
        match self.pool.take() {
            Some(live) => Ok(Session::new(Arc::clone(self), live, place)),
            None => self.on(place).await,
        }
    }

    /// A new connection, also where idle ones wait: one of those makes room for it.
    pub(super) async fn connect(self: &Arc<Server>) -> Result<Session> {
        let place = self.pool.place(&self.ctx).await?;
        if let Some(idle) = self.pool.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), idle.conn.close()).await;
        }
        self.on(place).await
    }

    /// A connection in the place of one that was given up.
    pub(super) async fn another(&self) -> Result<Live> {
        match self.pool.take() {
            Some(live) => Ok(live),
            None => self.dial().await,
        }
    }

    async fn on(self: &Arc<Server>, place: Place) -> Result<Session> {
        match self.dial().await {
            Ok(live) => Ok(Session::new(Arc::clone(self), live, place)),
            Err(error) => {
                // The failure of the first is said where it is known what it means.
                if self.facts.get().is_some() && error.kind() != Kind::Cancelled {
                    self.failed(Level::Warn, &error);
                }
                Err(error)
            }
        }
    }

    async fn dial(&self) -> Result<Live> {
        let started = Instant::now();
        let limit = self.connect_timeout;
        let setup = async {
            let options = self.way.options(&self.options).await?;
            let work = async {
                let mut conn = match options.connect().await {
                    Ok(conn) => conn,
                    Err(error) => return Ok(Err(error)),
                };
                // One message, so one round trip; the session's limit is set where there is a session.
                let limit =
                    if self.pooler { String::new() } else { self.limit_sql("", self.ctx.deadlines.query) };
                let hello = format!("{limit}SELECT {}", Backend::COLUMNS);
                let row = match sqlx::raw_sql(AssertSqlSafe(hello)).fetch_one(&mut conn).await {
                    Ok(row) => row,
                    Err(error) => return Ok(Err(error)),
                };
                let backend = if self.pooler { Backend::default() } else { Backend::of(&row)? };
                Ok::<_, Error>(Ok(Live { conn, backend }))
            };
            let done = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
                let seconds = limit.as_secs_f64();
                Err(Error::new(Kind::Timeout, format!("{} did not answer within {seconds}s", self.host_port))
                    .hint(format!("look whether {} can be reached from here (firewall, VPN), or raise connect_timeout_ms", self.host_port)))
            });
            match done? {
                Ok(live) => Ok(live),
                Err(error) => {
                    let found = explain::look(&error, &self.address, &options, self.way.tunnelled()).await;
                    let error = classify(error, &self.circumstances(started, None, found));
                    Err(self.way.explained(error).await)
                }
            }
        };
        let live = tokio::select! {
            biased;
            () = self.ctx.cancel.cancelled() => Err(Error::cancelled()),
            live = setup => live,
        };
        live.map_err(|e| e.origin(self.origin()))
    }

    /// `SET statement_timeout`; `scope` is `LOCAL ` or empty.
    pub(super) fn limit_sql(&self, scope: &str, limit: Duration) -> String {
        let ms = limit.as_millis().clamp(1, i32::MAX as u128);
        format!("SET {scope}statement_timeout = {ms}; ")
    }

    /// The driver's error as one of the contract.
    pub(super) fn error(&self, error: sqlx::Error, started: Instant, limit: Option<Duration>) -> Error {
        classify(error, &self.circumstances(started, limit, None))
    }

    fn circumstances(
        &self,
        started: Instant,
        limit: Option<Duration>,
        found: Option<Found>,
    ) -> Circumstances<'_> {
        Circumstances {
            server: &self.host_port,
            address: &self.address,
            ctx: &self.ctx,
            origin: self.origin(),
            limit,
            elapsed: started.elapsed(),
            found,
        }
    }

    /// Which side this is.
    pub(super) fn origin(&self) -> Origin {
        if self.ctx.role == "destination" { Origin::Destination } else { Origin::Source }
    }

    /// Whether somebody has waited long for this transaction already, and in vain.
    pub(super) fn outlasted(&self, transaction: &str) -> bool {
        lock(&self.patience_spent).contains(transaction)
    }

    /// Notes that a long wait for this transaction was in vain: once in a run is enough.
    pub(super) fn outlast(&self, transaction: &str) {
        lock(&self.patience_spent).insert(transaction.to_owned());
    }

    /// Waits until queries that were given up are cancelled at the server.
    pub(super) async fn settle(&self) {
        // They stay on the list until they are over: whoever waits may be given up, and the next one
        // has to find them. Each is bounded by itself.
        while lock(&self.cleanups).iter().any(|task| !task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How long making a connection may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A connection beside the pool, to ask about another one or to end it.
    pub(super) async fn aside(&self) -> std::result::Result<PgConnection, sqlx::Error> {
        let options = self.way.options(&self.options).await;
        options.map_err(|e| sqlx::Error::Io(std::io::Error::other(e.to_string())))?.connect().await
    }

    /// Closes the idle connections, then the tunnel, and says so.
    pub(super) async fn close(&self) {
        self.settle().await;
        for live in self.pool.drain() {
            let _ = tokio::time::timeout(Duration::from_secs(1), live.conn.close()).await;
        }
        self.say_closed(format!("closed the connection to {}", self.target));
        self.way.close().await;
    }

    /// Says that its session was given up without an end. The server itself may live on, in what
    /// is being cancelled there.
    pub(super) fn given_up(&self) {
        self.say_closed(format!("gave up the connection to {}", self.target));
    }

    fn say_closed(&self, message: String) {
        if self.announced.swap(false, Ordering::SeqCst) {
            let role = self.ctx.role.to_owned();
            self.ctx.events.info(Body::ConnectionClosed { role }, message);
        }
    }

    /// Has the server end what a lost connection was doing, its transaction with it: one that only
    /// waits for its next statement would hold its locks until its client is missed.
    pub(super) fn cancel(self: &Arc<Server>, backend: &Backend) {
        // Behind a pooler the backend may serve somebody else by now: there the statement's own
        // limit and the closed connection have to do.
        let Some(condition) = backend.own_condition().filter(|_| !self.pooler) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let server = Arc::clone(self);
        let limit = self.connect_timeout.min(Duration::from_secs(5));
        let task = runtime.spawn(async move {
            let work = async {
                let Ok(mut conn) = server.aside().await else { return };
                let sql =
                    format!("SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE {condition}");
                let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
                let _ = conn.close().await;
            };
            let _ = tokio::time::timeout(limit, work).await;
        });
        let mut cleanups = lock(&self.cleanups);
        cleanups.retain(|task| !task.is_finished());
        cleanups.push(task);
    }
}
