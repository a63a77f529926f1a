//! Whether rows may travel undecoded, decided per stream when it is planned.

use std::sync::Arc;

use waybill_protocol::{Reading, Result, StreamLoad, StreamRead};

use super::Run;
use super::job::Held;

/// Lets source and destination agree on a binary form where nobody has to look into the rows.
pub async fn agree(run: &Run, read: &mut Arc<StreamRead>, load: &mut StreamLoad, held: &Held) -> Result<()> {
    if needs_values(read, load, held) {
        return Ok(());
    }
    let Some(form) = run.source.wire(read) else { return Ok(()) };
    let asked = || run.destination.takes(load, &form);
    if run.policy.steadily(&run.events, &run.stop, asked).await? {
        Arc::make_mut(read).wire = Some(form.clone());
        load.wire = Some(form);
    }
    Ok(())
}

/// Whether rows have to be looked at on their way: for their identities, for keys that come twice or
/// not at all.
fn needs_values(read: &StreamRead, load: &StreamLoad, held: &Held) -> bool {
    let filled = |key: &String| read.schema.field_with_name(key).is_ok_and(|field| !field.is_nullable());
    let keyed = !load.key.is_empty();
    held.window.is_some()
        || read.reading == Reading::Files
        || keyed && !read.primary_key.iter().all(filled)
        || load.upsert && !load.distinct
}

/// From now on rows are decoded, and keys may come twice: what was agreed on does not hold any more.
pub fn end(read: &mut StreamRead, load: &mut StreamLoad) {
    (read.wire, load.wire, load.distinct) = (None, None, false);
}
