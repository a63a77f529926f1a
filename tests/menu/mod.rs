//! The menu, as a person at a terminal has it: whole dialogues in a pseudo-terminal.

mod dialogue;
mod faults;
mod first_table;
mod places;

use crate::fixture::{Project, Screen};

/// The menu of a project on a screen of the usual size.
fn open(project: &Project) -> Screen {
    sized(project, 24, 80)
}

fn sized(project: &Project, rows: u16, columns: u16) -> Screen {
    Screen::open(&project.command(&[]), rows, columns)
}

/// An empty folder.
fn nothing() -> Project {
    let project = Project::new(serde_json::json!({}));
    std::fs::remove_file(project.path("config.json")).expect("removed");
    project
}
