//! Managing a project: what the command line and the menu have in common. Nothing here prints or
//! asks.

pub mod destinations;
pub mod doctor;
pub mod gate;
pub mod probe;
pub mod secrets;
