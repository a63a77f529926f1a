use super::*;

fn row(cursor: i64, based_on: Option<&str>) -> StateRow {
    let floor = Some(CursorValue::Int(cursor));
    StateRow {
        scope: "stream:s".into(),
        value: StreamState { floor: floor.clone(), ceiling: floor, ..StreamState::default() }.to_value(),
        based_on: based_on.map(str::to_owned),
        fingerprint: "f".into(),
        run_id: "r".into(),
        commit_id: "c".into(),
        rows: 10,
        table: TableRef { namespace: None, name: "s".into() },
    }
}

fn entry(value: Value) -> StateEntry {
    StateEntry::parse(&value).unwrap()
}

fn written(cursor: i64) -> StateEntry {
    StateEntry::written(Some(json!(cursor)), None)
}

fn decide(
    entry: Option<&StateEntry>,
    row: Option<&StateRow>,
    fingerprint: &str,
    empty: bool,
) -> Result<Decision, Error> {
    reconcile(&Known {
        connection: "c",
        stream: "s",
        entry,
        row,
        fingerprint,
        table: &TableRef { namespace: None, name: "s".into() },
        table_empty: empty,
        on_empty: OnEmpty::Refuse,
        cursor: Some(Logical::Int64),
        append: true,
    })
}

fn floor(decision: &Decision) -> Option<i64> {
    match &decision.start {
        Start::Continue(state) => match state.floor {
            Some(CursorValue::Int(n)) => Some(n),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn first_load_and_a_lost_destination() {
    assert_eq!(decide(None, None, "f", true).unwrap().start, Start::First);
    let refused = decide(Some(&written(5)), None, "f", true).unwrap_err();
    assert!(
        refused.message().contains("accept: continues from 5; reset: loads everything again"),
        "{refused}"
    );
    assert!(refused.get_hint().unwrap().contains("waybill state reset c --stream s"));
}

#[test]
fn the_destination_wins_unless_a_person_edited() {
    let behind = decide(Some(&written(5)), Some(&row(9, None)), "f", false).unwrap();
    assert_eq!((behind.rule, floor(&behind)), ("5", Some(9)));
    let missing = decide(None, Some(&row(9, None)), "f", false).unwrap();
    assert_eq!((missing.rule, floor(&missing)), ("5", Some(9)));
    let edited = entry(json!({"cursor": 3, "digest": written(5).content_digest()}));
    let honoured = decide(Some(&edited), Some(&row(9, None)), "f", false).unwrap();
    assert_eq!((honoured.rule, floor(&honoured), honoured.warn), ("6", Some(3), true));
    // The run that honoured the edit could not merge: the edit is not followed twice.
    let followed = decide(Some(&edited), Some(&row(12, Some(&edited.whole_digest()))), "f", false).unwrap();
    assert_eq!((followed.rule, floor(&followed)), ("5", Some(12)));
    // It could, and the person makes the same edit again: that is a new one.
    let mut again = StateEntry::written_after_edit(Some(json!(12)), None).to_value();
    again["cursor"] = json!(3);
    let based_on = edited.whole_digest();
    let honoured = decide(Some(&entry(again)), Some(&row(12, Some(&based_on))), "f", false).unwrap();
    assert_eq!((honoured.rule, floor(&honoured)), ("6", Some(3)));
}

#[test]
fn an_instruction_is_carried_out_once() {
    let reset = entry(json!({"reset": "n1"}));
    let first = decide(Some(&reset), Some(&row(9, None)), "f", false).unwrap();
    assert_eq!((first.start.clone(), first.based_on.as_deref()), (Start::Rebuild, Some("n1")));
    let again = decide(Some(&reset), Some(&row(9, Some("n1"))), "f", false).unwrap();
    assert_eq!((again.rule, floor(&again), again.based_on.as_deref()), ("5", Some(9), Some("n1")));
    let set = entry(json!({"set": {"cursor": 2, "nonce": "n2"}}));
    assert_eq!(floor(&decide(Some(&set), Some(&row(9, None)), "other", false).unwrap()), Some(2));
}

#[test]
fn another_fingerprint_or_an_emptied_table_is_refused_until_accepted() {
    assert_eq!(decide(Some(&written(9)), Some(&row(9, None)), "g", false).unwrap_err().kind(), Kind::Schema);
    assert!(decide(Some(&written(9)), Some(&row(9, None)), "f", true).is_err());
    let accept = entry(json!({"accept": "n", "cursor": 4}));
    let accepted = decide(Some(&accept), Some(&row(9, None)), "g", true).unwrap();
    assert_eq!((accepted.rule, floor(&accepted)), ("1", Some(9)));
    assert_eq!(floor(&decide(Some(&accept), None, "f", true).unwrap()), Some(4));
}
