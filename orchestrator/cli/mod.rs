//! The command line: parses, calls the engine, shows its answers, and makes hints and exit codes.

pub mod args;
mod complete;
pub mod config;
pub mod connection;
pub mod demo;
pub mod destination;
pub mod doctor;
pub mod fault;
pub mod headless;
pub mod history;
pub mod init;
pub(crate) mod next;
pub mod progress;
pub mod prompt;
pub mod run;
pub mod runs;
pub mod schema;
mod screen;
pub mod secrets;
pub mod state;
pub mod terminal;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Subcommand};
use waybill_protocol::{Error, Result};

use crate::store::project::{Env, Project};
use args::{Cli, PlaceFlags};
use terminal::Terminal;

/// Exit code of a program whose reader has gone away.
const CLOSED: u8 = 141;
/// Exit code of wrong usage.
const USAGE: u8 = 2;
/// Exit code of a bug.
const BUG: u8 = 70;

/// How long work that was left behind may take to end.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

/// The commands. A group's own arguments and functions are in its module.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an empty project's folder
    Init(init::InitArgs),
    /// Make a small project with real data, run it, and show what is where
    Demo(demo::DemoArgs),
    /// Run connections: load what is new, and leave a record of it
    ///
    /// Several connections run one after another, and the exit code is that of the worst one. Ctrl-C
    /// once ends a run in good order at its last safe point, twice at once; either way the next run
    /// goes on from there.
    Run(run::RunArgs),
    /// Run one connection for a program: a JSON request, a stream of events, one JSON answer
    ///
    /// The request comes by flags or as one JSON document, events go out as JSON lines while they
    /// happen, and exactly one JSON document is the answer on standard output, whatever happens. It
    /// never prompts, and the exit code is the one in the answer. `waybill schema headless-request`
    /// and `waybill schema headless-response` print the forms of both documents.
    Headless(headless::HeadlessArgs),
    /// See connections, test them, and look at what their sources have
    #[command(subcommand)]
    Connection(connection::ConnectionCommand),
    /// See destinations, add and change them, and choose the default one
    #[command(subcommand)]
    Destination(destination::DestinationCommand),
    /// See where secrets come from, write them, and check that they can be had
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// See the runs there were, and what each left behind
    Runs(runs::RunsArgs),
    /// Write runs into the database that keeps the run history
    #[command(subcommand)]
    History(history::HistoryCommand),
    /// See how far streams were loaded, and tell the next run where to start
    #[command(subcommand)]
    State(state::StateCommand),
    /// Check the config, and see what is in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look the whole project over: what is where, what is wrong, and what to do about it
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of a document that the program reads or writes
    Schema(schema::SchemaArgs),
    /// Print completions for a shell: names of connections, streams and runs are completed too
    ///
    /// For bash, put `source <(waybill completions bash)` into ~/.bashrc; for zsh the same with zsh
    /// into ~/.zshrc; for fish `waybill completions fish | source` into its config.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The commands that work in a project. Add a line per group.
pub(crate) async fn in_project(terminal: &Terminal, project: &Project, command: Command) -> Result<u8> {
    match command {
        Command::Demo(args) => demo::demo(terminal, project, args).await,
        Command::Run(args) => run::run(terminal, project, args).await,
        Command::Init(args) => init::init(terminal, project, args).await,
        Command::Connection(command) => connection::connection(terminal, project, command).await,
        Command::Destination(command) => destination::destination(terminal, project, command).await,
        Command::Secrets(command) => secrets::secrets(terminal, project, command).await,
        Command::Doctor(args) => doctor::doctor(terminal, project, args).await,
        Command::Runs(args) => runs::runs(terminal, project, args).await,
        Command::History(command) => history::history(terminal, project, command).await,
        Command::State(command) => state::state(terminal, project, command).await,
        Command::Config(command) => config::config(terminal, project, command).await,
        Command::Headless(_) | Command::Schema(_) | Command::Completions { .. } => {
            Err(Error::internal("a command without a project came to those with one"))
        }
    }
}

/// Parses the arguments, runs the command, and returns the exit code.
pub fn main() -> ExitCode {
    ExitCode::from(catch_unwind(parse_and_run).unwrap_or(BUG))
}

fn parse_and_run() -> u8 {
    quiet_panics();
    if complete::answered(Cli::command) {
        return 0;
    }
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => run(cli),
        Err(error) => usage(&error),
    }
}

/// A bug says where it is; its message may hold a value, so it needs RUST_BACKTRACE to be shown.
fn quiet_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let terminal = Terminal::new(&args::LookFlags::default());
        terminal.error(
            &Error::internal(format!("a bug in waybill{place}"))
                .hint("run it again with RUST_BACKTRACE=1 and report what it prints"),
        );
    }));
}

/// The command line as clap knows it; its own messages obey `--color`.
fn command() -> clap::Command {
    let mut words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut choice = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--color") {
            Some("") => choice = words.next(),
            Some(value) => choice = value.strip_prefix('=').map(str::to_owned),
            None => {}
        }
    }
    Cli::command().color(match choice.as_deref() {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    })
}

/// Help and version go to stdout and are a success; everything else is wrong usage.
fn usage(error: &clap::Error) -> u8 {
    let code = if error.use_stderr() { USAGE } else { 0 };
    if code == USAGE && asked_headless() {
        let _ = error.print();
        let terminal = Terminal::new(&args::LookFlags::default());
        return headless::wrong_usage(&terminal, &error.render().to_string()).unwrap_or(CLOSED);
    }
    match error.print() {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe && !error.use_stderr() => CLOSED,
        _ => code,
    }
}

/// Whether wrong usage was meant for `headless`, whose caller reads a document whatever happens.
fn asked_headless() -> bool {
    let matches = command().ignore_errors(true).try_get_matches();
    matches.is_ok_and(|matches| matches.subcommand_name() == Some("headless"))
}

fn run(cli: Cli) -> u8 {
    let terminal = Terminal::new(&cli.look);
    if cli.command.is_none() && !(terminal.interactive() && terminal.is_terminal() && terminal.live()) {
        let help = self::command().render_help();
        terminal.help(&help);
        return USAGE;
    }
    let answer = catch_unwind(AssertUnwindSafe(|| match cli.command {
        Some(command) => dispatch(&terminal, &cli.places, command),
        None => {
            let project = locate(&cli.places)?;
            on_runtime(crate::menu::menu(&terminal, &project))
        }
    }));
    match answer {
        _ if terminal.stdout_closed() => CLOSED,
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            terminal.error(&error);
            error.exit_code()
        }
        Err(_) => BUG,
    }
}

fn dispatch(terminal: &Terminal, places: &PlaceFlags, command: Command) -> Result<u8> {
    match command {
        Command::Headless(args) => headless::headless(terminal, places, args),
        Command::Schema(args) => schema::schema(terminal, args),
        Command::Completions { shell } => complete::script(terminal, shell),
        command => {
            let project = locate(places)?;
            on_runtime(in_project(terminal, &project, command))
        }
    }
}

/// The project that the flags and the environment mean.
fn locate(places: &PlaceFlags) -> Result<Project> {
    Project::locate(&places.flags(), Env::from_process(), &working_directory()?)
}

fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|e| {
        Error::config(format!("the working directory cannot be found: {e}"))
            .hint("change into a folder that exists")
            .cause(e)
    })
}

/// Runs a command's future to its end on a runtime of its own. What still blocks a thread then is
/// left behind: it must not keep a program from ending that was told to stop at once.
fn on_runtime<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::internal(format!("cannot start the runtime: {e}")).cause(e))?;
    let answer = catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
    runtime.shutdown_timeout(LEFT_BEHIND);
    answer.unwrap_or_else(|panic| resume_unwind(panic))
}
