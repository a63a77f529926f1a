//! Statements that take long, and servers that go silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use waybill_protocol::{Context, Deadlines, Events, Kind, Secret};

use super::Db;
use crate::postgres::server::{PASSWORD, USER};
use crate::postgres::session::Server;
use crate::postgres::settings::PostgresSettings;

use super::super::tx::Tx;

/// Hands everything on to the server, one connection only: then nobody is let in any more. What is
/// under way is held back once `silent` is set.
async fn proxy(to: u16, silent: Arc<tokio::sync::Semaphore>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut near, _) = accepted.unwrap();
                    let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    let silent = Arc::clone(&silent);
                    open.push(tokio::spawn(async move {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                            _ = silent.acquire() => std::future::pending().await,
                        }
                    }));
                }
                _ = silent.acquire() => break,
            }
        }
        drop(listener);
        std::future::pending::<()>().await;
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_at_work_takes_its_time_and_a_silent_server_is_given_up() {
    let db = Db::new("watch");
    let silent = Arc::new(tokio::sync::Semaphore::new(0));
    let port = proxy(db.server.port, Arc::clone(&silent)).await;
    let ctx = Context {
        run_id: "r".into(),
        connection_id: "c".into(),
        connection: "crm".into(),
        role: "destination",
        events: Events::new(Arc::clone(&db.events) as Arc<dyn waybill_protocol::event::Emit>),
        cancel: Default::default(),
        deadlines: Deadlines { stall: Duration::from_millis(300), ..Deadlines::default() },
        base_dir: std::env::temp_dir(),
        parallelism: 1,
        tunnel: None,
    };
    let settings = PostgresSettings {
        host: Some("127.0.0.1".into()),
        port: Some(port),
        database: Some(db.name.clone()),
        user: Some(USER.into()),
        password: Some(Secret::new(PASSWORD)),
        connect_timeout_ms: Some(2000),
        ..PostgresSettings::default()
    };
    let server = Server::open(ctx, &settings).await.unwrap();
    let mut tx = Tx::begin(&server).await.unwrap();
    // Four times as long as the server may be silent elsewhere.
    tx.run("SELECT pg_sleep(1.2)").await.unwrap();
    let at_work = |event: &waybill_protocol::Event| event.message.contains("at work");
    assert!(db.events.0.lock().unwrap().iter().any(at_work));
    let statement = tx.run("SELECT pg_sleep(600)");
    let cut = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        silent.add_permits(100);
    };
    let (answer, ()) = tokio::join!(statement, cut);
    let error = answer.unwrap_err();
    assert!(matches!(error.kind(), Kind::Network | Kind::Timeout) && error.retryable(), "{error:?}");
    assert!(error.message().contains("no answer from"), "{error}");
}
