//! The contract between Waybill and its connectors.
//!
//! Types and traits only: no I/O, no runtime, no driver. The documentation of the traits
//! [`Connector`], [`Source`], [`Outlet`], [`Destination`] and [`Writer`] is the contract: order,
//! duplicates, concurrency, what an empty input means, what is durable on return. The conformance
//! suite in the project's tests holds every connector to it.

pub mod calendar;
pub mod catalog;
pub mod clock;
pub mod column;
pub mod connector;
pub mod context;
pub mod cursor;
pub mod destination;
mod emit;
pub mod error;
pub mod event;
pub mod history;
pub mod identity;
pub mod outlet;
pub mod preflight;
pub mod settings;
pub mod source;
pub mod state;
pub mod stream;
pub mod tunnel;
pub mod value;
pub mod wire;

pub use catalog::{Catalog, CatalogStream, CursorCandidate};
pub use connector::{Connector, Erased, Role, Spec, System};
pub use context::{Context, Deadlines};
pub use cursor::{CursorValue, Lookback};
pub use destination::{
    Capabilities, ColumnRecord, Commit, Destination, Disposition, Receipt, StateRow, StreamLoad, TableInfo,
    TableRecord, TableRef, WindowChange, WindowEntry, Writer,
};
pub use error::{Error, ErrorRecord, Kind, Origin, Result};
pub use event::{Body, Event, Events, Level};
pub use history::{EventRow, History, RunRecord, RunRow, StreamRow};
pub use identity::{Identity, identities};
pub use outlet::{Budget, Delivery, Message, Outlet, Payload, Reject};
pub use preflight::{Errand, Finding, Load, Made, Preflight, Status};
pub use settings::{NoSettings, Secret};
pub use source::{Answer, Check, Progress, Reading, Slice, Source, StreamRead};
pub use state::{Change, FilesDigest, Patch, Scope, StreamState, WindowDigest};
pub use stream::{
    NullCursor, OnBadRow, OnEmpty, OnExisting, SchemaPolicy, StreamSelection, SyncMode, WriteMode,
};
pub use tunnel::{CommandTunnel, LocalEnd, NewHosts, Pending, SshTunnel, Tunnel, TunnelSettings};
pub use value::{Fidelity, IN_WINDOW_COLUMN, Logical, NATIVE_KEY, RUN_ID_COLUMN, Verdict};
pub use wire::{WireForm, WireRows};
