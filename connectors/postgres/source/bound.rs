//! The bound of an appended stream's window, looked at before the first row is read.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use waybill_protocol::state::WINDOW_LIMIT;
use waybill_protocol::{CursorValue, Error, Kind, Logical, Result, StreamRead};

use super::appends;
use super::copy::one_row;
use super::cursor::Cursor;
use super::fence::Holder;
use super::select;
use super::window::Window;
use crate::postgres::decode::ColumnPlan;
use crate::postgres::kinds::Wire;
use crate::postgres::session::Session;
use crate::postgres::sql;

/// Refuses a read after which more rows would have to be remembered than a window holds. Counts,
/// in the snapshot, the rows from the next floor up: all of them, and no others, are remembered.
pub(super) async fn check(
    session: &mut Session,
    read: &StreamRead,
    cursor: &Cursor<'_>,
    window: &Window,
    holders: &[Holder],
) -> Result<()> {
    // Without an index the count is a scan of its own; then only where the window is wide for a
    // reason. Ties at the end alone are counted by whoever remembers them.
    let wide = !holders.is_empty() || read.selection.lookback.is_some();
    if !appends(read) || !(read.ordered || wide) {
        return Ok(());
    }
    let Some(top) = &window.top else { return Ok(()) };
    let floor = window.finished().floor;
    let column = format!("q.{}", sql::ident(cursor.column));
    let mut conditions = vec![format!("{column} <= {}", sql::cursor(top))];
    conditions.extend(floor.as_ref().map(|floor| format!("{column} >= {}", sql::cursor(floor))));
    conditions.extend(select::filter(read));
    let select = format!(
        "SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS n",
        select::from(read),
        conditions.join(" AND "),
        WINDOW_LIMIT + 1
    );
    let plan = ColumnPlan { wire: Wire::Int8, field: Logical::Int64.field("count", true, "") };
    let row = one_row(session, "count rows to remember", &select, &[plan]).await?;
    let rows = row.column(0).as_primitive::<Int64Type>().value(0);
    match usize::try_from(rows).unwrap_or(0) > WINDOW_LIMIT {
        true => Err(too_many(read, floor.as_ref(), top, holders)),
        false => Ok(()),
    }
}

fn too_many(read: &StreamRead, floor: Option<&CursorValue>, top: &CursorValue, holders: &[Holder]) -> Error {
    let range = match floor {
        Some(floor) => format!("lie from {floor} to {top}"),
        None => format!("lie below {top}"),
    };
    let mut message = format!(
        "{}: more than {WINDOW_LIMIT} rows {range}, and to append each of them once every one would have to be remembered",
        read.stream
    );
    let mut ways = Vec::new();
    if !holders.is_empty() {
        let names: Vec<&str> = holders.iter().map(|h| h.shown.as_str()).collect();
        message.push_str(&format!("; held open by {}", names.join("; ")));
        let ends: Vec<&str> = holders.iter().map(|h| h.end.as_str()).collect();
        ways.push(format!("end that transaction ({})", ends.join("; ")));
    }
    if read.selection.lookback.is_some() {
        ways.push("make lookback smaller".to_owned());
    }
    ways.push("set write to merge with a primary_key".to_owned());
    ways.push("set mode to full_refresh".to_owned());
    Error::new(Kind::Data, message).hint(ways.join(", or "))
}
