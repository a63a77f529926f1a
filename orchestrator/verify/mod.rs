//! Comparing a source with its destination: rows, order-free hashes, and, where these differ, which
//! rows. Nothing is ever written.
//!
//! Both sides are read through the contract, the destination's system opened as a source. `range`
//! says what part of a stream is comparable, `columns` which columns and as which type; `bins` cuts
//! windows while rows stream by, `sums` deals rows into buckets by their key, so that a second pass
//! (`pass`) has to keep the rows of a few buckets only; `classify` says what a difference is. All of
//! these but the passes are pure. `prepare` settles how a stream is read on both sides, `findings` what
//! the sums mean, and `compare` puts them together for one stream.

mod bins;
mod classify;
mod columns;
mod compare;
mod findings;
mod pass;
mod place;
mod prepare;
mod range;
mod read;
pub mod report;
mod sums;

pub use columns::LeftOut;
pub use compare::compare;
pub use prepare::Sessions;
pub use report::{Differences, Found, Range, StreamReport, Verdict, WindowReport};
pub use sums::Sums;
