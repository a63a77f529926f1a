//! `waybill init`: an empty project's folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use waybill_protocol::{Error, Result};

use super::terminal::Terminal;
use crate::store::atomic::unwritable;
use crate::store::project::{Origin, Project};

/// Makes a project's folder; what is there already stays as it is.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The folder; made where it is missing [default: --project-dir, else the working directory]
    dir: Option<PathBuf>,
}

const CONFIG: &str = r#"{
  "version": 1,
  "destination": "local",
  "destinations": {
    "local": { "type": "sqlite", "path": "waybill.db" }
  },
  "connections": []
}
"#;

const SECRETS: &str = r#"# Secrets stand here and nowhere else; only the owner may read this file (mode 0600).
# A value is a literal, or says where it comes from:
#
# [sources.crm]                                   # the connection "crm"
# password = { env = "CRM_PASSWORD" }
#
# [destination.warehouse.credentials]             # the destination "warehouse"
# password = { file = "/run/secrets/warehouse" }
"#;

/// What git must not keep.
const IGNORED: [&str; 8] =
    ["secrets.toml", ".env", "runs/", "run_logs/", "backups/", "*.lock", "*.db", ".*.tmp"];

/// A connection to begin with.
const FIRST: &str = r#"     { "name": "sales", "type": "files",
       "schema": { "streams": [ { "name": "sales", "path": "data/*.csv" } ] } }"#;

/// What was made and what was there.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The project's folder.
    dir: PathBuf,
    /// Made now.
    made: Vec<String>,
    /// There before, and left alone.
    kept: Vec<String>,
    /// Lines that an existing .gitignore lacks.
    not_ignored: Vec<String>,
}

/// Makes the folder and says what to do next.
pub async fn init(terminal: &Terminal, project: &Project, args: InitArgs) -> Result<u8> {
    let dir = folder(project, args.dir)?;
    let made = make(&dir)?;
    if terminal.json_wanted() {
        terminal.json(&made)?;
        return Ok(0);
    }
    terminal.out(&report(&made))?;
    if !made.not_ignored.is_empty() {
        terminal.warn(&format!(
            ".gitignore was left alone and lacks: {}; add them before you commit",
            made.not_ignored.join(" ")
        ));
    }
    Ok(0)
}

/// The folder that is meant. A project further up is not: whoever says `init` wants one here.
fn folder(project: &Project, named: Option<PathBuf>) -> Result<PathBuf> {
    let here = || {
        std::env::current_dir().map_err(|e| {
            Error::config(format!("the working directory cannot be found: {e}"))
                .hint("name the folder: waybill init DIR")
                .cause(e)
        })
    };
    match (named, project.origins.get("dir")) {
        (Some(dir), _) => Ok(here()?.join(dir)),
        (None, Some(Origin::Search | Origin::Default) | None) => here(),
        (None, Some(_)) => Ok(project.dir.clone()),
    }
}

fn make(dir: &Path) -> Result<Made> {
    fs::create_dir_all(dir).map_err(|e| unwritable(dir, e))?;
    let mut made = Made { dir: dir.to_path_buf(), ..Made::default() };
    let ignored = IGNORED.join("\n") + "\n";
    // The config last: with it the folder is a project.
    for (name, content, mode) in [
        (".gitignore", ignored.as_str(), 0o644),
        ("secrets.toml", SECRETS, 0o600),
        ("config.json", CONFIG, 0o644),
    ] {
        if create(&dir.join(name), content, mode)? {
            made.made.push(name.to_owned());
        } else {
            made.kept.push(name.to_owned());
        }
    }
    for name in ["runs", "run_logs"] {
        let path = dir.join(name);
        match fs::create_dir(&path) {
            Ok(()) => made.made.push(format!("{name}/")),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                made.kept.push(format!("{name}/"));
            }
            Err(e) => return Err(unwritable(&path, e)),
        }
    }
    if made.kept.iter().any(|name| name == ".gitignore") {
        let text = fs::read_to_string(dir.join(".gitignore")).unwrap_or_default();
        let has = |wanted: &str| text.lines().any(|line| line.trim().trim_start_matches('/') == wanted);
        made.not_ignored = IGNORED.iter().filter(|line| !has(line)).map(|line| (*line).to_owned()).collect();
    }
    Ok(made)
}

/// Creates a file that is not there yet; false where something stands in its place.
fn create(path: &Path, content: &str, mode: u32) -> Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => {
            let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
            written.map_err(|e| unwritable(path, e))?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(unwritable(path, e)),
    }
}

fn report(made: &Made) -> String {
    let mut lines = vec![match made.made.as_slice() {
        [] => format!("{} was a project already; nothing was changed", made.dir.display()),
        new => format!("{}: made {}", made.dir.display(), new.join(", ")),
    }];
    if !made.made.is_empty() && !made.kept.is_empty() {
        lines.push(format!("left as it was: {}", made.kept.join(", ")));
    }
    if made.made.iter().any(|name| name == "config.json") {
        lines.push("\nnext:".to_owned());
        lines.push("  1. put a connection into \"connections\" of config.json, such as".to_owned());
        lines.push(FIRST.to_owned());
        lines.push("     and its passwords, if it has any, into secrets.toml".to_owned());
        lines.push("  2. waybill config validate           is it right?".to_owned());
        lines.push("  3. waybill connection test sales     can it be reached?".to_owned());
        lines.push("  4. waybill run sales                 the data goes to waybill.db".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::config::load;
    use crate::store::project::{Env, Flags};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_project_is_valid_and_its_secrets_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        let made = make(&dir).unwrap();
        assert_eq!(made.made, [".gitignore", "secrets.toml", "config.json", "runs/", "run_logs/"]);
        let flags = Flags { project_dir: Some(dir.clone()), ..Flags::default() };
        let project = Project::locate(&flags, Env::default(), &dir).unwrap();
        let config = load(&project).unwrap();
        assert!(config.findings.is_empty() && config.connections.is_empty());
        assert!(crate::secrets::check(&project, &config).unwrap().is_empty());
        let mode = fs::metadata(dir.join("secrets.toml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(report(&made).contains("waybill run sales"));
        // The connection that it proposes is one that the loader takes.
        let with = CONFIG.replace("[]", &format!("[{FIRST}]"));
        fs::write(dir.join("config.json"), with).unwrap();
        let config = load(&project).unwrap();
        assert!(config.findings.is_empty() && config.valid().count() == 1);
    }

    #[test]
    fn what_is_there_stays_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "mine").unwrap();
        fs::write(folder.path().join(".gitignore"), "/runs/\n*.db\n").unwrap();
        let made = make(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("config.json")).unwrap(), "mine");
        assert_eq!(made.kept, [".gitignore", "config.json"]);
        assert_eq!(made.not_ignored, ["secrets.toml", ".env", "run_logs/", "backups/", "*.lock", ".*.tmp"]);
        let again = make(folder.path()).unwrap();
        assert!(again.made.is_empty() && report(&again).contains("nothing was changed"));
        fs::remove_dir(folder.path().join("runs")).unwrap();
        fs::write(folder.path().join("runs"), "").unwrap();
        assert_eq!(make(folder.path()).unwrap_err().exit_code(), 3);
    }
}
