//! A config.json that takes no writing: the run succeeds with a warning, and the next one adopts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use serde_json::json;

use super::Ground;
use crate::fixture::mounts::privately;
use crate::fixture::{Finished, Project, Running};

/// A project that has run once, with everything that is written outside of its own folder.
struct Apart {
    ground: Ground,
    elsewhere: tempfile::TempDir,
}

impl Apart {
    fn new(name: &str) -> Apart {
        let elsewhere = tempfile::tempdir().unwrap();
        let ground = Ground::new(name, "append", false);
        let target = elsewhere.path().join("waybill.db");
        ground.project.edit(|config| config["destinations"]["local"]["path"] = json!(target));
        let apart = Apart { ground, elsewhere };
        apart.finish(&mut apart.command()).exits(0);
        apart.ground.add(11, 20);
        apart
    }

    fn project(&self) -> &Project {
        &self.ground.project
    }

    fn command(&self) -> Command {
        self.away(self.project().command(&["run", "c"]))
    }

    fn away(&self, mut command: Command) -> Command {
        for (variable, folder) in
            [("RUNS_DIR", "runs"), ("RUN_LOGS_DIR", "run_logs"), ("BACKUPS_DIR", "backups")]
        {
            command.env(variable, self.elsewhere.path().join(folder));
        }
        command
    }

    /// The program as a user to whom permissions apply, whoever runs the tests.
    fn as_ordinary_user(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set",
            "-all",
            "--inh-caps",
            "-all",
            env!("CARGO_BIN_EXE_waybill"),
            "run",
            "c",
        ]);
        command.current_dir(self.project().dir()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.project().dir());
        self.away(command)
    }

    fn finish(&self, command: &mut Command) -> Finished {
        Running::start(command).wait()
    }

    fn rows(&self) -> String {
        let sql = "SELECT count(*) || '|' || count(DISTINCT id) FROM t";
        crate::fixture::project::sqlite_rows(&self.elsewhere.path().join("waybill.db"), sql).remove(0)
    }

    /// The run succeeded with a warning, the config is as it was, and the next run goes on.
    fn warned_and_adopts(&self, finished: &Finished, part: &str, free: impl FnOnce()) {
        assert_eq!(finished.code, 0, "{finished:?}");
        let said = format!("{}{}", finished.out, finished.err);
        assert!(
            said.contains("the state could not be written into the config") && said.contains(part),
            "{said}"
        );
        assert_eq!(self.rows(), "20|20");
        assert_eq!(self.ground.entry()["cursor"], 10, "the config is as it was");
        let left = fs::read_dir(self.project().dir()).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(!left.iter().any(|name| name.ends_with(".tmp")), "{left:?}");
        free();
        self.ground.add(21, 25);
        let again = self.finish(&mut self.command()).exits(0);
        assert!(!again.err.contains("could not be written"), "{again:?}");
        assert_eq!(self.rows(), "25|25");
        assert_eq!(self.ground.entry()["cursor"], 25);
    }
}

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_read_only_file_is_not_replaced() {
    let apart = Apart::new("read_only_file");
    let config = apart.project().path("config.json");
    mode(&config, 0o444);
    let inode = fs::metadata(&config).unwrap().ino();
    let finished = apart.finish(&mut apart.as_ordinary_user());
    assert_eq!(fs::metadata(&config).unwrap().ino(), inode);
    apart.warned_and_adopts(&finished, "config.json", || mode(&config, 0o644));
}

#[test]
fn a_read_only_folder() {
    let apart = Apart::new("read_only_folder");
    mode(apart.project().dir(), 0o555);
    let finished = apart.finish(&mut apart.as_ordinary_user());
    apart.warned_and_adopts(&finished, "cannot be written", || mode(apart.project().dir(), 0o755));
}

#[test]
fn an_entry_without_an_id_in_a_config_that_cannot_be_written_gets_the_line_to_add() {
    let apart = Apart::new("no_id");
    let config = apart.project().path("config.json");
    apart.project().edit(|config| drop(config["connections"][0].as_object_mut().unwrap().shift_remove("id")));
    mode(&config, 0o444);
    let text = fs::read_to_string(&config).unwrap();
    let finished = apart.finish(&mut apart.as_ordinary_user()).exits(3);
    finished.says(&["has no id", "add this line to the connection: \"id\": \""]);
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    assert_eq!(apart.rows(), "10|10");
}

#[test]
fn a_file_mounted_over_the_config_cannot_be_replaced() {
    privately(|mounts| {
        let apart = Apart::new("bind");
        let (config, behind) =
            (apart.project().path("config.json"), apart.elsewhere.path().join("config.json"));
        fs::copy(&config, &behind).unwrap();
        let mounted = mounts.over(&behind, &config);
        let mut command = apart.command();
        mounted.before(&mut command);
        let finished = apart.finish(&mut command);
        assert!(fs::read(&config).unwrap() == fs::read(&behind).unwrap());
        apart.warned_and_adopts(&finished, "busy", || drop(mounted));
    });
}

#[test]
fn a_full_folder_of_the_config() {
    privately(|mounts| {
        let apart = Apart::new("full_folder");
        let folder = apart.project().path("conf");
        let tiny = mounts.tiny(&folder, 64);
        for file in ["config.json", "source.db"] {
            fs::copy(apart.project().path(file), folder.join(file)).unwrap();
        }
        let before = fs::read(folder.join("config.json")).unwrap();
        let run = || {
            let mut command = apart.away(apart.project().command(&["run", "c", "--project-dir", "conf"]));
            tiny.before(&mut command);
            apart.finish(&mut command)
        };
        // The lock file beside the config is there from earlier edits; a full disk has room for no more.
        fs::write(folder.join("config.json.lock"), "").unwrap();
        tiny.leave(0);
        let finished = run().exits(0);
        finished.says(&["the state could not be written into the config", "No space left"]);
        assert_eq!(apart.rows(), "20|20");
        assert_eq!(fs::read(folder.join("config.json")).unwrap(), before);
        tiny.room();
        run().exits(0);
        assert_eq!(apart.rows(), "20|20");
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        assert!(text.contains("\"cursor\": 20"), "{text}");
    });
}

#[test]
fn a_symbolic_link_stays_one_and_its_file_is_written() {
    let apart = Apart::new("link");
    let config = apart.project().path("config.json");
    let real = apart.elsewhere.path().join("real.json");
    fs::rename(&config, &real).unwrap();
    // A link to a link.
    symlink("second.json", &config).unwrap();
    symlink(&real, apart.project().path("second.json")).unwrap();
    apart.finish(&mut apart.command()).exits(0);
    assert_eq!(apart.rows(), "20|20");
    for link in ["config.json", "second.json"] {
        assert!(fs::symlink_metadata(apart.project().path(link)).unwrap().is_symlink());
    }
    assert_eq!(apart.ground.entry()["cursor"], 20);
    assert!(fs::read_to_string(&real).unwrap().contains("\"cursor\": 20"));
}
