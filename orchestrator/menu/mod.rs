//! The menu: `waybill` alone on a terminal. Every action is a command of the command line, and says
//! so; what it shows is built as text first ([`home`], [`view`]) and drawn by the prompts.

mod add;
mod connection;
mod destination;
mod fields;
mod home;
mod places;
mod plan;
mod runs;
mod streams;
mod trouble;
mod view;

use std::future::Future;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Connector, Error, Kind, Result};

use crate::cli::args::Cli;
use crate::cli::next::{command, quoted};
use crate::cli::prompt::{self, Quiet};
use crate::cli::terminal::Terminal;
use crate::run::Stop;
use crate::store::project::Project;

/// What every screen of the menu works with.
pub(crate) struct Menu<'a> {
    terminal: &'a Terminal,
    project: &'a Project,
    registry: Vec<Box<dyn Connector>>,
}

/// Opens the menu, until the person leaves it. Ctrl-C leaves it with the signal's exit code.
pub async fn menu(terminal: &Terminal, project: &Project) -> Result<u8> {
    prompt::watch();
    let _quiet =
        Quiet::between().map_err(|e| Error::internal(format!("the terminal cannot be set: {e}")).cause(e))?;
    let menu = Menu { terminal, project, registry: waybill_connectors::registry() };
    match home::home(&menu).await {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == Kind::Cancelled => Ok(error.exit_code()),
        Err(error) => Err(error),
    }
}

impl Menu<'_> {
    /// Does what a command does, and says which; its exit code.
    async fn execute(&self, words: &[&str]) -> Result<u8> {
        self.say_command(words);
        let parsed = Cli::try_parse_from(std::iter::once("waybill").chain(words.iter().copied()));
        let parsed = parsed.map_err(|e| Error::internal("the menu made a wrong command").cause(e))?;
        let Some(command) = parsed.command else {
            return Err(Error::internal("the menu made no command"));
        };
        // A command may itself ask; Ctrl-C there leaves the menu, as at any question.
        let done = Box::pin(crate::cli::in_project(self.terminal, self.project, command)).await;
        self.left()?;
        match done {
            Err(error) if error.kind() == Kind::Cancelled => Err(error),
            Err(error) => {
                self.terminal.error(&error);
                Ok(error.exit_code())
            }
            Ok(code) => Ok(code),
        }
    }

    /// Says the command that does what is done now.
    fn say_command(&self, words: &[impl AsRef<str>]) {
        let words: Vec<String> = words.iter().map(|word| quoted(word.as_ref())).collect();
        let line = format!("$ {}", command(self.project, &words.join(" ")));
        self.terminal.note(&format!("\n{}", self.terminal.paint_stderr("2", &line)));
    }

    /// Work that Ctrl-C ends: then `None`, and the menu goes on.
    async fn unless_interrupted<T>(
        &self,
        cancel: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        let stop = Stop::new();
        stop.listen().map_err(|e| Error::internal(format!("signals cannot be caught: {e}")).cause(e))?;
        let done = tokio::select! {
            biased;
            () = stop.orderly().cancelled() => {
                cancel.cancel();
                self.terminal.note("given up");
                None
            }
            done = work => Some(done?),
        };
        self.left()?;
        Ok(done)
    }

    /// A signal that ends the program ends the menu too, whatever it came in the middle of.
    fn left(&self) -> Result<()> {
        match prompt::ended_by() {
            Some("SIGINT") | None => Ok(()),
            Some(signal) => Err(Error::cancelled().code(signal)),
        }
    }

    /// Shows what failed.
    fn failed(&self, error: &Error) {
        self.terminal.error(error);
    }
}

/// Shows an error and goes on; only what ends the menu goes further.
fn survives<T>(menu: &Menu<'_>, done: Result<T>) -> Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == Kind::Cancelled => Err(error),
        Err(error) => {
            menu.failed(&error);
            Ok(None)
        }
    }
}
