//! The program: hands over to the command line and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    if let Some(rows) = std::env::var("WAYBILL_TEST_BATCH_ROWS").ok().and_then(|rows| rows.parse().ok()) {
        waybill_protocol::outlet::limit_batch_rows(rows);
    }
    waybill::cli::main()
}
