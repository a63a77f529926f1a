//! What happened in a run, why, and what to do: worked out from its record alone.
//!
//! Nothing here prints. `facts` and `difference` compare two runs.

mod difference;
mod facts;
mod schema;
mod settings;

pub use difference::{Area, Comparison, Difference, compare};
pub use facts::{Decision, Facts, RunName, last_good};
