//! Waybill's connectors: one folder per system, each behind one cargo feature, all in [`registry`].

mod deadline;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "scripted")]
pub mod scripted;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use waybill_protocol::{Connector, Error, Result};

/// Every connector that is compiled in. To add one: its folder, its feature, its line here.
pub fn registry() -> Vec<Box<dyn Connector>> {
    vec![
        #[cfg(feature = "files")]
        Box::new(waybill_protocol::Erased::<files::Files>::new()),
        #[cfg(feature = "postgres")]
        Box::new(waybill_protocol::Erased::<postgres::Postgres>::new()),
        #[cfg(feature = "scripted")]
        Box::new(waybill_protocol::Erased::<scripted::Scripted>::new()),
        #[cfg(feature = "sqlite")]
        Box::new(waybill_protocol::Erased::<sqlite::Sqlite>::new()),
    ]
}

/// The connector of a system; one that is not compiled in says so and lists what is.
pub fn find(system: &str) -> Result<Box<dyn Connector>> {
    let mut known = Vec::new();
    for connector in registry() {
        let name = connector.spec().name;
        if name == system {
            return Ok(connector);
        }
        known.push(name);
    }
    Err(Error::config(format!("no connector {system:?} in this build"))
        .hint(format!("use one of: {}", known.join(", "))))
}
