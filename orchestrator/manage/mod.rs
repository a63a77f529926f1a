//! Managing a project: what the command line and the menu have in common. Nothing here prints or
//! asks; each function that changes something is one edit, of only the values that it means to.
//!
//! A [`Draft`] is a connection that does not stand in the config yet: it can be tried ([`trial`])
//! before it is saved ([`add`]). [`revise`] changes one that does.

mod add;
pub mod bootstrap;
pub mod destinations;
pub mod doctor;
mod draft;
pub mod gate;
mod merge;
pub mod preflight;
pub mod probe;
pub mod propose;
mod remove;
mod rename;
mod restore;
mod revise;
pub mod secrets;
pub mod select;
mod settings;
mod toggle;
mod trial;
pub mod url;

pub use add::{Added, add, ensure_config};
pub use draft::{Draft, SecretChanges};
pub use merge::{Conflict, merge};
pub use remove::{Patience, Removal, Removed, remove};
pub use rename::{Renamed, rename};
pub use restore::{Restored, restorable, restore};
pub use revise::{Revised, entry_of, revise, revise_from};
pub use settings::{Assigned, assign, is_secret, unassign};
pub use toggle::{disable, enable};
pub use trial::{Trial, trial, trial_of};
