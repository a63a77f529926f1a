//! A port that forwards to a server, the first connections excepted.

use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What becomes of one of the first connections.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// It is reset once it has said something.
    Reset,
    /// It is never answered.
    Silent,
}

/// The port; it ends with the tests.
pub struct Forward {
    pub port: u16,
    seen: Arc<AtomicUsize>,
}

impl Forward {
    /// A port that forwards to a port of this host, after these.
    pub fn to(server: u16, first: &[Act]) -> Forward {
        Forward::at(TcpListener::bind("127.0.0.1:0").unwrap(), server, first)
    }

    /// The same at a port that is known before.
    pub fn at(listener: TcpListener, server: u16, first: &[Act]) -> Forward {
        let (port, first) = (listener.local_addr().unwrap().port(), first.to_vec());
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for client in listener.incoming().flatten() {
                match first.get(counted.fetch_add(1, Ordering::SeqCst)) {
                    Some(Act::Reset) => reset(client),
                    Some(Act::Silent) => silent.push(client),
                    None => drop(carry(client, server)),
                }
            }
        });
        Forward { port, seen }
    }

    /// Connections that came.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// Closing with bytes unread is a reset.
fn reset(mut client: TcpStream) {
    let _ = client.read(&mut [0; 1]);
}

/// Carries one connection on, both ways.
pub fn carry(client: TcpStream, server: u16) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
