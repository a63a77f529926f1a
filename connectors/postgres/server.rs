//! A throw-away PostgreSQL server for tests, from the binaries installed on this machine.
//!
//! It runs as an ordinary user where the tests run as root, in a folder of its own, and ends with
//! the process that started it, however that ends: a shell between the two waits for the end of
//! its standard input, which only this process holds open.
//!
//! The file stands alone (std only), so that other test binaries can include it by `#[path]`.
#![allow(dead_code)] // Each test binary uses its own part.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The superuser's name.
pub const USER: &str = "postgres";
/// The superuser's password over TCP; the socket asks for none.
pub const PASSWORD: &str = "pw-of-the-test-server";

/// A running server. Dropped, it is stopped and its folder removed.
pub struct PgServer {
    /// Port, for TCP on 127.0.0.1 and for the socket.
    pub port: u16,
    /// Folder of the Unix socket.
    pub socket: PathBuf,
    bin: PathBuf,
    guarded: Guarded,
}

/// A server process in a folder of its own. Dropped, or when this process ends, it is stopped and
/// its folder removed.
pub struct Guarded {
    /// The folder; what it writes is in `log`.
    pub dir: PathBuf,
    watcher: Child,
    lifeline: Option<ChildStdin>,
}

/// Starts the server, and does what it is told: a signal to end it by, or `start`. A server whose
/// predecessor was killed may find that one's processes still there, and is tried again.
const WATCHER: &str = r#"
dir=$1; shift
launch() {
    "$@" >>"$dir/log" 2>&1 </dev/null &
    server=$!
}
launch "$@"
while read -r word; do
    case $word in
        start) kill -0 $server 2>/dev/null || launch "$@" ;;
        *) kill -$word $server; wait $server ;;
    esac
done 2>/dev/null
kill -QUIT $server 2>/dev/null
kill -TERM $server 2>/dev/null
wait $server 2>/dev/null
rm -rf "$dir"
"#;

impl PgServer {
    /// The server that all tests of this process share.
    pub fn shared() -> &'static PgServer {
        static SHARED: OnceLock<PgServer> = OnceLock::new();
        SHARED.get_or_init(|| PgServer::start(&[]))
    }

    /// A server of its own, with settings such as `"wal_level=logical"`.
    pub fn start(settings: &[&str]) -> PgServer {
        PgServer::launch(new_folder(ordinary_user().as_ref()), settings)
    }

    /// A server of its own that offers TLS, and its certificate: for `localhost`, signed by itself.
    pub fn with_tls() -> (PgServer, PathBuf) {
        let user = ordinary_user();
        let dir = new_folder(user.as_ref());
        let (key, certificate) = (dir.join("server.key"), dir.join("server.crt"));
        let names =
            ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
        run(as_user(user.as_ref(), Path::new("openssl"))
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(names)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate));
        let files =
            [format!("ssl_key_file={}", key.display()), format!("ssl_cert_file={}", certificate.display())];
        (PgServer::launch(dir, &["ssl=on", &files[0], &files[1]]), certificate)
    }

    /// A server of its own with certificates of an authority of its own, which it also asks its
    /// clients for where pg_hba.conf says so.
    pub fn with_authority() -> (PgServer, Certificates) {
        let user = ordinary_user();
        let dir = new_folder(user.as_ref());
        let authority = Certificates::new(&dir, user.as_ref());
        authority.sign("server", "localhost", "DNS:localhost");
        let file = |name: &str| dir.join(name).display().to_string();
        let settings = [
            format!("ssl_key_file={}", file("server.key")),
            format!("ssl_cert_file={}", file("server.crt")),
            format!("ssl_ca_file={}", file("ca.crt")),
        ];
        let server = PgServer::launch(dir, &["ssl=on", &settings[0], &settings[1], &settings[2]]);
        (server, authority)
    }

    fn launch(dir: PathBuf, settings: &[&str]) -> PgServer {
        let (bin, user) = (binaries(), ordinary_user());
        let data = dir.join("data");
        let password = dir.join("pwfile");
        fs::write(&password, PASSWORD).expect("the password file is written");
        run(as_user(user.as_ref(), &bin.join("initdb"))
            .args(["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C", "--username", USER, "--pwfile"])
            .arg(&password)
            .arg("--pgdata")
            .arg(&data));
        PgServer::serve(dir, settings)
    }

    /// A hot standby of this server, which has to be one of its own.
    pub fn standby(&self) -> PgServer {
        let user = ordinary_user();
        let dir = new_folder(user.as_ref());
        run(as_user(user.as_ref(), &self.bin.join("pg_basebackup"))
            .args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--username", USER, "--host"])
            .arg(&self.guarded.dir)
            .args(["--port", &self.port.to_string(), "--pgdata"])
            .arg(dir.join("data")));
        PgServer::serve(dir, &["hot_standby=on"])
    }

    /// Waits until a standby shows what this server has committed.
    pub fn caught_up(&self, standby: &PgServer) {
        let end = self.psql("postgres", "SELECT pg_current_wal_lsn()");
        let shown = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
        let until = Instant::now() + Duration::from_secs(60);
        while standby.psql("postgres", &shown) != "t" {
            assert!(Instant::now() < until, "the standby does not catch up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Serves the data of a folder.
    fn serve(dir: PathBuf, settings: &[&str]) -> PgServer {
        let (bin, port) = (binaries(), free_port());
        let mut command = Command::new(bin.join("postgres"));
        command.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string(), "-k"]).arg(&dir);
        let fixed =
            ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "shared_buffers=32MB"];
        let more = ["max_connections=200", "max_prepared_transactions=20", "log_min_messages=warning"];
        for setting in fixed.iter().chain(&more).chain(settings) {
            command.args(["-c", setting]);
        }
        let guarded = Guarded::start(dir.clone(), &command);
        let server = PgServer { port, socket: dir, bin, guarded };
        server.wait_until_ready();
        server
    }

    /// What the server has written into its log.
    pub fn log(&self) -> String {
        self.guarded.log()
    }

    /// Runs SQL as the superuser with psql and returns the rows, fields separated by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = self.try_psql(database, sql);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql failed: {errors}\n{sql}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs a file as the superuser with psql, with variables of the environment.
    pub fn psql_file(&self, database: &str, file: &Path, variables: &[(&str, &str)]) -> String {
        let mut command = self.command(database);
        let output = command.arg("-f").arg(file).envs(variables.iter().copied()).output();
        let output = output.expect("psql starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql failed: {errors}\n{}", file.display());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A new, empty database of that name.
    pub fn database(&self, name: &str) -> String {
        self.psql("postgres", &format!("DROP DATABASE IF EXISTS \"{name}\""));
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\""));
        name.to_owned()
    }

    /// An open psql to be driven line by line: for transactions that stay open.
    pub fn interactive(&self, database: &str) -> Open {
        let mut command = self.command(database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("psql starts");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Open { child, input: input.expect("piped"), output: output.expect("piped") }
    }

    fn try_psql(&self, database: &str, sql: &str) -> Output {
        self.command(database).args(["-c", sql]).output().expect("psql starts")
    }

    fn command(&self, database: &str) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-h"]);
        command.arg(&self.socket).args(["-p", &self.port.to_string()]);
        command
    }

    /// Ends the server in the middle of everything, by a signal: `QUIT` as `pg_ctl -m immediate`
    /// does, or `KILL`, which leaves its other processes to find out; then starts it again.
    pub fn crash(&self, signal: &str) {
        let since = || self.try_psql("postgres", "SELECT pg_postmaster_start_time()").stdout;
        let before = since();
        self.tell(signal);
        loop {
            self.wait_until_ready();
            let now = since();
            if !now.is_empty() && now != before {
                return;
            }
        }
    }

    /// Ends the server for good; for one that is never dropped.
    pub fn stop(&self) {
        self.tell("QUIT");
    }

    /// Stops every process of the server where it stands, until what is returned is dropped.
    pub fn freeze(&self) -> Frozen {
        let file = self.guarded.dir.join("data/postmaster.pid");
        let text = fs::read_to_string(file).expect("a server that runs");
        let postmaster = text.lines().next().expect("its pid").to_owned();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().expect("pgrep starts");
        let mut pids = vec![postmaster];
        pids.extend(String::from_utf8_lossy(&children.stdout).split_whitespace().map(str::to_owned));
        Frozen::new(pids)
    }

    fn tell(&self, word: &str) {
        self.guarded.tell(word);
    }

    fn wait_until_ready(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            self.tell("start");
            if self.try_psql("postgres", "SELECT 1").status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("PostgreSQL did not start:\n{}", self.log());
    }
}

/// An authority and what it has signed, as files of a folder.
pub struct Certificates {
    dir: PathBuf,
    user: Option<Account>,
}

impl Certificates {
    fn new(dir: &Path, user: Option<&Account>) -> Certificates {
        let user = user.map(|account| Account { uid: account.uid, gid: account.gid });
        let made = Certificates { dir: dir.to_owned(), user };
        run(made
            .openssl("req")
            .args([
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=authority of the test",
            ])
            .args(["-addext", "keyUsage=critical,keyCertSign"])
            .arg("-keyout")
            .arg(dir.join("ca.key"))
            .arg("-out")
            .arg(dir.join("ca.crt")));
        made
    }

    fn openssl(&self, what: &str) -> Command {
        let mut command = as_user(self.user.as_ref(), Path::new("openssl"));
        command.arg(what).current_dir(&self.dir);
        command
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes `name.key`, and `name.crt` for a common name and, where given, other names.
    pub fn sign(&self, name: &str, common: &str, others: &str) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        run(self
            .openssl("req")
            .args(["-newkey", "rsa:2048", "-nodes", "-subj"])
            .arg(format!("/CN={common}"))
            .args(["-keyout", &key, "-out", &request]));
        let extensions = self.dir.join(format!("{name}.ext"));
        let names = if others.is_empty() { String::new() } else { format!("subjectAltName={others}\n") };
        fs::write(&extensions, format!("basicConstraints=critical,CA:FALSE\n{names}")).expect("a file");
        run(self
            .openssl("x509")
            .args([
                "-req",
                "-in",
                &request,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
            ])
            .arg("-extfile")
            .arg(extensions)
            .args(["-out", &format!("{name}.crt")]));
    }
}

impl Guarded {
    /// A folder for a server, which whoever it runs as may write.
    pub fn folder() -> PathBuf {
        new_folder(ordinary_user().as_ref())
    }

    /// Starts a server, as an ordinary user where the tests run as root.
    pub fn start(dir: PathBuf, server: &Command) -> Guarded {
        let user = ordinary_user();
        let as_whom = as_user(user.as_ref(), Path::new(server.get_program()));
        let mut command = Command::new("sh");
        command.args(["-c", WATCHER, "waybill-test-server"]).arg(&dir);
        command.arg(as_whom.get_program()).args(as_whom.get_args()).args(server.get_args());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut watcher = command.spawn().expect("sh starts");
        let lifeline = watcher.stdin.take();
        Guarded { dir, watcher, lifeline }
    }

    fn tell(&self, word: &str) {
        let mut lifeline = self.lifeline.as_ref().expect("the server is running");
        writeln!(lifeline, "{word}").expect("the watcher reads");
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.watcher.wait();
    }
}

/// Processes that are stopped; they go on once this is dropped.
pub struct Frozen {
    pids: Vec<String>,
}

impl Frozen {
    /// Stops processes.
    pub fn new(pids: Vec<String>) -> Frozen {
        let frozen = Frozen { pids };
        frozen.signal("-STOP");
        frozen
    }

    fn signal(&self, signal: &str) {
        // One that has ended meanwhile is no fault.
        let _ = Command::new("sh")
            .args(["-c", "kill \"$@\" 2>/dev/null", "sh", signal])
            .args(&self.pids)
            .status();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

/// A psql that is open; dropped, it is killed.
pub struct Open {
    child: Child,
    input: ChildStdin,
    output: std::process::ChildStdout,
}

impl Open {
    /// Sends SQL and waits until the server has done it.
    pub fn run(&mut self, sql: &str) {
        writeln!(self.input, "{sql};\n\\echo waybill-done").expect("psql reads");
        self.input.flush().expect("psql reads");
        let mut seen = Vec::new();
        let mut byte = [0u8];
        while !seen.ends_with(b"waybill-done\n") {
            let read = self.output.read(&mut byte).expect("psql writes");
            assert!(read == 1, "psql ended: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&byte);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the newest installed server's binaries.
fn binaries() -> PathBuf {
    let version = |path: &Path| -> Option<Vec<u32>> {
        path.file_name()?.to_str()?.split('.').map(|part| part.parse().ok()).collect()
    };
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(Vec<u32>, PathBuf)> =
        installed.filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin")))).collect();
    found.sort();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = found.into_iter().rev().map(|(_, bin)| bin).chain(std::env::split_paths(&on_path));
    let needed = ["initdb", "postgres", "psql"];
    candidates.into_iter().find(|bin| needed.iter().all(|name| bin.join(name).exists())).unwrap_or_else(
        || panic!("no PostgreSQL server is installed, and the tests need one: apt-get install postgresql"),
    )
}

struct Account {
    uid: u32,
    gid: u32,
}

/// Whom the server runs as: nobody in particular where the tests run as root.
fn ordinary_user() -> Option<Account> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let account = |name| Some(Account { uid: id(&["-u", name])?, gid: id(&["-g", name])? });
    Some(account("postgres").or_else(|| account("nobody")).expect("a user postgres or nobody"))
}

fn as_user(user: Option<&Account>, program: &Path) -> Command {
    let Some(Account { uid, gid }) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
    command.arg(program);
    command
}

fn new_folder(user: Option<&Account>) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("waybill-pg-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).expect("a folder for the server");
    if let Some(Account { uid, gid }) = user {
        std::os::unix::fs::chown(&dir, Some(*uid), Some(*gid)).expect("the folder is handed over");
    }
    dir
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn run(command: &mut Command) {
    let hint = "apt-get install postgresql openssl util-linux";
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e} ({hint})"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}
