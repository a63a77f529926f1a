//! What part of a stream can be compared: what was read for good, and what the next run reads again
//! (pure).

use waybill_protocol::{CursorValue, StreamState};

use super::classify::Standing;

/// One read of the source.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// From this cursor on.
    pub from: Option<CursorValue>,
    /// Below this cursor.
    pub to: Option<CursorValue>,
    /// How its rows stand.
    pub standing: Standing,
    /// Only rows at this very cursor stand so; others are newer.
    pub edge: Option<CursorValue>,
}

/// Everything there is, as loaded for good.
pub fn whole() -> Vec<Part> {
    vec![Part { from: None, to: None, standing: Standing::Settled, edge: None }]
}

/// The reads of a stream that is read by cursor. Below the floor nothing can come or change without
/// being noticed; from the floor to the ceiling the next run reads again; beyond, nobody has looked.
/// The source itself compares, so that text goes by its own order.
pub fn by_cursor(state: &StreamState) -> Vec<Part> {
    let ceiling = state.ceiling.clone().or_else(|| state.floor.clone());
    let Some(ceiling) = ceiling else {
        return vec![Part { from: None, to: None, standing: Standing::Newer, edge: None }];
    };
    let part = |from: Option<&CursorValue>, to: Option<&CursorValue>, standing| Part {
        from: from.cloned(),
        to: to.cloned(),
        standing,
        edge: None,
    };
    let last = Part { edge: Some(ceiling.clone()), ..part(Some(&ceiling), None, Standing::Open) };
    let mut parts = Vec::new();
    match &state.floor {
        Some(floor) => {
            parts.push(part(None, Some(floor), Standing::Settled));
            if *floor != ceiling {
                parts.push(part(Some(floor), Some(&ceiling), Standing::Open));
            }
        }
        None => parts.push(part(None, Some(&ceiling), Standing::Open)),
    }
    parts.push(last);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(n: i64) -> Option<CursorValue> {
        Some(CursorValue::Int(n))
    }

    fn parts(
        floor: Option<CursorValue>,
        ceiling: Option<CursorValue>,
    ) -> Vec<(Option<CursorValue>, Option<CursorValue>, Standing)> {
        let state = StreamState { floor, ceiling, ..StreamState::default() };
        by_cursor(&state).into_iter().map(|part| (part.from, part.to, part.standing)).collect()
    }

    #[test]
    fn every_row_is_in_one_part() {
        use Standing::{Newer, Open, Settled};
        assert_eq!(
            parts(int(5), int(9)),
            [(None, int(5), Settled), (int(5), int(9), Open), (int(9), None, Open)]
        );
        assert_eq!(parts(int(9), int(9)), [(None, int(9), Settled), (int(9), None, Open)]);
        assert_eq!(parts(None, int(9)), [(None, int(9), Open), (int(9), None, Open)]);
        assert_eq!(parts(None, None), [(None, None, Newer)]);
    }
}
