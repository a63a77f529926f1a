//! What both scripts can do beside moving rows: wait, touch, panic.

use std::path::Path;
use std::time::Duration;

use waybill_protocol::event::Body;
use waybill_protocol::{Context, Error, Result};

const STEP: Duration = Duration::from_millis(5);

/// Waits until `done`; the run's `cancel` ends it.
pub(super) async fn wait_until(ctx: &Context, mut done: impl FnMut() -> bool) -> Result<()> {
    while !done() {
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(Error::cancelled()),
            () = tokio::time::sleep(STEP) => {}
        }
    }
    Ok(())
}

/// Waits for a file.
pub(super) async fn wait_for_file(ctx: &Context, path: &str) -> Result<()> {
    let path = ctx.base_dir.join(path);
    wait_until(ctx, || path.exists()).await
}

/// Makes an empty file.
pub(super) fn touch(base: &Path, path: &str) -> Result<()> {
    let path = base.join(path);
    std::fs::write(&path, "").map_err(|e| Error::config(format!("{}: {e}", path.display())).cause(e))
}

/// Says texts as if a child process had written them.
pub(super) fn output(ctx: &Context, chunks: Vec<String>) {
    for chunk in chunks {
        let body = Body::ProcessOutput { process: "script".into(), pid: 1, stream: "stderr".into() };
        ctx.events.info(body, chunk);
    }
}

/// Breaks off as a bug would.
#[allow(clippy::panic, reason = "a script may ask for the bug that a panic is")]
pub(super) fn break_off() {
    panic!("panicked as scripted");
}
