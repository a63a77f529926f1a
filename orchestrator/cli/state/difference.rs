//! How two sides of a state stand to each other, in words (pure).

use std::cmp::Ordering;

use serde_json::Value;
use waybill_protocol::state::digest;
use waybill_protocol::{CursorValue, StateRow, StreamState};

use super::cursor_type;
use super::view::{Standing, View};
use crate::store::state::StreamDocument;

/// How the destination stands to an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    /// Neither has a state.
    Neither,
    /// The very same state.
    Equal,
    /// The destination has gone on since.
    Ahead,
    /// The destination was set back since.
    Behind,
    /// They differ otherwise.
    Differs,
    /// The settings are others: cursor, key, filter, mode or source.
    OtherSettings,
    /// Only the destination has a state.
    OnlyDestination,
    /// Only the export has one.
    OnlyExport,
}

impl Against {
    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Against::Neither => "nothing was loaded yet",
            Against::Equal => "equal",
            Against::Ahead => "destination ahead of the export",
            Against::Behind => "destination behind the export",
            Against::Differs => "differs from the export",
            Against::OtherSettings => "exported under other settings of the stream",
            Against::OnlyDestination => "missing in the export",
            Against::OnlyExport => "missing at the destination",
        }
    }
}

/// Compares the destination's row with an export.
pub(super) fn against(row: Option<&StateRow>, export: Option<&StreamDocument>) -> Against {
    let (row, export) = match (row, export) {
        (None, None) => return Against::Neither,
        (Some(_), None) => return Against::OnlyDestination,
        (None, Some(_)) => return Against::OnlyExport,
        (Some(row), Some(export)) => (row, export),
    };
    if row.fingerprint != export.fingerprint {
        return Against::OtherSettings;
    }
    if digest(&row.value) == export.digest {
        return Against::Equal;
    }
    let state = StreamState::from_value(&row.value).unwrap_or_default();
    let floors = order(state.floor.as_ref(), export.floor.as_ref());
    let ceilings = order(state.ceiling.as_ref(), export.ceiling.as_ref());
    match floors.filter(|order| order.is_ne()).or(ceilings) {
        Some(Ordering::Greater) => Against::Ahead,
        Some(Ordering::Less) => Against::Behind,
        _ => Against::Differs,
    }
}

/// The order of two ends; an absent one is below all.
fn order(a: Option<&CursorValue>, b: Option<&CursorValue>) -> Option<Ordering> {
    match (a, b) {
        (Some(a), Some(b)) => a.order(b),
        (a, b) => Some(a.is_some().cmp(&b.is_some())),
    }
}

/// How the config stands to the destination, as a person would say it.
pub(super) fn standing_word(view: &View, row: Option<&StateRow>) -> &'static str {
    match view.standing {
        Standing::Nothing => "nothing was loaded yet",
        Standing::Agrees => "equal",
        Standing::Whole => "read whole by every run",
        Standing::Edited => "edited by hand",
        Standing::EditFollowed => "edited by hand, and followed by a run",
        Standing::OnlyDestination => "missing in the config",
        Standing::OnlyConfig => "missing at the destination",
        Standing::InstructionWaits => "instruction waiting",
        Standing::InstructionDone => "instruction done",
        Standing::Unknown => "the destination could not be asked",
        Standing::Differs => match row.and_then(|row| mirror(view.config.as_ref(), row)) {
            Some(Ordering::Less) => "config behind",
            Some(Ordering::Greater) => "config ahead",
            _ => "config behind or ahead",
        },
    }
}

/// The order of the config's cursor and the destination's.
fn mirror(config: Option<&Value>, row: &StateRow) -> Option<Ordering> {
    let held = StreamState::from_value(&row.value).ok()?;
    let cursor = config?.get("cursor")?;
    if let (Some(files), Some(rows)) = (&held.files, cursor.get("rows").and_then(Value::as_u64)) {
        return Some(rows.cmp(&files.rows));
    }
    let logical = cursor_type::of_row(row)?;
    CursorValue::parse(cursor, logical).ok()?.order(held.floor.as_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use waybill_protocol::TableRef;

    fn row(floor: i64) -> StateRow {
        let floor = Some(CursorValue::Int(floor));
        StateRow {
            scope: "stream:s".into(),
            value: StreamState { ceiling: floor.clone(), floor, ..StreamState::default() }.to_value(),
            based_on: None,
            fingerprint: "f".into(),
            run_id: "r".into(),
            commit_id: "c".into(),
            rows: 1,
            table: TableRef { namespace: None, name: "s".into() },
        }
    }

    #[test]
    fn a_destination_is_equal_ahead_behind_or_missing() {
        let export = StreamDocument::of(&row(5));
        let against = |floor| against(Some(&row(floor)), Some(&export));
        assert_eq!([against(5), against(9), against(3)], [Against::Equal, Against::Ahead, Against::Behind]);
        assert_eq!(super::against(None, Some(&export)), Against::OnlyExport);
        assert_eq!(super::against(Some(&row(5)), None), Against::OnlyDestination);
        let other = StateRow { fingerprint: "g".into(), ..row(5) };
        assert_eq!(super::against(Some(&other), Some(&export)), Against::OtherSettings);
    }

    #[test]
    fn a_config_is_behind_or_ahead_as_its_type_orders() {
        assert_eq!(mirror(Some(&json!({"cursor": 9})), &row(10)), Some(Ordering::Less));
        assert_eq!(mirror(Some(&json!({"cursor": "11"})), &row(10)), Some(Ordering::Greater));
        assert_eq!(mirror(Some(&json!({"cursor": "x"})), &row(10)), None);
    }
}
