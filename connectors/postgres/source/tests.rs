//! Against a real server.

mod cursor;
mod fixture;
mod reading;
mod session;
mod split;
mod types;
