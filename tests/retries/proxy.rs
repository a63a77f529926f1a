//! A TCP proxy before a PostgreSQL server that knows one fault, for the moment of a COMMIT or of
//! the first bytes after a statement. Minimal on purpose; std only.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// COMMIT as a simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client is cut off at COMMIT, which never reaches the server.
    CommitLost,
    /// The client is cut off after COMMIT took place, before it hears of it.
    AnswerLost,
    /// The client is cut off at COMMIT, which reaches the server once it is released.
    CommitHeld,
    /// From the statement on nothing more of this connection reaches the server.
    ServerHearsNothing,
    /// After so many bytes of an answer the client gets nothing more of this connection.
    ClientHearsNothing(usize),
    /// Answers arrive in pieces of so many bytes, 20 ms apart.
    Trickles(usize),
}

/// A running proxy.
pub struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    fault: Fault,
    /// The fault strikes a connection over which a statement with this text went.
    after: &'static str,
    /// How often it still strikes.
    left: AtomicU32,
    struck: AtomicU32,
    released: AtomicBool,
    closed: AtomicBool,
}

impl Proxy {
    /// A proxy whose fault strikes so many times, on connections with a statement like `after`.
    pub fn before(server: u16, fault: Fault, after: &'static str, times: u32) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            server,
            fault,
            after,
            left: AtomicU32::new(times),
            struck: AtomicU32::new(0),
            released: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                accepting.serve(client);
            }
        });
        Proxy { port, shared }
    }

    /// How often the fault struck.
    pub fn struck(&self) -> u32 {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// Lets a COMMIT that was held go on to the server.
    pub fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the one that waits for connections.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn strikes(&self) -> bool {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        left.is_ok()
    }

    fn serve(self: &Arc<Shared>, client: TcpStream) {
        let server = TcpStream::connect(("127.0.0.1", self.server)).expect("the server listens");
        for socket in [&client, &server] {
            socket.set_nodelay(true).expect("nodelay");
        }
        let to_server = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        // Set once the statement was seen: the answers after it may suffer.
        let seen = Arc::new(AtomicBool::new(false));
        let (shared, mark) = (Arc::clone(self), Arc::clone(&seen));
        std::thread::spawn(move || shared.requests(to_server.0, to_server.1, &mark));
        let shared = Arc::clone(self);
        std::thread::spawn(move || shared.answers(server, client, &seen));
    }

    fn requests(&self, mut client: TcpStream, mut server: TcpStream, seen: &AtomicBool) {
        let mut buffer = vec![0; 64 << 10];
        let mut silent = false;
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let bytes = &buffer[..count];
            if !silent && !seen.load(Ordering::SeqCst) && holds(bytes, self.after.as_bytes()) {
                seen.store(true, Ordering::SeqCst);
                silent = self.fault == Fault::ServerHearsNothing && self.strikes();
            }
            if silent {
                continue;
            }
            if bytes.ends_with(COMMIT)
                && seen.load(Ordering::SeqCst)
                && self.at_commit(&client, &mut server, bytes)
            {
                return;
            }
            if server.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Whether the connection is over with it.
    fn at_commit(&self, client: &TcpStream, server: &mut TcpStream, bytes: &[u8]) -> bool {
        let at_commit = matches!(self.fault, Fault::CommitLost | Fault::AnswerLost | Fault::CommitHeld);
        if !at_commit || !self.strikes() {
            return false;
        }
        let cut = || drop(client.shutdown(Shutdown::Both));
        match self.fault {
            Fault::CommitLost => cut(),
            Fault::CommitHeld => {
                cut();
                while !self.released.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                let _ = server.write_all(bytes);
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => {
                // The answers' thread ends with the client, so that the answer is read here.
                cut();
                let _ = server.write_all(bytes);
                let _ = server.set_read_timeout(Some(Duration::from_secs(20)));
                let _ = server.read(&mut [0; 1024]);
            }
        }
        let _ = server.shutdown(Shutdown::Both);
        true
    }

    fn answers(&self, mut server: TcpStream, client: TcpStream, seen: &AtomicBool) {
        let client = Mutex::new(client);
        let mut client = client.lock().expect("nobody else has it");
        let mut buffer = vec![0; 64 << 10];
        let (mut left, mut silent) = (usize::MAX, false);
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            if silent {
                continue;
            }
            let mut bytes = &buffer[..count];
            let written = match self.fault {
                Fault::ClientHearsNothing(after) if seen.load(Ordering::SeqCst) => {
                    if left == usize::MAX {
                        left = if self.strikes() { after } else { usize::MAX - 1 };
                    }
                    if left < usize::MAX - 1 {
                        bytes = &bytes[..count.min(left)];
                        left -= bytes.len();
                        silent = left == 0;
                    }
                    client.write_all(bytes)
                }
                Fault::Trickles(piece) if seen.load(Ordering::SeqCst) => {
                    bytes.chunks(piece).try_for_each(|piece| {
                        std::thread::sleep(Duration::from_millis(20));
                        client.write_all(piece)
                    })
                }
                _ => client.write_all(bytes),
            };
            if written.is_err() {
                break;
            }
        }
        if !silent && !matches!(self.fault, Fault::CommitHeld | Fault::AnswerLost) {
            let _ = server.shutdown(Shutdown::Both);
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
