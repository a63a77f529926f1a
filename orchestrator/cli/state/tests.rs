//! The commands on a real project with a real SQLite destination.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Commit, CursorValue, StateRow, StreamState, TableRef};

use super::instruct::{InstructArgs, Instruction, candidates, instruct};
use super::show;
use super::view::Standing;
use super::write::{Done, Manner};
use crate::cli::args::{ColorChoice, LookFlags};
use crate::cli::connection::session::Systems;
use crate::cli::terminal::Terminal;
use crate::store::config::load;
use crate::store::lock::{Holder, RunLock};
use crate::store::project::Project;
use crate::store::state::StateEntry;
use crate::store::testing::Home;

const ID: &str = "0b0e7a52-5b5c-4a5e-9d3e-7b1f3a1c0001";

fn home(state: &Value) -> Home {
    Home::new(&format!(
        r#"{{"destinations": {{"lake": {{"type": "sqlite", "path": "lake.db"}}}}, "connections": [
    {{"id": "{ID}", "name": "shop", "type": "sqlite", "schema": {{"path": "shop.db", "streams": [
      {{"name": "orders", "mode": "incremental", "cursor": "id"}},
      {{"name": "items", "mode": "incremental", "cursor": "id"}},
      {{"name": "lists"}}, {{"name": "ref_*"}}]}},
     "state": {state}}}]}}"#
    ))
}

fn state(home: &Home) -> Value {
    serde_json::from_str::<Value>(&home.config()).unwrap()["connections"][0]["state"].clone()
}

fn plain() -> Terminal {
    Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() })
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn write(
    project: &Project,
    name: &str,
    streams: &[String],
    instruction: Instruction,
) -> waybill_protocol::Result<Vec<Done>> {
    let manner = Manner { word: instruction.word(), dry_run: false };
    super::instruct::write(project, name, streams, instruction, manner)
}

#[test]
fn instructions_take_the_place_of_positions_with_one_backup() {
    let entry = StateEntry::written(Some(json!(7)), None).to_value();
    let home = home(&json!({"orders": entry, "ref_a": {}}));
    let config = load(&home.project).unwrap();
    let all = candidates(config.connection("shop").unwrap());
    assert_eq!(all, ["orders", "items", "lists", "ref_a"]);
    let done = write(&home.project, "shop", &all, Instruction::Reset).unwrap();
    let written: Vec<bool> = done.iter().map(|done| done.written).collect();
    assert_eq!(written, [true, true, false, false], "{done:?}");
    assert_eq!(home.backups().len(), 1);
    let after = state(&home);
    assert!(after["orders"]["reset"].is_string() && after["items"]["reset"].is_string());
    assert!(after["orders"].get("cursor").is_none() && after.get("lists").is_none());
    // An accept keeps the cursor of the config as the way on where the destination has nothing.
    let home = self::home(&json!({"orders": entry}));
    let done = write(&home.project, "shop", &names(&["orders"]), Instruction::Accept).unwrap();
    assert!(done[0].words.contains("from 7 where it holds nothing"), "{done:?}");
    assert_eq!(state(&home)["orders"]["cursor"], 7);
    // How many files were loaded is no place to go on from.
    let files = StateEntry::written(Some(json!({"files": 1, "rows": 7})), None).to_value();
    let home = self::home(&json!({"orders": files}));
    let done = write(&home.project, "shop", &names(&["orders"]), Instruction::Accept).unwrap();
    assert!(done[0].words.contains("with a first load where it holds nothing"), "{done:?}");
    assert!(state(&home)["orders"].get("cursor").is_none());
}

#[test]
fn a_run_that_goes_on_is_not_disturbed() {
    let home = home(&json!({}));
    let holder = Holder { run_id: "r1".into(), pid: 1, since: Utc::now(), connection: "shop".into() };
    let _run = RunLock::acquire(&home.project, ID.parse().unwrap(), &holder, None).unwrap();
    let error = write(&home.project, "shop", &names(&["orders"]), Instruction::Reset).unwrap_err();
    assert_eq!(error.exit_code(), 6);
    assert!(error.message().contains("run r1"), "{error}");
    assert_eq!(state(&home), json!({}));
}

async fn loaded(home: &Home) {
    let config = Arc::new(load(&home.project).unwrap());
    let connection = config.connection("shop").unwrap();
    let systems = Systems::of(&home.project, &config, connection, &CancellationToken::new()).await.unwrap();
    let destination = systems.destination().await.unwrap();
    destination.begin().await.unwrap();
    let row = |stream: &str, floor: i64, based_on: Option<&str>| StateRow {
        scope: format!("stream:{stream}"),
        value: StreamState { floor: Some(CursorValue::Int(floor)), ..StreamState::default() }.to_value(),
        based_on: based_on.map(str::to_owned),
        fingerprint: "f".into(),
        run_id: "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000".into(),
        commit_id: "c0ffee00-1".into(),
        rows: 41_200,
        table: TableRef { namespace: None, name: stream.into() },
    };
    let states =
        vec![row("orders", 9, None), row("items", 5, Some("n1")), row("ref_a", 1, None), row("old", 1, None)];
    destination.write_states(&Commit { id: "c0ffee00-1".into(), states, ..Commit::default() }).await.unwrap();
    destination.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn config_and_destination_stand_side_by_side() {
    let mut edited = StateEntry::written(Some(json!(9)), None).to_value();
    edited["cursor"] = json!(3);
    let home = home(&json!({"orders": edited, "items": {"reset": "n1"}}));
    // A row with a full refresh: nobody looks at it.
    loaded(&home).await;
    let config = Arc::new(load(&home.project).unwrap());
    let connection = config.connection("shop").unwrap();
    let rows = show::rows(&home.project, &config, connection, &CancellationToken::new()).await.unwrap();
    let views = show::views(connection, Some(&rows), &[]).unwrap();
    let standing: BTreeMap<&str, Standing> =
        views.iter().map(|view| (view.stream.as_str(), view.standing)).collect();
    assert_eq!(standing["orders"], Standing::Edited);
    assert_eq!(standing["items"], Standing::InstructionDone);
    assert_eq!(standing["lists"], Standing::Nothing);
    assert_eq!((standing["ref_a"], standing["old"]), (Standing::Whole, Standing::OnlyDestination));
    let orders = views.iter().find(|view| view.stream == "orders").unwrap().render(&plain());
    assert_eq!(
        orders,
        "orders\n  config       3  (edited by hand)\n  destination  9  (41 200 rows in orders)\n               by run ffff0000, commit ffee00-1\n  the cursor was edited in the config; the next run starts from there"
    );
    let error = show::views(connection, Some(&rows), &names(&["ordres"])).err().unwrap();
    assert!(error.message().contains("did you mean \"orders\""), "{error}");
    assert_eq!(show::views(connection, None, &names(&["o*"])).unwrap()[0].standing, Standing::Unknown);
}

#[tokio::test]
async fn without_anybody_to_ask_a_missing_flag_is_wrong_usage() {
    let home = home(&json!({}));
    let before = home.config();
    let terminal = Terminal::new(&LookFlags { no_input: true, ..LookFlags::default() });
    let mut args = InstructArgs { name: "shop".into(), stream: vec![], all: false, dry_run: false };
    assert_eq!(instruct(&terminal, &home.project, &args, Instruction::Reset, true).unwrap(), 2);
    args.all = true;
    assert_eq!(instruct(&terminal, &home.project, &args, Instruction::Reset, false).unwrap(), 2);
    args.dry_run = true;
    assert_eq!(instruct(&terminal, &home.project, &args, Instruction::Reset, false).unwrap(), 0);
    assert_eq!(home.config(), before);
    args = InstructArgs { stream: names(&["ordres"]), all: false, ..args };
    let error = instruct(&terminal, &home.project, &args, Instruction::Reset, true).unwrap_err();
    assert!(error.message().contains("did you mean \"orders\""), "{error}");
}
