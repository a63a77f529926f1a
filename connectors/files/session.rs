//! A session with a folder of files.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Catalog, Check, Context, Error, Outlet, Progress, Reading, Result, Slice, Source, StreamRead,
    StreamSelection,
};

use super::options::Layout;
use super::sink::Sink;
use super::{discover, faults, listing, read};

/// Folders that running leaves behind beside config.json: no data of the source.
const OWN_FOLDERS: [&str; 3] = ["runs", "run_logs", "backups"];

/// A session.
pub(super) struct Session {
    ctx: Context,
    root: PathBuf,
    /// The root as it was written: the source's identity, whatever folder it is in.
    written: Option<String>,
}

impl Session {
    /// A session with the files below `root`.
    pub(super) fn new(ctx: Context, root: PathBuf, written: Option<String>) -> Session {
        Session { ctx, root, written }
    }

    /// Runs `work` off the async threads; it is told to end when this call is dropped or cancelled.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cancel = self.ctx.cancel.child_token();
        let _ends = cancel.clone().drop_guard();
        let task = tokio::task::spawn_blocking(move || work(&cancel));
        tokio::select! {
            biased;
            () = self.ctx.cancel.cancelled() => Err(Error::cancelled()),
            done = task => done.map_err(|e| Error::internal("the reader of files broke off").cause(e))?,
        }
    }
}

#[async_trait]
impl Source for Session {
    async fn check(&self) -> Result<Vec<Check>> {
        let (root, shown) = (self.root.clone(), self.root.display().to_string());
        self.blocking(move |_| {
            let what = format!("read folder {shown}");
            Ok(vec![match std::fs::read_dir(&root) {
                Ok(entries) => {
                    let many = entries.take(1_000).count();
                    Check::passed(
                        what,
                        if many < 1_000 { format!("{many} entries") } else { "1000 entries or more".into() },
                    )
                }
                Err(e) => Check::failed(what, &faults::io(&shown, e)),
            }])
        })
        .await
    }

    async fn discover(&self, selections: &[StreamSelection]) -> Result<Catalog> {
        let identity = format!("files:{}", self.written.as_deref().unwrap_or("."));
        let (root, selections) = (self.root.clone(), selections.to_vec());
        let skip: &'static [&'static str] =
            if std::path::absolute(&self.ctx.base_dir).is_ok_and(|base| base == self.root) {
                &OWN_FOLDERS
            } else {
                &[]
            };
        let streams = self.blocking(move |cancel| {
            if selections.is_empty() {
                let found = listing::walk(&root, skip)?;
                return found.into_iter().filter_map(|file| discover::by_extension(file, cancel)).collect();
            }
            selections.iter().map(|selection| discover::selected(&root, selection, cancel)).collect()
        });
        Ok(Catalog { identity, streams: streams.await? })
    }

    fn infers(&self) -> bool {
        true
    }

    async fn plan(&self, streams: &[Arc<StreamRead>], _progress: &Progress) -> Result<Vec<Slice>> {
        for stream in streams {
            Layout::of(&stream.selection)?;
            let refused = if matches!(stream.reading, Reading::Cursor { .. }) {
                read::no_cursor()
            } else if stream.from.is_some() || stream.to.is_some() {
                Error::config("--from and --to need a cursor, and files have none")
                    .hint("use --limit, or select fewer files with the stream's path")
            } else {
                continue;
            };
            return Err(refused.stream(&stream.stream));
        }
        Ok(streams.iter().map(|stream| Slice::whole(Arc::clone(stream))).collect())
    }

    async fn read(&self, slice: &Slice, progress: &Progress, outlet: &Outlet) -> Result<()> {
        for stream in &slice.streams {
            let (read, progress) = (Arc::clone(stream), progress.clone());
            let (root, events) = (self.root.clone(), self.ctx.events.for_stream(&stream.stream));
            let sink = Sink::new(outlet, &stream.stream);
            let done = self.blocking(move |cancel| {
                read::run(read::Job { root, read, progress, sink, events, cancel: cancel.clone() })
            });
            done.await.map_err(|e| e.stream(&stream.stream))?;
        }
        Ok(())
    }

    async fn close(&self) {}
}
