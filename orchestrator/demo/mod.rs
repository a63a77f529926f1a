//! The demonstration: a project folder as a person would make it, with real data that ships inside
//! the program. What it runs goes the way of every run.
//!
//! `data/ORIGIN.md` says where the data come from and under which licences they may travel.

#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use waybill_protocol::{Error, Result};

use crate::run::{Answer, Options, Stop, run};
use crate::store::atomic::{unwritable, write_atomic};
use crate::store::project::{Env, Flags, Project};

/// The credit that travels with the data.
pub const CREDIT: &str = concat!(
    "  places       © GeoNames, geonames.org, CC BY 3.0, selection changed\n",
    "  earthquakes  U.S. Geological Survey, public domain"
);
/// The connection that loads a CSV file whole.
pub const PLACES: &str = "places";
/// The connection that follows a growing JSONL file.
pub const EARTHQUAKES: &str = "earthquakes";
/// The database that both load into, in the project's folder.
pub const DATABASE: &str = "waybill.db";

const CONFIG: &str = include_str!("project/config.json");
const SECRETS: &str = include_str!("project/secrets.toml");
const LATER: &str = include_str!("data/earthquakes-later.jsonl");
const DATA: [(&str, &str); 3] = [
    ("ORIGIN.md", include_str!("data/ORIGIN.md")),
    ("places.csv", include_str!("data/places.csv")),
    ("earthquakes.jsonl", include_str!("data/earthquakes.jsonl")),
];

/// A demonstration project on disk.
pub struct Demo {
    /// Its places; nothing of them comes from the environment.
    pub project: Project,
}

impl Demo {
    /// Makes the project in `dir`. A folder that holds a project, or anything that would be
    /// overwritten, is refused before anything is written.
    pub fn create(dir: &Path) -> Result<Demo> {
        refuse_taken(dir)?;
        let data = dir.join("data");
        fs::create_dir_all(&data).map_err(|e| unwritable(&data, e))?;
        for (name, content) in DATA {
            write_atomic(&data.join(name), content.as_bytes(), None)?;
        }
        write_atomic(&dir.join("secrets.toml"), SECRETS.as_bytes(), Some(0o600))?;
        // Last: with a config.json the folder is a project.
        write_atomic(&dir.join("config.json"), CONFIG.as_bytes(), None)?;
        let dir = std::path::absolute(dir).map_err(|e| unwritable(dir, e))?;
        let flags = Flags { project_dir: Some(dir.clone()), ..Flags::default() };
        Ok(Demo { project: Project::locate(&flags, Env::default(), &dir)? })
    }

    /// Runs one of its connections.
    pub async fn run(&self, connection: &str, stop: &Stop) -> Answer {
        run(&self.project, connection, &Options::default(), Vec::new(), stop).await
    }

    /// Appends the later earthquakes to the file that was loaded, as a program that writes a log
    /// would; returns how many.
    pub fn append_later(&self) -> Result<u64> {
        let path = self.earthquakes_file();
        let mut file = OpenOptions::new().append(true).open(&path).map_err(|e| unwritable(&path, e))?;
        file.write_all(LATER.as_bytes()).map_err(|e| unwritable(&path, e))?;
        Ok(LATER.lines().count() as u64)
    }

    /// The file that grows.
    pub fn earthquakes_file(&self) -> PathBuf {
        self.project.dir.join("data").join("earthquakes.jsonl")
    }

    /// The database that both connections load into.
    pub fn database(&self) -> PathBuf {
        self.project.dir.join(DATABASE)
    }
}

fn refuse_taken(dir: &Path) -> Result<()> {
    let elsewhere = "name another folder: waybill demo DIR";
    if dir.exists() && !dir.is_dir() {
        return Err(Error::config(format!("{} is not a folder", dir.display())).hint(elsewhere));
    }
    for name in ["config.json", "secrets.toml", ".env", "data", DATABASE, "runs", "run_logs", "backups"] {
        // Also a link that leads nowhere is somebody's.
        if dir.join(name).symlink_metadata().is_ok() {
            let what = if name == "config.json" { "is a project already: it has" } else { "has already" };
            return Err(Error::config(format!("{} {what} {name}", dir.display())).hint(elsewhere));
        }
    }
    Ok(())
}
