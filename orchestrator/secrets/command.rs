//! A secret that a program prints: run without a shell, under a deadline, its process group killed
//! when that has passed. One process asks each program once.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use waybill_protocol::{Error, Kind, Result};

use super::hidden::{MASK, masked};
use crate::store::project::{Origin, Project};

/// The most that a program may print.
const MOST_BYTES: usize = 1 << 20;
/// How much of its words on standard error an error repeats.
const MOST_WORDS: usize = 1024;
const LOOK: Duration = Duration::from_millis(10);

type Slot = Arc<Mutex<Option<String>>>;
type Asked = Mutex<HashMap<(PathBuf, Vec<String>), Slot>>;

fn asked() -> &'static Asked {
    static ASKED: OnceLock<Asked> = OnceLock::new();
    ASKED.get_or_init(Mutex::default)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets what programs have answered: for a process that outlives a change of its secrets.
pub fn forget() {
    lock(asked()).clear();
}

/// What the program prints, without one line end behind it. Only a success is remembered.
pub(super) fn ask(project: &Project, words: &[String], place: &str, deadline: Duration) -> Result<String> {
    let folder = project.secrets_dir();
    let slot = Arc::clone(lock(asked()).entry((folder.clone(), words.to_vec())).or_default());
    // Who comes second waits for the first one's answer, and nobody else does.
    let mut answer = lock(&slot);
    if let Some(known) = answer.as_ref() {
        return Ok(known.clone());
    }
    let fresh = run(project, &folder, words, place, deadline)?;
    *answer = Some(fresh.clone());
    Ok(fresh)
}

fn run(
    project: &Project,
    folder: &Path,
    words: &[String],
    place: &str,
    deadline: Duration,
) -> Result<String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::config(format!("{place}: command is empty")));
    };
    let mut command = Command::new(found(folder, program));
    command.args(arguments).current_dir(folder).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in project.env.names() {
        if let Some((value, Origin::Dotenv(_))) = project.env.get(name) {
            command.env(name, value);
        }
    }
    let until = Instant::now() + deadline;
    let mut child = command.spawn().map_err(|e| not_started(place, program, e))?;
    let out = child.stdout.take().map(|pipe| drain(pipe, true));
    let err = child.stderr.take().map(|pipe| drain(pipe, false));
    let ended = wait(&mut child, out.as_ref(), until);
    // What it left running in the background may go on, unless it was too slow or said too much.
    let (status, out) = match ended {
        Ok(found) => found,
        Err(fault) => {
            end(&mut child);
            let words = err.and_then(|err| err.recv_timeout(LOOK * 10).ok()).unwrap_or_default();
            return Err(faulty(project, place, program, deadline, fault, &words));
        }
    };
    if !status.success() {
        let words = err.and_then(|err| err.recv_timeout(LOOK * 50).ok()).unwrap_or_default();
        return Err(failed(project, place, program, status, &out, &words));
    }
    let mut text = String::from_utf8(out).map_err(|_| {
        Error::config(format!("{place}: what {program} prints is not UTF-8")).hint(by_hand(program))
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(Error::config(format!("{place}: {program} printed nothing")).hint(by_hand(program)));
    }
    Ok(text)
}

/// A path starts at the folder of secrets.toml; a bare name is looked for in PATH.
fn found(folder: &Path, program: &str) -> PathBuf {
    if program.contains('/') { folder.join(program) } else { PathBuf::from(program) }
}

/// Why there is no answer.
enum Fault {
    Slow,
    TooMuch,
    Broken(io::Error),
}

type Output = mpsc::Receiver<Vec<u8>>;

/// Reads on a thread of its own: a program that fills one pipe must not block on the other.
fn drain(mut pipe: impl Read + Send + 'static, whole: bool) -> Output {
    let (sender, receiver) = mpsc::sync_channel(1);
    let most = if whole { MOST_BYTES + 1 } else { 64 << 10 };
    let read = move || {
        let mut bytes = Vec::new();
        let mut limited = pipe.by_ref().take(most as u64);
        // What was read until it broke is what there is.
        let _ = limited.read_to_end(&mut bytes);
        let full = bytes.len() >= most;
        let _ = sender.send(bytes);
        if full && !whole {
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
    };
    // Without a thread nothing is ever sent, and the deadline says so.
    drop(std::thread::Builder::new().name("secret-command".into()).spawn(read));
    receiver
}

fn wait(
    child: &mut Child,
    out: Option<&Output>,
    until: Instant,
) -> std::result::Result<(ExitStatus, Vec<u8>), Fault> {
    let mut printed = None;
    let mut status = None;
    loop {
        if printed.is_none() {
            match out.map(|out| out.recv_timeout(LOOK)) {
                Some(Ok(bytes)) if bytes.len() > MOST_BYTES => return Err(Fault::TooMuch),
                Some(Ok(bytes)) => printed = Some(bytes),
                Some(Err(mpsc::RecvTimeoutError::Timeout)) => {}
                Some(Err(mpsc::RecvTimeoutError::Disconnected)) | None => printed = Some(Vec::new()),
            }
        } else {
            std::thread::sleep(LOOK / 5);
        }
        if status.is_none() {
            status = child.try_wait().map_err(Fault::Broken)?;
        }
        match (status, printed.take()) {
            (Some(status), Some(bytes)) => return Ok((status, bytes)),
            // What a failed program started may hold its output open: nobody needs that.
            (Some(status), None) if !status.success() => return Ok((status, Vec::new())),
            (_, kept) => printed = kept,
        }
        if Instant::now() >= until {
            return Err(Fault::Slow);
        }
    }
}

/// Kills the program and what it started.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // A group that is gone already needs nothing.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn by_hand(program: &str) -> String {
    format!("run the command by hand in the folder of secrets.toml and look what {program} says")
}

fn not_started(place: &str, program: &str, error: io::Error) -> Error {
    let (message, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            format!("{place}: there is no program {program}"),
            format!("install {program}, or name it by its whole path; no shell is involved"),
        ),
        io::ErrorKind::PermissionDenied => {
            (format!("{place}: {program} may not be run"), format!("make it a program: chmod +x {program}"))
        }
        _ => (format!("{place}: {program} cannot be started: {error}"), by_hand(program)),
    };
    Error::config(message).hint(hint).cause(error)
}

fn faulty(
    project: &Project,
    place: &str,
    program: &str,
    deadline: Duration,
    fault: Fault,
    words: &[u8],
) -> Error {
    let error = match fault {
        Fault::Slow => {
            let seconds = deadline.as_secs_f64();
            let message = format!("{place}: {program} took more than {seconds} s, and was ended");
            Error::new(Kind::Timeout, message).hint(
                "it may be waiting for somebody to sign in: do that first; or give it longer: { command = […], timeout_ms = 60000 }",
            )
        }
        Fault::TooMuch => {
            Error::config(format!("{place}: {program} printed more than 1 MiB, too much for a secret"))
                .hint(by_hand(program))
        }
        Fault::Broken(error) => Error::config(format!("{place}: {program} cannot be waited for"))
            .hint(by_hand(program))
            .cause(error),
    };
    with_words(project, error, &[], words)
}

fn failed(
    project: &Project,
    place: &str,
    program: &str,
    status: ExitStatus,
    out: &[u8],
    words: &[u8],
) -> Error {
    use std::os::unix::process::ExitStatusExt;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    };
    let error = Error::config(format!("{place}: {program} {how}")).hint(by_hand(program));
    with_words(project, error, out, words)
}

/// Its own words as the cause: without what it printed, passwords in addresses, and tokens of the
/// environment.
fn with_words(project: &Project, error: Error, out: &[u8], words: &[u8]) -> Error {
    let text = String::from_utf8_lossy(words);
    let out = String::from_utf8_lossy(out);
    // An address is found where it stands alone.
    let line = |line: &str| line.split(' ').map(masked).collect::<Vec<_>>().join(" ");
    let mut said: String = text.lines().map(line).collect::<Vec<_>>().join("\n");
    let sensitive = |name: &&str| {
        let name = name.to_ascii_uppercase();
        ["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL"].iter().any(|word| name.contains(word))
    };
    let tokens = project.env.names().filter(sensitive).filter_map(|name| project.env.get(name));
    let secrets = out.lines().chain(tokens.map(|(value, _)| value));
    for secret in secrets.map(str::trim).filter(|secret| secret.len() >= 4) {
        said = said.replace(secret, MASK);
    }
    let said = said.trim();
    if said.is_empty() {
        return error;
    }
    // The end says most.
    let from = said.len().saturating_sub(MOST_WORDS);
    let from = (from..=said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(0);
    error.cause(said.get(from..).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;
    use std::os::unix::fs::PermissionsExt;

    fn home(script: &str) -> Home {
        let home = Home::with_env("{}", &[("OP_TOKEN", "tok-en-123")]);
        let path = home.folder.path().join("get");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        home
    }

    fn get(home: &Home, words: &[&str], ms: u64) -> Result<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        ask(&home.project, &words, "sources.a.b", Duration::from_millis(ms))
    }

    #[test]
    fn a_program_is_asked_once_and_without_a_shell() {
        let home = home("echo x >> asked; printf '%s\\n' \"$1\"");
        for _ in 0..3 {
            assert_eq!(get(&home, &["./get", "$(whoami) *"], 9_000).unwrap(), "$(whoami) *");
        }
        assert_eq!(std::fs::read_to_string(home.folder.path().join("asked")).unwrap(), "x\n");
        assert_eq!(get(&home, &["printf", "a\\n\\n"], 9_000).unwrap(), "a\n");
        forget();
        assert_eq!(get(&home, &["./get", "$(whoami) *"], 9_000).unwrap(), "$(whoami) *");
        assert_eq!(std::fs::read_to_string(home.folder.path().join("asked")).unwrap(), "x\nx\n");
    }

    #[test]
    fn a_failure_has_its_code_and_its_words_and_no_secret() {
        let home = home("echo sesame; echo 'no sesame for tok-en-123 at https://u:pw99@h/' >&2; exit 7");
        let error = get(&home, &["./get"], 9_000).unwrap_err();
        assert_eq!(error.message(), "sources.a.b: ./get ended with exit code 7");
        assert_eq!(error.exit_code(), 3);
        assert_eq!(error.causes(), ["no *** for *** at https://u:***@h/"]);
        let none = get(&home, &["waybill-no-such-program"], 9_000).unwrap_err();
        assert!(none.message().contains("there is no program") && none.exit_code() == 3, "{none}");
        assert!(get(&home, &["true"], 9_000).unwrap_err().message().contains("printed nothing"));
    }

    #[test]
    fn a_slow_program_is_ended_with_all_that_it_started() {
        let home = home("sleep 600 & echo $! > child; wait");
        let error = get(&home, &["./get"], 300).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Timeout, 75));
        let child = std::fs::read_to_string(home.folder.path().join("child")).unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let until = Instant::now() + Duration::from_secs(20);
        while !gone() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        assert!(gone(), "process {child} lives on");
    }

    #[test]
    fn a_program_that_never_stops_printing_is_ended() {
        let endless = home("yes sesame; true");
        let error = get(&endless, &["./get"], 60_000).unwrap_err();
        assert!(error.message().contains("more than 1 MiB"), "{error}");
        let noisy = home("yes nonsense >&2 & sleep 0.1; kill $!; echo fine");
        assert_eq!(get(&noisy, &["./get"], 60_000).unwrap(), "fine");
    }
}
