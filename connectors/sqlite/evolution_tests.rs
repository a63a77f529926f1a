//! Tables that change with their stream: new columns, wider types, values kept.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
};
use waybill_protocol::{Destination, Disposition, Kind, Logical};

use super::workbench::{Bench, keyed, load, run};

fn one<A: arrow_array::Array + 'static>(array: A) -> Vec<ArrayRef> {
    vec![Arc::new(array)]
}

fn decimal(values: &[i128], precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values.to_vec()).with_precision_and_scale(precision, scale).unwrap()
}

/// Loads `before` as `from` into a fresh table, widens its column to `to`, and gives the values back.
async fn widened(from: Logical, to: Logical, before: Vec<ArrayRef>, after: Vec<ArrayRef>) -> Vec<String> {
    let bench = Bench::new();
    let session = bench.session("c").await;
    run(&session, &load("c", "t", &[("v", from)], Disposition::Direct), before).await.unwrap();
    run(&session, &load("c", "t", &[("v", to)], Disposition::Direct), after).await.unwrap();
    let types = bench.rows("SELECT type FROM pragma_table_info('t')");
    assert_eq!(types, [super::affinity::native(to)]);
    assert_eq!(session.tables().await.unwrap()[0].columns[0].logical, to.to_string());
    bench.rows("SELECT typeof(v) || ' ' || v FROM t")
}

#[tokio::test]
async fn widening_keeps_values_in_the_form_of_the_wider_type() {
    use Logical::*;
    let d = |precision, scale| Decimal { precision, scale };
    let text = |t: &str| one(StringArray::from(vec![t]));
    assert_eq!(
        widened(Int32, Int64, one(Int32Array::from(vec![7])), one(Int64Array::from(vec![i64::MAX]))).await,
        ["integer 7", "integer 9223372036854775807"]
    );
    assert_eq!(
        widened(Int32, Float64, one(Int32Array::from(vec![7])), one(Float64Array::from(vec![0.5]))).await,
        ["real 7.0", "real 0.5"]
    );
    let third = 0.1 + 0.2;
    assert_eq!(
        widened(Float64, Text, one(Float64Array::from(vec![third, 1e300, f64::NAN])), text("x")).await[0],
        "text 0.30000000000000004"
    );
    assert_eq!(
        widened(Float32, Text, one(Float32Array::from(vec![0.1])), text("x")).await,
        ["text 0.1", "text x"]
    );
    assert_eq!(
        widened(Int64, Text, one(Int64Array::from(vec![i64::MIN])), text("0012")).await,
        ["text -9223372036854775808", "text 0012"]
    );
    assert_eq!(
        widened(Bool, Text, one(BooleanArray::from(vec![true, false])), text("x")).await,
        ["text true", "text false", "text x"]
    );
    assert_eq!(
        widened(d(9, 2), d(12, 4), one(decimal(&[150, 100], 9, 2)), one(decimal(&[1], 12, 4))).await,
        ["real 1.5", "integer 1", "real 0.0001"]
    );
    assert_eq!(
        widened(d(9, 2), d(20, 4), one(decimal(&[150, -1], 9, 2)), one(decimal(&[1], 20, 4))).await,
        ["text 1.5000", "text -0.0100", "text 0.0001"]
    );
    assert_eq!(
        widened(d(9, 2), Numeric, one(decimal(&[150, 100], 9, 2)), text("1.23456789012345678901")).await,
        ["text 1.50", "text 1.00", "text 1.23456789012345678901"]
    );
    assert_eq!(widened(Uuid, Text, text("a-b"), text("x")).await, ["text a-b", "text x"]);
    assert_eq!(widened(Date, Text, text_dates(), text("soon")).await, ["text 2024-05-01", "text soon"]);
}

fn text_dates() -> Vec<ArrayRef> {
    one(arrow_array::Date32Array::from(vec![19_844]))
}

#[tokio::test]
async fn new_columns_are_added_and_gone_ones_stay() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let ints = |v: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(v.to_vec())) };
    run(
        &session,
        &load("c", "t", &[("a", Logical::Int64), ("b", Logical::Int64)], Disposition::Direct),
        vec![ints(&[1]), ints(&[2])],
    )
    .await
    .unwrap();
    let mut plan = load("c", "t", &[("C", Logical::Int64), ("A", Logical::Int64)], Disposition::Direct);
    plan.metadata = true;
    run(&session, &plan, vec![ints(&[30]), ints(&[10])]).await.unwrap();
    assert_eq!(bench.rows("SELECT a, b, c, _waybill_run_id IS NULL FROM t"), ["1|2|NULL|1", "10|NULL|30|0"]);
}

#[tokio::test]
async fn a_rebuilt_table_keeps_its_indexes_views_and_key() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let columns = |v| [("id", Logical::Int64), ("v", v)];
    let id = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
    let plan = keyed(load("c", "t", &columns(Logical::Int64), Disposition::Direct), &["id"], true);
    run(&session, &plan, vec![id(1), id(5)]).await.unwrap();
    bench.look().execute_batch("CREATE INDEX mine ON t (v); CREATE VIEW w AS SELECT v FROM t").unwrap();
    let plan = keyed(load("c", "t", &columns(Logical::Text), Disposition::Direct), &["id"], true);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    run(&session, &plan, vec![id(1), Arc::clone(&text)]).await.unwrap();
    assert_eq!(bench.rows("SELECT v FROM w"), ["x"]);
    assert_eq!(
        bench.rows("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 't' ORDER BY 1"),
        ["_waybill_key_t", "mine"]
    );
    // Back to a narrower type is nothing that a table can do.
    let plan = keyed(load("c", "t", &columns(Logical::Int64), Disposition::Direct), &["id"], true);
    let error = run(&session, &plan, vec![id(1), id(5)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Schema);
}

#[tokio::test]
async fn an_adopted_table_with_constraints_is_filled_but_not_rewritten() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    bench
        .look()
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(20) NOT NULL DEFAULT 'x' CHECK (length(v) < 5))",
        )
        .unwrap();
    let columns = [("id", Logical::Int64), ("v", Logical::Text)];
    let mut plan = keyed(load("c", "t", &columns, Disposition::Direct), &["id"], true);
    plan.adopt = true;
    let rows = |id, v: &str| -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![v]))]
    };
    run(&session, &plan, rows(1, "a")).await.unwrap();
    run(&session, &plan, rows(1, "b")).await.unwrap();
    assert_eq!(bench.rows("SELECT id, v FROM t"), ["1|b"]);
    assert!(bench.rows("SELECT 1 FROM sqlite_schema WHERE name LIKE '_waybill_key%'").is_empty());
    let error = run(&session, &plan, rows(2, "secret")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(!error.message().contains("secret"), "no values: {error}");
    let mut plan = load("c", "t", &[("id", Logical::Text)], Disposition::Direct);
    plan.adopt = true;
    let error = run(&session, &plan, vec![Arc::new(StringArray::from(vec!["k"]))]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Schema);
    assert!(error.message().contains("constraints of its own"), "{error}");
}

#[tokio::test]
async fn a_table_without_columns_and_a_changed_value_are_said() {
    let bench = Bench::new();
    let session = bench.session("c").await;
    let mut plan = load("c", "t", &[], Disposition::Replace);
    let mut writer = session.writer("s").await.unwrap();
    assert_eq!(writer.prepare(&plan).await.unwrap_err().kind(), Kind::Schema);
    plan.metadata = true;
    writer.prepare(&plan).await.unwrap();
    let plan = load("c", "f", &[("v", Logical::Float64)], Disposition::Direct);
    let values = Float64Array::from(vec![f64::NAN, -0.0, f64::INFINITY, 1.0]);
    let receipt = run(&session, &plan, one(values)).await.unwrap();
    let coerced: Vec<_> =
        receipt.coerced.iter().map(|((s, c, what), n)| format!("{s} {c} {what} {n}")).collect();
    assert_eq!(coerced, ["s v NaN held as text 1", "s v minus zero held as zero 1"]);
    assert_eq!(bench.rows("SELECT v FROM f"), ["NaN", "0.0", "inf", "1.0"]);
}

#[tokio::test]
async fn a_table_that_another_connection_widened_is_not_narrowed_again() {
    let bench = Bench::new();
    let (a, b) = (bench.session("a").await, bench.session("b").await);
    let mut narrow = load("a", "t", &[("v", Logical::Int64)], Disposition::Direct);
    narrow.shared = true;
    run(&a, &narrow, one(Int64Array::from(vec![7]))).await.unwrap();
    let mut wide = load("b", "t", &[("v", Logical::Text)], Disposition::Direct);
    wide.shared = true;
    run(&b, &wide, one(StringArray::from(vec!["x"]))).await.unwrap();
    let error = run(&a, &narrow, one(Int64Array::from(vec![8]))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Schema);
    assert_eq!(bench.rows("SELECT typeof(v) || v FROM t"), ["text7", "textx"]);
}
