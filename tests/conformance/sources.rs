//! What every source does.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{
    Budget, Connector, Kind, Logical, Message, Outlet, Progress, Role, Slice, Source, StreamRead,
    StreamSelection, identities, identity,
};

use super::samples::{Input, ROWS, input};
use super::{context, with_role};

async fn open(connector: &dyn Connector, input: &Input) -> Arc<dyn Source> {
    let ctx = context(input.folder.path(), "reader", "source");
    Arc::from(connector.source(ctx, &input.settings).await.unwrap())
}

async fn slices(source: &dyn Source, selection: &StreamSelection) -> Vec<Slice> {
    let catalog = source.discover(std::slice::from_ref(selection)).await.unwrap();
    assert_eq!(catalog.streams.len(), 1, "{}", selection.name);
    let found = &catalog.streams[0];
    let read = StreamRead::whole(found, selection.clone());
    let slices = source.plan(&[Arc::new(read)], &Progress::default()).await.unwrap();
    let ids: BTreeSet<_> = slices.iter().map(|slice| &slice.id).collect();
    assert_eq!(ids.len(), slices.len(), "slice ids are unique");
    assert!(!slices.is_empty());
    slices
}

/// Reads a stream whole and checks the order of its messages; its rows and their order-free hash.
async fn read(source: &Arc<dyn Source>, selection: &StreamSelection) -> (u64, u128) {
    let (mut rows, mut hash) = (0, 0u128);
    for slice in slices(source.as_ref(), selection).await {
        let (outlet, mut receiver) = Outlet::new(Budget::new(1 << 20), CancellationToken::new());
        let (source, stream) = (Arc::clone(source), slice.streams[0].stream.clone());
        let reading = tokio::spawn(async move { source.read(&slice, &Progress::default(), &outlet).await });
        let (mut schema, mut open_rows, mut checkpoints, mut complete) = (None, 0, 0, false);
        while let Some(delivery) = receiver.recv().await {
            assert!(!complete, "{stream}: a message after its end");
            match delivery.message {
                Message::Schema { stream: of, schema: columns } => {
                    assert!(
                        schema.replace(columns).is_none() && of == stream,
                        "{stream}: one schema, its own"
                    );
                }
                Message::Batch { stream: of, payload } => {
                    let waybill_protocol::Payload::Arrow(batch) = payload else { panic!("no rows") };
                    let columns = schema.as_ref().expect("a schema before rows");
                    assert_eq!(batch.schema().fields(), columns.fields(), "{stream}");
                    assert!(of == stream && checkpoints == 0, "{stream}: rows after the only checkpoint");
                    open_rows += batch.num_rows() as u64;
                    hash = hash.wrapping_add(identity::sum(&identities(&batch, &[]).unwrap()));
                }
                Message::Checkpoint { patch } => {
                    assert!(patch.is_empty(), "{stream}: a full read moves no state");
                    checkpoints += 1;
                    rows += std::mem::take(&mut open_rows);
                }
                Message::Complete { stream: of } => {
                    assert!(
                        schema.is_some() && of == stream && open_rows == 0,
                        "{stream}: rows without checkpoint"
                    );
                    complete = true;
                }
                _ => {}
            }
        }
        reading.await.unwrap().unwrap();
        assert!(complete && checkpoints == 1, "{stream}: {checkpoints} checkpoints, complete: {complete}");
    }
    (rows, hash)
}

#[tokio::test]
async fn a_check_passes_and_discovery_finds_what_is_there() {
    for connector in with_role(Role::Source) {
        let system = connector.spec().name;
        let input = input(system, "discover");
        let source = open(connector.as_ref(), &input).await;
        let findings = source.check().await.unwrap();
        assert!(
            !findings.is_empty() && findings.iter().all(|finding| finding.ok()),
            "{system}: {findings:?}"
        );
        let all = source.discover(&[]).await.unwrap();
        assert!(!all.identity.is_empty() && all.streams.len() >= 2, "{system}");
        let some = source.discover(std::slice::from_ref(&input.full)).await.unwrap();
        let names: Vec<_> = some.streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, [input.full.name.as_str()], "{system}");
        // A name that matches nothing is left out; a file that is not there may say more than that.
        match source.discover(std::slice::from_ref(&input.absent)).await {
            Ok(catalog) => assert!(catalog.streams.is_empty(), "{system}"),
            Err(error) => assert_eq!(error.kind(), Kind::NotFound, "{system}: {error}"),
        }
        assert_eq!(some.identity, all.identity, "{system}");
        for stream in all.streams.iter().chain(&some.streams) {
            let columns = stream.schema.fields();
            let known: Vec<Logical> = columns.iter().map(|field| Logical::of(field).unwrap()).collect();
            assert!(known.len() >= 2, "{system}: {known:?}");
            let named = |column: &String| stream.schema.index_of(column).is_ok();
            assert!(stream.primary_key.iter().all(named), "{system}: {:?}", stream.primary_key);
            assert!(stream.cursors.iter().all(|cursor| named(&cursor.column)), "{system}");
        }
        source.close().await;
    }
}

#[tokio::test]
async fn a_read_keeps_the_order_and_a_second_one_sends_the_same() {
    for connector in with_role(Role::Source) {
        let system = connector.spec().name;
        let input = input(system, "read");
        let source = open(connector.as_ref(), &input).await;
        let first = read(&source, &input.full).await;
        assert_eq!(first.0, ROWS, "{system}");
        assert_eq!(read(&source, &input.full).await, first, "{system}");
        source.close().await;
        let again = open(connector.as_ref(), &input).await;
        assert_eq!(read(&again, &input.full).await, first, "{system}: in another session");
    }
}

#[tokio::test]
async fn an_empty_input_has_columns_and_an_end() {
    for connector in with_role(Role::Source) {
        let system = connector.spec().name;
        let input = input(system, "empty");
        let source = open(connector.as_ref(), &input).await;
        assert_eq!(read(&source, &input.empty).await, (0, 0), "{system}");
    }
}

#[tokio::test]
async fn a_refused_send_ends_the_read_as_cancelled() {
    for connector in with_role(Role::Source) {
        let system = connector.spec().name;
        let input = input(system, "stop");
        let source = open(connector.as_ref(), &input).await;
        let slice = slices(source.as_ref(), &input.full).await.remove(0);
        let stop = CancellationToken::new();
        stop.cancel();
        let (outlet, _receiver) = Outlet::new(Budget::new(1 << 20), stop);
        let error = source.read(&slice, &Progress::default(), &outlet).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Cancelled, "{system}: {error}");
        // The session is not broken by it.
        assert_eq!(read(&source, &input.full).await.0, ROWS, "{system}");
    }
}
