//! Nobody reads what the program writes: exit code 141 for data, and the data of a run is safe.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::fixture::{Project, script};

fn project() -> Project {
    script::source(script::by_cursor("append"), json!([script::whole(40)]))
}

/// A pipe whose reader is gone.
fn nobody() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn code(command: &mut Command) -> i32 {
    command.stdin(Stdio::null()).status().unwrap().code().expect("no signal ends it")
}

#[test]
fn commands_whose_reader_is_gone_exit_141() {
    let project = project();
    project.run().exits(0);
    for words in [
        &["runs", "list"][..],
        &["runs", "list", "--output", "json"],
        &["runs", "show", "last"],
        &["runs", "events", "last"],
        &["state", "show", "c"],
        &["connection", "list"],
        &["connection", "discover", "c", "--output", "json"],
        &["config", "show"],
        &["schema", "config"],
        &["completions", "bash"],
        &["headless", "nobody"],
    ] {
        let mut command = project.command(words);
        assert_eq!(code(command.stdout(nobody()).stderr(Stdio::null())), 141, "{words:?}");
    }
}

#[test]
fn a_run_whose_readers_are_gone_loads_everything_and_keeps_its_record() {
    for (words, out, err, expected) in [
        (&["run", "c"][..], true, false, 141),
        (&["run", "c", "--output", "json"], true, true, 141),
        (&["headless", "c"], true, false, 141),
        (&["run", "c"], false, true, 0),
        (&["run", "c", "--verbose"], false, true, 0),
        (&["headless", "c", "--events", "stderr"], false, true, 0),
    ] {
        let project = project();
        let mut command = project.command(words);
        let to = |gone: bool| if gone { nobody() } else { Stdio::null() };
        let code = code(command.stdout(to(out)).stderr(to(err)));
        assert_eq!(code, expected, "{words:?} {out} {err}");
        assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "40|40");
        let log = project.log();
        log.check();
        assert!(log.ended());
        let summary = project.summary();
        assert_eq!(
            (&summary["status"], &summary["exit_code"]),
            (&json!("succeeded"), &json!(0)),
            "{words:?}"
        );
        assert_eq!(project.state("s")["cursor"], 40);
    }
}

#[test]
fn a_run_without_open_descriptors_loads_everything() {
    let project = project();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh", env!("CARGO_BIN_EXE_waybill"), "run", "c"]);
    let code = code(command.current_dir(project.dir()).env_clear().env("HOME", project.dir()));
    // The runtime opens /dev/null in their place, which takes everything.
    assert!([0, 141].contains(&code), "{code}");
    assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "40|40");
    assert!(project.log().ended());
}
