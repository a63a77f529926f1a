//! The window's rules on small batches.

use super::*;
use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::Schema;
use std::sync::Arc;
use waybill_protocol::Logical;

fn batch(rows: &[(i64, &str)]) -> RecordBatch {
    let cursor: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)));
    let key: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1)));
    let fields = vec![Logical::Int64.field("c", true, ""), Logical::Text.field("k", false, "")];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![cursor, key]).unwrap()
}

fn names() -> Schema {
    batch(&[]).schema().as_ref().clone()
}

/// One run: reads the rows, commits with the floor; returns how many were fresh.
fn run(window: &mut Window, rows: &[(i64, &str)], floor: i64) -> u64 {
    let mut pending = Pending::default();
    pending.expect_floor(Some(CursorValue::Int(floor)));
    let batch = batch(rows);
    let cursor = CursorColumn::of(&batch, "c", false).unwrap();
    let filtered = window.filter(&mut pending, &batch, &cursor, None).unwrap();
    let expected = window.advance(&pending, Some(&CursorValue::Int(floor)));
    window.commit(&mut pending, Some(&CursorValue::Int(floor)));
    assert_eq!(window.digest(), expected.digest);
    filtered.batch.num_rows() as u64
}

#[test]
fn ties_at_the_border_are_loaded_once() {
    let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
    assert_eq!(run(&mut window, &[(1, "a"), (2, "b"), (2, "c")], 2), 3);
    assert_eq!(window.digest().count, 2);
    assert_eq!(run(&mut window, &[(2, "b"), (2, "c"), (2, "d"), (3, "e")], 3), 2);
    assert_eq!(window.digest().count, 1);
}

#[test]
fn without_a_key_equal_rows_are_counted() {
    let mut window = Window::new(&[], "c", &names()).unwrap();
    assert_eq!(run(&mut window, &[(2, "x"), (2, "x")], 2), 2);
    assert_eq!(run(&mut window, &[(2, "x"), (2, "x"), (2, "x")], 2), 1);
    assert_eq!(run(&mut window, &[(2, "x"), (2, "x"), (2, "x")], 2), 0);
}

#[test]
fn the_change_at_the_destination_makes_the_same_window() {
    let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
    run(&mut window, &[(1, "a"), (2, "b")], 1);
    let mut pending = Pending::default();
    let rows = batch(&[(3, "c")]);
    let cursor = CursorColumn::of(&rows, "c", false).unwrap();
    window.filter(&mut pending, &rows, &cursor, None).unwrap();
    let floor = Some(&CursorValue::Int(2));
    let advance = window.advance(&pending, floor);
    assert_eq!((advance.change.delete.len(), advance.change.insert.len()), (1, 1));
    window.commit(&mut pending, floor);
    let mut copy = Window::new(&["k".into()], "c", &names()).unwrap();
    copy.fill(window.all(), &advance.digest, "s").unwrap();
}

#[test]
fn what_the_destination_held_of_another_start_is_cleared_once() {
    let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
    let clears = |window: &Window| window.advance(&Pending::default(), None).change.clear;
    let mut next = window.clone();
    next.commit(&mut Pending::default(), None);
    assert!(clears(&window) && !clears(&next));
    window.fill(Vec::new(), &window.clone().digest(), "s").unwrap();
    assert!(!clears(&window));
}

#[test]
fn a_changed_type_of_an_identity_column_is_refused_while_rows_are_known() {
    let mut window = Window::new(&[], "c", &names()).unwrap();
    let wide = Schema::new(vec![Logical::Text.field("c", true, ""), Logical::Text.field("k", false, "")]);
    assert!(window.relabelled(&[], "c", &wide).is_ok());
    run(&mut window, &[(2, "x")], 2);
    assert_eq!(window.relabelled(&[], "c", &wide).unwrap_err().kind(), Kind::Schema);
    assert!(window.relabelled(&[], "c", &names()).is_ok());
}

#[test]
fn a_tampered_window_is_refused() {
    let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
    run(&mut window, &[(2, "a"), (2, "b")], 2);
    let mut entries = window.all();
    let stored = window.digest();
    entries.pop();
    let mut copy = Window::new(&["k".into()], "c", &names()).unwrap();
    assert_eq!(copy.fill(entries, &stored, "s").unwrap_err().kind(), Kind::Data);
    let mut other = Window::new(&[], "c", &names()).unwrap();
    assert_eq!(other.fill(Vec::new(), &stored, "s").unwrap_err().kind(), Kind::Schema);
}

/// One attempt in several commits: how many rows of each batch were fresh.
fn commits(window: &mut Window, batches: &[&[(i64, &str)]], ordered: bool, floor: i64) -> Vec<usize> {
    let mut pending = Pending::default();
    let floor = Some(CursorValue::Int(floor));
    pending.expect_floor(floor.clone());
    let mut fresh = Vec::new();
    for rows in batches {
        let batch = batch(rows);
        let cursor = CursorColumn::of(&batch, "c", ordered).unwrap();
        fresh.push(window.filter(&mut pending, &batch, &cursor, None).unwrap().batch.num_rows());
        window.commit(&mut pending, floor.as_ref());
        assert!(pending.seen.len() <= window.entries.len(), "memory is bounded by the window");
    }
    fresh
}

#[test]
fn equal_rows_on_either_side_of_a_commit_are_all_loaded() {
    let mut window = Window::new(&[], "c", &names()).unwrap();
    assert_eq!(commits(&mut window, &[&[(2, "x")], &[(2, "x"), (2, "x")], &[(2, "x")]], true, 2), [1, 2, 1]);
    assert_eq!(window.digest().count, 1);
    assert_eq!(
        commits(&mut window, &[&[(2, "x"), (2, "x")], &[(2, "x"), (2, "x"), (2, "x")]], true, 2),
        [0, 1]
    );
    assert_eq!(commits(&mut window, &[&[(2, "x"); 5], &[(3, "y")]], true, 3), [0, 1]);
    assert_eq!(window.all().len(), 1, "what lies below the floor is gone");
}

#[test]
fn rows_that_are_not_in_the_window_need_no_memory() {
    let mut window = Window::new(&[], "c", &names()).unwrap();
    let mut pending = Pending::default();
    pending.expect_floor(Some(CursorValue::Int(1_000)));
    let rows: Vec<(i64, &str)> = (0..1_000).map(|n| (n, "x")).collect();
    let batch = batch(&rows);
    let cursor = CursorColumn::of(&batch, "c", false).unwrap();
    assert_eq!(window.filter(&mut pending, &batch, &cursor, None).unwrap().known, 0);
    assert_eq!((pending.seen.len(), pending.added.len()), (0, 0));
    window.commit(&mut pending, Some(&CursorValue::Int(1_000)));
    assert_eq!(window.digest().count, 0);
}

#[test]
fn a_commit_does_not_copy_the_window() {
    let mut window = Window::new(&["k".into()], "c", &names()).unwrap();
    run(&mut window, &[(2, "a"), (2, "b")], 2);
    let place = Arc::as_ptr(&window.entries);
    run(&mut window, &[(2, "c")], 2);
    run(&mut window, &[(3, "d")], 3);
    assert_eq!((Arc::as_ptr(&window.entries), window.digest().count), (place, 1));
}
