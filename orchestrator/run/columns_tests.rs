use super::*;

const CAN: Capabilities = Capabilities {
    namespaces: false,
    identifier_bytes: 63,
    case_sensitive: false,
    columns: 5,
    parallel_slices: false,
};

fn found(columns: &[(&str, Logical)]) -> Schema {
    Schema::new(columns.iter().map(|(n, l)| l.field(n, true, "")).collect::<Vec<_>>())
}

fn on_record(columns: &[(&str, &str)]) -> Vec<ColumnRecord> {
    let record = |(n, l): &(&str, &str)| ColumnRecord::new(n, &format!("{n}_x"), l);
    columns.iter().map(record).collect()
}

fn with(policy: SchemaPolicy) -> StreamSelection {
    StreamSelection { schema_policy: policy, ..StreamSelection::named("s") }
}

#[test]
fn evolve_widens_adds_and_keeps_what_is_gone() {
    let record = on_record(&[("a", "text"), ("b", "int32"), ("gone", "date")]);
    let now = found(&[("c", Logical::Bool), ("b", Logical::Int64), ("a", Logical::Int64)]);
    let columns = decide(&with(SchemaPolicy::Evolve), &now, &record, false, &[], &CAN).unwrap();
    let types: Vec<String> =
        columns.load.fields().iter().map(|f| format!("{}:{}", f.name(), Logical::of(f).unwrap())).collect();
    assert_eq!(types, ["c:bool", "b_x:int64", "a_x:text"]);
    assert_eq!(columns.read.field(2).name(), "a");
    assert_eq!(columns.record.len(), 4);
    assert_eq!(columns.changes.len(), 3);
}

#[test]
fn a_column_that_is_gone_is_said_once_and_again_when_it_is_back() {
    let (with_b, without) =
        (found(&[("a", Logical::Int64), ("b", Logical::Text)]), found(&[("a", Logical::Int64)]));
    let evolve = with(SchemaPolicy::Evolve);
    let next = |found: &Schema, record: &[ColumnRecord]| {
        let columns = decide(&evolve, found, record, false, &[], &CAN).unwrap();
        let said = columns.changes.iter().map(|c| (c.before.clone(), c.after.clone())).collect();
        (columns.record, said)
    };
    let (record, said): (_, Vec<_>) = next(&without, &on_record(&[("a", "int64"), ("b", "text")]));
    assert_eq!(said, [(Some("text".to_owned()), None)]);
    let (record, said) = next(&without, &record);
    assert_eq!(said, []);
    let freeze = with(SchemaPolicy::Freeze);
    assert!(decide(&freeze, &without, &record, false, &[], &CAN).is_ok(), "frozen as it is");
    assert!(decide(&freeze, &with_b, &record, false, &[], &CAN).is_err());
    let (record, said) = next(&with_b, &record);
    assert_eq!(said, [(None, Some("text".to_owned()))]);
    assert_eq!(next(&with_b, &record).1, []);
}

#[test]
fn freeze_refuses_and_ignore_leaves_out() {
    let record = on_record(&[("a", "int32")]);
    let now = found(&[("a", Logical::Int64), ("b", Logical::Text)]);
    let frozen = decide(&with(SchemaPolicy::Freeze), &now, &record, false, &[], &CAN).unwrap_err();
    assert!(frozen.message().contains("a, b"), "{frozen}");
    let ignored = decide(&with(SchemaPolicy::Ignore), &now, &record, false, &[], &CAN).unwrap();
    assert_eq!(ignored.load.fields().len(), 1);
    assert_eq!(Logical::of(ignored.load.field(0)).unwrap(), Logical::Int32);
    assert!(
        decide(&with(SchemaPolicy::Freeze), &found(&[("a", Logical::Int32)]), &record, false, &[], &CAN)
            .is_ok()
    );
}

#[test]
fn a_table_made_anew_follows_the_source_unless_its_columns_are_frozen() {
    let record = on_record(&[("a", "int64"), ("b", "text")]);
    let now = found(&[("a", Logical::Int32), ("b", Logical::Int64)]);
    let kinds = |policy, fresh| {
        let columns = decide(&with(policy), &now, &record, fresh, &[], &CAN).unwrap();
        let of = |f: &arrow_schema::Field| Logical::of(f).unwrap().to_string();
        let load: Vec<String> = columns.load.fields().iter().map(|f| of(f)).collect();
        let on_record: Vec<String> = columns.record.iter().map(|c| c.logical.clone()).collect();
        assert_eq!(load, on_record, "{policy:?} {fresh}");
        (load, columns.changes.len())
    };
    assert_eq!(kinds(SchemaPolicy::Evolve, true), (vec!["int32".to_owned(), "int64".into()], 2));
    for (policy, fresh) in [
        (SchemaPolicy::Evolve, false),
        (SchemaPolicy::Freeze, true),
        (SchemaPolicy::Freeze, false),
        (SchemaPolicy::Ignore, true),
    ] {
        assert_eq!(kinds(policy, fresh), (vec!["int64".to_owned(), "text".into()], 0), "{policy:?}");
    }
}

#[test]
fn what_is_ignored_is_said_and_not_recorded() {
    let record = on_record(&[("a", "int32")]);
    let columns =
        decide(&with(SchemaPolicy::Ignore), &found(&[("a", Logical::Int64)]), &record, false, &[], &CAN)
            .unwrap();
    assert_eq!(columns.record[0].logical, "int32");
    assert_eq!(columns.changes[0].after.as_deref(), Some("int64"));
}

#[test]
fn chosen_columns_and_limits() {
    let mut selection = with(SchemaPolicy::Evolve);
    selection.columns = Some(vec!["b".into(), "nope".into()]);
    let now = found(&[("a", Logical::Int64), ("b", Logical::Text)]);
    let error = decide(&selection, &now, &[], false, &[], &CAN).unwrap_err();
    assert_eq!((error.kind(), error.get_hint()), (Kind::NotFound, Some("columns are: a, b")));
    let mut none = with(SchemaPolicy::Evolve);
    assert!(decide(&none, &found(&[]), &[], false, &[], &CAN).is_ok());
    none.metadata = false;
    assert!(decide(&none, &found(&[]), &[], false, &[], &CAN).is_err());
    let wide = found(&[
        ("a", Logical::Bool),
        ("b", Logical::Bool),
        ("c", Logical::Bool),
        ("d", Logical::Bool),
        ("e", Logical::Bool),
    ]);
    let mut selection = with(SchemaPolicy::Evolve);
    let error = decide(&selection, &wide, &[], false, &[], &CAN).unwrap_err();
    assert!(error.get_hint().unwrap_or_default().contains("metadata: false"), "{error}");
    selection.metadata = false;
    assert!(decide(&selection, &wide, &[], false, &[], &CAN).is_ok());
}

#[test]
fn a_table_says_not_null_while_its_source_does() {
    let mut now = vec![Logical::Int64.field("a", false, ""), Logical::Text.field("b", true, "")];
    let evolve = with(SchemaPolicy::Evolve);
    let next = |policy: &StreamSelection, fields: &[Field], record: &[ColumnRecord], fresh| {
        decide(policy, &Schema::new(fields.to_vec()), record, fresh, &[], &CAN)
    };
    let first = next(&evolve, &now, &[], false).unwrap();
    let declared: Vec<_> = first.record.iter().map(|c| c.not_null).collect();
    assert_eq!(declared, [Some(true), None]);
    assert_eq!(said(first.load.field(0), NOT_NULL_KEY), "true");
    // A column that comes to a table with rows has none for them.
    now.push(Logical::Int64.field("c", false, ""));
    let second = next(&evolve, &now, &first.record, false).unwrap();
    assert_eq!(second.record[2].not_null, None);
    assert_eq!(next(&evolve, &now, &first.record, true).unwrap().record[2].not_null, Some(true));
    // Lost at the source, and a column that is gone.
    now[0] = Logical::Int64.field("a", true, "");
    let lost = next(&evolve, &now, &first.record, false).unwrap();
    assert_eq!(lost.record[0].not_null, Some(false));
    assert_eq!(lost.changes[0].before.as_deref(), Some("int64 not null"));
    let frozen = next(&with(SchemaPolicy::Freeze), &now[..2], &first.record, false).unwrap_err();
    assert!(frozen.message().contains("a"), "{frozen}");
    let gone = next(&evolve, &now[1..], &first.record, true).unwrap();
    assert_eq!(gone.record[0].not_null, Some(false));
    let shared = StreamSelection { shared: true, ..evolve };
    assert_eq!(next(&shared, &now[2..], &[], false).unwrap().record[0].not_null, None);
}
