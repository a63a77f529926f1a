//! Waybill: an extract-load orchestrator whose every run leaves a complete record of itself.
//!
//! Faces (`cli`, `menu`) → `manage`, `run`, `verify` → `chronicle` → `events`, `summary`, `history`,
//! `store`, `secrets` → the protocol.
//! ARCHITECTURE.md walks through the house.

pub mod bundle;
pub mod chronicle;
pub mod cli;
pub mod demo;
pub mod events;
pub mod history;
pub mod manage;
pub mod menu;
pub mod run;
pub mod secrets;
pub mod store;
pub mod summary;
pub mod tunnel;
pub mod verify;
