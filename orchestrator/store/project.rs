//! Where a project's files lie, what its environment says, and where each of these comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use waybill_protocol::{Error, Result};

/// Where a value comes from. Its text form goes into the record and onto the screen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The command line.
    Flag,
    /// A variable of the process environment.
    Environment(String),
    /// A variable of the project's `.env`.
    Dotenv(String),
    /// The entry itself in config.json.
    Config,
    /// The member `defaults` of config.json.
    ConfigDefaults,
    /// secrets.toml, as it stands there or by a reference.
    Secrets,
    /// Found by looking for config.json in the working directory and its ancestors.
    Search,
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("flag"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Dotenv(name) => write!(f, ".env {name}"),
            Origin::Config => f.write_str("config.json"),
            Origin::ConfigDefaults => f.write_str("config.json defaults"),
            Origin::Secrets => f.write_str("secrets.toml"),
            Origin::Search => f.write_str("nearest config.json"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// The environment as the program sees it: the process's variables before those of `.env`.
#[derive(Clone, Default)]
pub struct Env {
    process: BTreeMap<String, String>,
    dotenv: BTreeMap<String, String>,
}

// Variables hold secrets: only their names may be seen.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("dotenv", &self.dotenv.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Env {
    /// The environment of this process.
    pub fn from_process() -> Env {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        Env::from_map(std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect())
    }

    /// An environment of the given variables.
    pub fn from_map(process: BTreeMap<String, String>) -> Env {
        Env { process, dotenv: BTreeMap::new() }
    }

    /// Reads a `.env` file behind the process's variables; one that is not there is fine.
    pub fn with_dotenv(mut self, file: &Path) -> Result<Env> {
        let entries = match dotenvy::from_path_iter(file) {
            Ok(entries) => entries,
            Err(dotenvy::Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(self),
            Err(e) => return Err(dotenv_error(file, &e)),
        };
        for entry in entries {
            let (name, value) = entry.map_err(|e| dotenv_error(file, &e))?;
            self.dotenv.insert(name, value);
        }
        Ok(self)
    }

    /// A variable with its origin.
    pub fn get(&self, name: &str) -> Option<(&str, Origin)> {
        if let Some(value) = self.process.get(name) {
            return Some((value, Origin::Environment(name.to_owned())));
        }
        self.dotenv.get(name).map(|value| (value.as_str(), Origin::Dotenv(name.to_owned())))
    }

    /// Names of all variables, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let more = self.dotenv.keys().filter(|name| !self.process.contains_key(*name));
        self.process.keys().chain(more).map(String::as_str)
    }
}

// The parser's own message repeats the line, which may hold a secret: only the place is said.
fn dotenv_error(file: &Path, error: &dotenvy::Error) -> Error {
    match error {
        dotenvy::Error::Io(e) => Error::config(format!("{}: cannot be read: {e}", file.display())),
        dotenvy::Error::LineParse(line, _) => {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let first = line.lines().next().unwrap_or_default();
            let number = text.lines().position(|line| line.contains(first)).map_or(1, |at| at + 1);
            Error::config(format!("{}:{number}: the line is not NAME=value", file.display()))
                .hint("write NAME=value lines; put a value with spaces, # or $ in single quotes")
        }
        _ => Error::config(format!("{}: not a file of NAME=value lines", file.display()))
            .hint("write NAME=value lines"),
    }
}

/// What the command line says about places; relative paths start at the working directory.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--project-dir`.
    pub project_dir: Option<PathBuf>,
    /// The config file.
    pub config: Option<PathBuf>,
    /// The secrets file.
    pub secrets: Option<PathBuf>,
    /// The folder of summaries.
    pub runs_dir: Option<PathBuf>,
    /// The folder of event logs.
    pub run_logs_dir: Option<PathBuf>,
    /// The folder of earlier versions of the config.
    pub backups_dir: Option<PathBuf>,
}

/// The places of a project.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project directory.
    pub dir: PathBuf,
    /// config.json.
    pub config_path: PathBuf,
    /// secrets.toml.
    pub secrets_path: PathBuf,
    /// Summaries and run locks.
    pub runs_dir: PathBuf,
    /// Event logs.
    pub run_logs_dir: PathBuf,
    /// Earlier versions of config.json.
    pub backups_dir: PathBuf,
    /// The environment, `.env` included.
    pub env: Env,
    /// When it was looked at; a bundle shows a project as it was then. Absent: it is looked at now.
    pub as_of: Option<DateTime<Utc>>,
    /// Field of this type → where its value comes from.
    pub origins: BTreeMap<&'static str, Origin>,
}

impl Project {
    /// Finds the project: flag, `WAYBILL_PROJECT_DIR`, the nearest ancestor of the working
    /// directory with a config.json, the working directory; then `.env` and the single paths.
    /// Nothing needs to exist yet.
    pub fn locate(flags: &Flags, env: Env, cwd: &Path) -> Result<Project> {
        let (dir, origin) = find_dir(flags, &env, cwd);
        if dir.exists() && !dir.is_dir() {
            return Err(Error::config(format!("{} is not a folder ({origin})", dir.display()))
                .hint("name the project's folder, not a file in it"));
        }
        let env = env.with_dotenv(&dir.join(".env"))?;
        let mut origins = BTreeMap::from([("dir", origin)]);
        let mut pick = |field: &'static str, flag: &Option<PathBuf>, name: &str, default: &str| {
            let (path, origin) = match (flag, env.get(name).filter(|(value, _)| !value.is_empty())) {
                (Some(path), _) => (cwd.join(path), Origin::Flag),
                (None, Some((path, origin @ Origin::Environment(_)))) => (cwd.join(path), origin),
                (None, Some((path, origin))) => (dir.join(path), origin),
                (None, None) => (dir.join(default), Origin::Default),
            };
            origins.insert(field, origin);
            path
        };
        let config_path = pick("config_path", &flags.config, "ORCH_CONFIG_PATH", "config.json");
        let secrets_path = pick("secrets_path", &flags.secrets, "SECRETS_PATH", "secrets.toml");
        let runs_dir = pick("runs_dir", &flags.runs_dir, "RUNS_DIR", "runs");
        let run_logs_dir = pick("run_logs_dir", &flags.run_logs_dir, "RUN_LOGS_DIR", "run_logs");
        let backups_dir = pick("backups_dir", &flags.backups_dir, "BACKUPS_DIR", "backups");
        Ok(Project {
            dir,
            config_path,
            secrets_path,
            runs_dir,
            run_logs_dir,
            backups_dir,
            env,
            as_of: None,
            origins,
        })
    }

    /// The folder that relative paths in config.json start at.
    pub fn base_dir(&self) -> PathBuf {
        self.config_path.parent().map_or_else(|| self.dir.clone(), Path::to_path_buf)
    }

    /// The folder that relative paths in secrets.toml start at.
    pub fn secrets_dir(&self) -> PathBuf {
        self.secrets_path.parent().map_or_else(|| self.dir.clone(), Path::to_path_buf)
    }
}

fn find_dir(flags: &Flags, env: &Env, cwd: &Path) -> (PathBuf, Origin) {
    if let Some(dir) = &flags.project_dir {
        return (cwd.join(dir), Origin::Flag);
    }
    if let Some((dir, origin)) = env.get("WAYBILL_PROJECT_DIR").filter(|(dir, _)| !dir.is_empty()) {
        return (cwd.join(dir), origin);
    }
    match cwd.ancestors().find(|dir| dir.join("config.json").is_file()) {
        Some(dir) if dir == cwd => (dir.to_path_buf(), Origin::Default),
        Some(dir) => (dir.to_path_buf(), Origin::Search),
        None => (cwd.to_path_buf(), Origin::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_map(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_order_is_flag_environment_dotenv_default() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path();
        let project = cwd.join("p");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(
            project.join(".env"),
            "RUNS_DIR=from_dotenv\nBACKUPS_DIR='b c'\nSECRETS_PATH=never\nORCH_CONFIG_PATH=\n",
        )
        .unwrap();
        let flags = Flags { secrets: Some("s.toml".into()), ..Flags::default() };
        let env = env(&[
            ("WAYBILL_PROJECT_DIR", "p"),
            ("SECRETS_PATH", "never2"),
            ("RUN_LOGS_DIR", "/abs/logs"),
            ("BACKUPS_DIR", "bb"),
        ]);
        let found = Project::locate(&flags, env, cwd).unwrap();
        assert_eq!(found.dir, project);
        assert_eq!(found.secrets_path, cwd.join("s.toml"));
        assert_eq!(found.runs_dir, project.join("from_dotenv"));
        assert_eq!(found.run_logs_dir, Path::new("/abs/logs"));
        assert_eq!(found.backups_dir, cwd.join("bb"));
        assert_eq!(found.config_path, project.join("config.json"));
        let origin = |field: &str| found.origins[field].to_string();
        assert_eq!(origin("dir"), "environment WAYBILL_PROJECT_DIR");
        assert_eq!(origin("secrets_path"), "flag");
        assert_eq!(origin("runs_dir"), ".env RUNS_DIR");
        assert_eq!(origin("backups_dir"), "environment BACKUPS_DIR");
        assert_eq!(origin("config_path"), "default");
        assert_eq!(std::env::var_os("BACKUPS_DIR"), None);
    }

    #[test]
    fn the_nearest_ancestor_with_a_config_is_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(folder.path().join("a/config.json"), "{}").unwrap();
        let found = Project::locate(&Flags::default(), Env::default(), &deep).unwrap();
        assert_eq!(found.dir, folder.path().join("a"));
        assert_eq!(found.origins["dir"], Origin::Search);
        let flags = Flags { project_dir: Some("..".into()), ..Flags::default() };
        let found = Project::locate(&flags, Env::default(), &deep).unwrap();
        assert_eq!(found.dir, deep.join(".."));
    }

    #[test]
    fn a_bad_dotenv_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "GOOD=1\nhunter2 'is broken\n").unwrap();
        let error = Project::locate(&Flags::default(), Env::default(), folder.path()).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let all = format!("{error:?} {error} {:?}", error.causes());
        assert!(all.contains(".env:2: ") && !all.contains("hunter2"), "{all}");
        std::fs::remove_file(folder.path().join(".env")).unwrap();
        std::fs::create_dir(folder.path().join(".env")).unwrap();
        let error = Project::locate(&Flags::default(), Env::default(), folder.path()).unwrap_err();
        assert!(error.message().contains("cannot be read"), "{error}");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let flags = Flags { project_dir: Some(file), ..Flags::default() };
        assert!(Project::locate(&flags, Env::default(), folder.path()).is_err());
    }
}
