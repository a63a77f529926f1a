//! What stands in the config and at the destination about one stream, and how the two agree.

use serde::Serialize;
use serde_json::{Value, json};
use waybill_protocol::{StateRow, StreamSelection, StreamState, SyncMode};

use crate::cli::runs::look::short_id;
use crate::cli::terminal::Terminal;
use crate::store::state::StateEntry;
use crate::summary::units::{count, counted};

/// One stream.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) stream: String,
    /// Whether the config selects it.
    pub(super) selected: bool,
    /// The entry of the config.
    pub(super) config: Option<Value>,
    /// How the entry stands to the destination: see [`Standing`].
    pub(super) standing: Standing,
    /// The row at the destination.
    pub(super) destination: Option<Value>,
    #[serde(skip)]
    entry: Option<StateEntry>,
    #[serde(skip)]
    row: Option<StateRow>,
}

/// How the config's entry stands to the destination's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Nothing was ever loaded.
    Nothing,
    /// Both say the same.
    Agrees,
    /// The entry is as the program wrote it, and behind or ahead.
    Differs,
    /// A person edited the cursor.
    Edited,
    /// The edit was followed by a run.
    EditFollowed,
    /// The config has no entry.
    OnlyDestination,
    /// The destination has no row.
    OnlyConfig,
    /// An instruction waits for the next run.
    InstructionWaits,
    /// A run has carried out the instruction.
    InstructionDone,
    /// Every run reads the stream whole, whatever its state.
    Whole,
    /// The destination could not be asked.
    Unknown,
}

impl View {
    /// `row` is `None` where the destination has none; `asked` tells whether it was asked at all.
    pub(super) fn of(
        stream: &str,
        selection: Option<&StreamSelection>,
        entry: Option<&StateEntry>,
        row: Option<&StateRow>,
        asked: bool,
    ) -> View {
        let whole = selection.is_some_and(|selection| selection.mode == SyncMode::FullRefresh);
        View {
            stream: stream.to_owned(),
            selected: selection.is_some(),
            config: entry.map(StateEntry::to_value),
            standing: match (asked, whole && row.is_some()) {
                (false, _) => Standing::Unknown,
                (true, true) => Standing::Whole,
                (true, false) => standing(entry, row),
            },
            destination: row.map(|row| json!(row)),
            entry: entry.cloned(),
            row: row.cloned(),
        }
    }

    /// The stream for people.
    pub(super) fn render(&self, terminal: &Terminal) -> String {
        let unselected = if self.selected { "" } else { "  (not selected)" };
        let mut out = format!("{}{unselected}", terminal.paint("1", &self.stream));
        if let Some(entry) = &self.entry {
            out.push_str(&format!("\n  config       {}", entry_text(entry)));
        }
        if let Some(row) = &self.row {
            out.push_str(&format!("\n  destination  {}", row_text(row, self.standing)));
            let (run, commit) = (short_id(&row.run_id), short_id(&row.commit_id));
            out.push_str(&format!("\n               by run {run}, commit {commit}"));
        }
        out.push_str(&format!("\n  {}", self.words()));
        out
    }

    fn words(&self) -> &'static str {
        match self.standing {
            Standing::Nothing => "nothing was loaded yet",
            Standing::Agrees => "config and destination agree",
            Standing::Differs => "the config is behind or ahead; the next run goes by the destination",
            Standing::Edited => "the cursor was edited in the config; the next run starts from there",
            Standing::EditFollowed => "the cursor was edited in the config, and a run has followed it",
            Standing::OnlyDestination => "the config has no entry; the next run goes by the destination",
            Standing::OnlyConfig => {
                "the destination has no state; the next run refuses until reset or accept"
            }
            Standing::InstructionWaits => match self.entry {
                Some(StateEntry::Reset { .. }) => "the next run loads everything again",
                Some(StateEntry::Set { .. }) => "the next run starts from the cursor that was set",
                _ => "the next run goes on from what is there",
            },
            Standing::InstructionDone => "a run has carried out the instruction",
            Standing::Whole => "every run reads it whole (full_refresh)",
            Standing::Unknown => "the destination could not be asked",
        }
    }
}

fn standing(entry: Option<&StateEntry>, row: Option<&StateRow>) -> Standing {
    if let Some(nonce) = entry.and_then(StateEntry::nonce) {
        let done = row.is_some_and(|row| row.carried_out(nonce));
        return if done { Standing::InstructionDone } else { Standing::InstructionWaits };
    }
    match (entry, row) {
        (None, None) => Standing::Nothing,
        (None, Some(_)) => Standing::OnlyDestination,
        (Some(_), None) => Standing::OnlyConfig,
        (Some(entry), Some(row)) => {
            let held = StreamState::from_value(&row.value).map(|state| state.shown()).unwrap_or(Value::Null);
            let cursor = match entry {
                StateEntry::Position { cursor, .. } => cursor.clone().unwrap_or(Value::Null),
                _ => Value::Null,
            };
            if cursor == held {
                Standing::Agrees
            } else if entry.untouched() {
                Standing::Differs
            } else if row.based_on.as_deref() == Some(entry.whole_digest().as_str()) {
                Standing::EditFollowed
            } else {
                Standing::Edited
            }
        }
    }
}

fn entry_text(entry: &StateEntry) -> String {
    match entry {
        StateEntry::Position { cursor, digest, .. } => {
            let how = match (digest, entry.untouched()) {
                (_, true) => "as the program wrote it",
                (Some(_), false) => "edited by hand",
                (None, false) => "written by hand",
            };
            format!("{}  ({how})", cursor.as_ref().map_or_else(|| "no cursor".to_owned(), value_text))
        }
        StateEntry::Reset { .. } => "reset".to_owned(),
        StateEntry::Accept { cursor: None, .. } => "accept".to_owned(),
        StateEntry::Accept { cursor: Some(cursor), .. } => {
            format!("accept (stood at {})", value_text(cursor))
        }
        StateEntry::Set { cursor, .. } => format!("set to {}", value_text(cursor)),
    }
}

fn row_text(row: &StateRow, standing: Standing) -> String {
    let rows = counted(row.rows, "row");
    if standing == Standing::Whole {
        return format!("{rows} in {}", row.table);
    }
    let Ok(state) = StreamState::from_value(&row.value) else {
        return format!("unreadable state, {rows} in {}", row.table);
    };
    let mut out = format!("{}  ({rows} in {}", value_text(&state.shown()), row.table);
    if let Some(window) = state.window.filter(|window| window.count > 0) {
        out.push_str(&format!(", window of {}", count(window.count)));
    }
    if !state.open.is_empty() {
        let open = u64::try_from(state.open.len()).unwrap_or(u64::MAX);
        out.push_str(&format!(", {} open at the source", counted(open, "transaction")));
    }
    out.push(')');
    out
}

/// A cursor, or what a stream of files shows in its place.
pub(crate) fn value_text(value: &Value) -> String {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    match (value, number("files"), number("rows")) {
        (Value::Null, ..) => "the beginning".to_owned(),
        (Value::String(text), ..) => text.clone(),
        (_, Some(files), Some(rows)) => format!("{}, {}", counted(files, "file"), counted(rows, "row")),
        _ => value.to_string(),
    }
}
