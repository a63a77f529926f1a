//! The contract, held against every source and every destination of the registry.
//!
//! A connector joins by its entry in `samples`; one without an entry fails the suite.

mod destinations;
mod samples;
mod sources;

use std::path::Path;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{Connector, Context, Deadlines, Events, Role};

/// A context whose relative paths start in a folder.
fn context(folder: &Path, connection: &str, role: &'static str) -> Context {
    Context {
        run_id: uuid::Uuid::now_v7().to_string(),
        connection_id: format!("id-of-{connection}"),
        connection: connection.to_owned(),
        role,
        events: Events::none(),
        cancel: CancellationToken::new(),
        deadlines: Deadlines::default(),
        base_dir: folder.to_owned(),
        parallelism: 2,
        tunnel: None,
    }
}

/// Every connector with a role.
fn with_role(role: Role) -> Vec<Box<dyn Connector>> {
    let mut found = waybill_connectors::registry();
    found.retain(|connector| connector.spec().roles.contains(&role));
    assert!(!found.is_empty());
    found
}
