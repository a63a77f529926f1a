//! The process of a tunnel, in a process group of its own that never outlives this program.
//!
//! Beside the program runs a shell that waits for the end of its input, which only this program
//! holds open: when that ends, by `close`, by a drop, or because this program was killed, the shell
//! ends the whole process group. So nothing is left behind after a SIGKILL either, on any Unix. What
//! leaves its process group on purpose (a daemon) gets away.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::watch;
use waybill_protocol::event::{Outcome, Span};
use waybill_protocol::{Body, Error, Events, Level, Result};

/// Runs a command; ends its process group once the standard input has ended: politely first.
const WATCHER: &str = r#"
exec 3<&0
{
    trap '' TERM HUP INT
    while read -r _; do :; done <&3
    kill -TERM 0
    n=0
    while [ $n -lt 40 ] && kill -0 $$ 2>/dev/null; do sleep 0.05; n=$((n + 1)); done
    kill -KILL 0
} >/dev/null </dev/null &
exec "$@" </dev/null 3<&-
"#;

/// How long the end of a process is waited for; it is killed before that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines that an error quotes, at most.
const WORDS: usize = 5;
/// Bytes of a line that are kept.
const LINE: usize = 2048;
/// Lines that become events, at most.
const LINES: usize = 200;

/// What a tunnel is, for its events.
pub(super) struct About {
    pub(super) role: &'static str,
    pub(super) kind: &'static str,
    pub(super) local_port: u16,
    pub(super) target: String,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// A running process; dropped, its group is ended.
pub(super) struct Process {
    shared: Arc<Shared>,
    exited: watch::Receiver<Option<Exit>>,
}

struct Shared {
    role: &'static str,
    pid: u32,
    events: Events,
    lifeline: Mutex<Option<ChildStdin>>,
    span: Mutex<Option<Span>>,
    closing: AtomicBool,
    words: Mutex<VecDeque<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a command in a folder.
    pub(super) fn start(command: &[String], folder: &Path, about: About, events: &Events) -> Result<Process> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", WATCHER, "waybill-tunnel"]).args(command).process_group(0).current_dir(folder);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell
            .spawn()
            .map_err(|e| Error::internal("the program of the tunnel cannot be started").cause(e))?;
        let body = Body::TunnelStarted {
            role: about.role.to_owned(),
            kind: about.kind.to_owned(),
            command: command.to_vec(),
            pid: child.id(),
            local_port: about.local_port,
            target: about.target.clone(),
        };
        let message = format!("started the tunnel to {} (port {} here)", about.target, about.local_port);
        let span = events.span(Level::Info, body, message);
        let shared = Arc::new(Shared {
            role: about.role,
            pid: child.id(),
            events: events.inside(&span),
            lifeline: Mutex::new(child.stdin.take()),
            span: Mutex::new(Some(span)),
            closing: AtomicBool::new(false),
            words: Mutex::default(),
        });
        let (say, exited) = watch::channel(None);
        let ended = Arc::clone(&shared);
        std::thread::spawn(move || ended.follow(child, &say));
        Ok(Process { shared, exited })
    }

    /// How it ended, once it has.
    pub(super) fn exited(&self) -> Option<Exit> {
        *self.exited.borrow()
    }

    /// Waits for its end.
    pub(super) async fn gone(&self) {
        let mut exited = self.exited.clone();
        let _ = exited.wait_for(Option::is_some).await;
    }

    /// The last lines that it wrote to its standard error.
    pub(super) fn words(&self) -> Vec<String> {
        lock(&self.shared.words).iter().cloned().collect()
    }

    /// Ends it with its process group, and waits for that.
    pub(super) async fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.let_go();
        let _ = tokio::time::timeout(PATIENCE, self.gone()).await;
        self.shared.end(None);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.let_go();
        self.shared.end(None);
    }
}

impl Shared {
    /// Has the process group ended.
    fn let_go(&self) {
        drop(lock(&self.lifeline).take());
    }

    /// Waits for the end of the process and of all that it started, and says so.
    fn follow(self: Arc<Shared>, mut child: Child, say: &watch::Sender<Option<Exit>>) {
        let (sender, both) = mpsc::channel();
        let streams: [(Option<Box<dyn Read + Send>>, _); 2] = [
            (child.stdout.take().map(|pipe| Box::new(pipe) as _), "stdout"),
            (child.stderr.take().map(|pipe| Box::new(pipe) as _), "stderr"),
        ];
        for (pipe, stream) in streams {
            let (shared, sender) = (Arc::clone(&self), sender.clone());
            std::thread::spawn(move || {
                pipe.into_iter().for_each(|pipe| shared.listen(pipe, stream));
                let _ = sender.send(());
            });
        }
        let status = child.wait();
        let by_itself = lock(&self.lifeline).is_some();
        self.let_go();
        // The pipes end when the last of its process group has.
        for _ in 0..2 {
            let _ = both.recv_timeout(PATIENCE / 2);
        }
        let exit = status.map_or(Exit { code: None, signal: None }, |status| Exit {
            code: status.code(),
            signal: status.signal(),
        });
        if by_itself {
            self.closing.store(false, Ordering::SeqCst);
        }
        self.end(Some(exit));
        let _ = say.send(Some(exit));
    }

    /// Turns lines into events, up to a limit.
    fn listen(&self, pipe: impl Read, stream: &str) {
        let mut reader = BufReader::new(pipe);
        for number in 0.. {
            let mut line = Vec::new();
            match (&mut reader).take(LINE as u64).read_until(b'\n', &mut line) {
                Ok(1..) => {}
                _ => return,
            }
            let whole = String::from_utf8_lossy(&line);
            let text: String = whole.trim_end().chars().filter(|c| !c.is_control()).collect();
            if text.is_empty() {
                continue;
            }
            let told = stream == "stderr";
            if told && !text.starts_with("Warning: Permanently added") {
                let mut words = lock(&self.words);
                words.push_back(text.clone());
                if words.len() > WORDS {
                    words.pop_front();
                }
            }
            let body =
                || Body::ProcessOutput { process: "tunnel".into(), pid: self.pid, stream: stream.to_owned() };
            let level = if told { Level::Info } else { Level::Debug };
            match number {
                ..LINES => self.events.emit(level, body(), text, None),
                LINES => self.events.emit(level, body(), "… more of this is not shown", None),
                _ => {}
            }
        }
    }

    /// Says that it ended; only the first to say so does.
    fn end(&self, exit: Option<Exit>) {
        let Some(span) = lock(&self.span).take() else { return };
        let (role, ms) = (self.role.to_owned(), span.ms());
        let closing = self.closing.load(Ordering::SeqCst);
        let (level, outcome, message) = match exit {
            Some(_) if closing => (Level::Info, Outcome::Succeeded, "closed the tunnel".to_owned()),
            Some(exit) => (Level::Warn, Outcome::Failed, format!("the tunnel ended by itself: {exit}")),
            None => (Level::Warn, Outcome::Interrupted, "gave up the tunnel".to_owned()),
        };
        let (code, signal) = (exit.and_then(|e| e.code), exit.and_then(|e| e.signal));
        span.finish(level, Body::TunnelExited { role, outcome, code, signal, ms }, message, None);
    }
}
