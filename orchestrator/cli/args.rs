//! What every command understands: places, and how answers look.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use super::Command;
use crate::store::project::Flags;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "waybill",
    version,
    about = "Moves data from sources to destinations; every run leaves a complete record of itself",
    after_help = EXAMPLES,
    arg_required_else_help = false,
    max_term_width = 110
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where the project's files lie.
    #[command(flatten)]
    pub places: PlaceFlags,
    /// How answers look.
    #[command(flatten)]
    pub look: LookFlags,
}

const EXAMPLES: &str = "\
Start here:
  waybill demo            make a small project with real data, run it, and show what is where
  waybill init            make an empty project in this folder
  waybill run NAME        run a connection

Data goes to standard output, everything else to standard error.

Exit codes:
    0  succeeded                              70  a bug in the program
    1  failed; unchanged it will fail again   75  failed; a later try may succeed
    2  wrong usage                           124  time budget used up
    3  config or secrets wrong or missing    129  ended by SIGHUP
    4  a connection's check failed           130  ended by SIGINT (Ctrl-C)
    5  partial: some streams failed          143  ended by SIGTERM
    6  another run holds the lock            141  standard output closed";

/// Where the project's files lie.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceFlags {
    /// The project's folder [env: WAYBILL_PROJECT_DIR; else the nearest folder upwards with a config.json]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub project_dir: Option<PathBuf>,
    /// The config file [env: ORCH_CONFIG_PATH; default: config.json in the project's folder]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Places")]
    pub config: Option<PathBuf>,
    /// The secrets file [env: SECRETS_PATH; default: secrets.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Places")]
    pub secrets: Option<PathBuf>,
    /// The folder of run summaries [env: RUNS_DIR; default: runs]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub runs_dir: Option<PathBuf>,
    /// The folder of event logs [env: RUN_LOGS_DIR; default: run_logs]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub run_logs_dir: Option<PathBuf>,
    /// The folder of earlier versions of the config [env: BACKUPS_DIR; default: backups]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    pub backups_dir: Option<PathBuf>,
}

impl PlaceFlags {
    /// The same, as the store takes them.
    pub fn flags(&self) -> Flags {
        Flags {
            project_dir: self.project_dir.clone(),
            config: self.config.clone(),
            secrets: self.secrets.clone(),
            runs_dir: self.runs_dir.clone(),
            run_logs_dir: self.run_logs_dir.clone(),
            backups_dir: self.backups_dir.clone(),
        }
    }
}

/// How answers look.
#[derive(Debug, Clone, Default, Args)]
pub struct LookFlags {
    /// How data is written to standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM", help_heading = "Output")]
    pub output: OutputChoice,
    /// Only data and errors: no progress, notes or warnings
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, help_heading = "Output")]
    pub verbose: bool,
    /// Never prompt: name the missing flag instead
    #[arg(long, global = true, help_heading = "Output")]
    pub no_input: bool,
    /// Colours; NO_COLOR turns them off too
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Output")]
    pub color: ColorChoice,
}

/// `--output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputChoice {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// Where there is a terminal and NO_COLOR is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
