//! The window of an incremental read: pure, once the server has said what is open (STATE, part 2).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use waybill_protocol::{CursorValue, Error, Lookback, Result, StreamState};

/// How cursors compare: by themselves, or, for text, as the server sorted them.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Text → its place under the column's collation.
    pub(super) places: HashMap<String, u64>,
}

impl Order {
    fn compare(&self, a: &CursorValue, b: &CursorValue) -> Ordering {
        match (a, b) {
            (CursorValue::Text(a), CursorValue::Text(b)) => self.places.get(a).cmp(&self.places.get(b)),
            // Values of one type always have an order; `plan` has looked at the types.
            _ => a.order(b).unwrap_or(Ordering::Equal),
        }
    }

    /// The greater; an absent value is below all.
    fn max(&self, a: Option<CursorValue>, b: Option<CursorValue>) -> Option<CursorValue> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if self.compare(&a, &b) == Ordering::Less { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// The lesser; an absent value is below all.
    fn min(&self, a: Option<CursorValue>, b: Option<CursorValue>) -> Option<CursorValue> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if self.compare(&a, &b) == Ordering::Greater { b } else { a }),
            _ => None,
        }
    }
}

/// What is known before the snapshot is taken.
pub(super) struct Findings<'a> {
    /// The state that the last commit left.
    pub(super) state: &'a StreamState,
    /// The highest cursor in the stream.
    pub(super) highest: Option<CursorValue>,
    /// A moment before the source's clock, for cursors that are times.
    pub(super) clock: Option<CursorValue>,
    /// Keys of open transactions.
    pub(super) open: &'a [String],
    /// How far below the known end to read again.
    pub(super) lookback: Option<Lookback>,
}

/// The window of one attempt.
#[derive(Debug)]
pub(super) struct Window {
    /// Where reading starts.
    pub(super) floor: Option<CursorValue>,
    /// Where it ends (M).
    pub(super) top: Option<CursorValue>,
    ceiling: Option<CursorValue>,
    /// What the ceiling becomes (C).
    new_ceiling: Option<CursorValue>,
    /// fV less the lookback.
    low: Option<CursorValue>,
    open: BTreeMap<String, Option<CursorValue>>,
    order: Order,
}

impl Window {
    /// Steps 1, 4 and 5 of the rule.
    pub(super) fn plan(found: Findings<'_>, order: Order) -> Result<Window> {
        let Findings { state, highest, clock, open, lookback } = found;
        let (floor, ceiling) = (state.floor.clone(), state.ceiling.clone());
        let known = [&state.floor, &state.ceiling].into_iter().chain(state.open.values()).flatten();
        if let Some(top) = &highest
            && let Some(other) = known.into_iter().find(|v| v.type_name() != top.type_name())
        {
            return Err(Error::config(format!(
                "the stored state has a cursor of type {} and the column is of type {}",
                other.type_name(),
                top.type_name()
            ))
            .hint("run `waybill state reset` for this stream, or choose the former cursor"));
        }
        let top = order.max(highest, ceiling.clone());
        let new_ceiling = match clock {
            Some(clock) => order.max(ceiling.clone(), order.min(top.clone(), Some(clock))),
            None => top.clone(),
        };
        let before = |key: &String| match state.open.get(key) {
            Some(value) => value.clone(),
            None if key.starts_with("prepared:") => floor.clone(),
            None => ceiling.clone(),
        };
        let open: BTreeMap<_, _> = open.iter().map(|key| (key.clone(), before(key))).collect();
        let fence =
            open.values().cloned().reduce(|a, b| order.min(a, b)).unwrap_or_else(|| new_ceiling.clone());
        let low = match (fence, lookback) {
            (Some(value), Some(lookback)) => Some(value.minus(&lookback)?),
            (value, _) => value,
        };
        Ok(Window { floor, top, ceiling, new_ceiling, low, open, order })
    }

    /// What the state becomes when everything was sent.
    pub(super) fn finished(&self) -> StreamState {
        let floor = self.order.max(self.floor.clone(), self.low.clone());
        StreamState {
            floor,
            ceiling: self.new_ceiling.clone(),
            open: self.open.clone(),
            ..Default::default()
        }
    }

    /// What the state becomes at a checkpoint on the way, when everything below `at` was sent.
    pub(super) fn reached(&self, at: &CursorValue) -> StreamState {
        let bound = self.order.min(Some(at.clone()), self.low.clone());
        let end = self.order.min(Some(at.clone()), self.new_ceiling.clone());
        StreamState {
            floor: self.order.max(self.floor.clone(), bound),
            ceiling: self.order.max(self.ceiling.clone(), end),
            open: self.open.clone(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Option<CursorValue> {
        Some(CursorValue::Int(value))
    }

    fn plan(state: &StreamState, highest: i64, open: &[&str], lookback: Option<u64>) -> Window {
        let open: Vec<String> = open.iter().map(|s| (*s).to_owned()).collect();
        let lookback = lookback.map(Lookback::Amount);
        Window::plan(
            Findings { state, highest: int(highest), clock: None, open: &open, lookback },
            Order::default(),
        )
        .unwrap()
    }

    #[test]
    fn an_open_transaction_holds_the_floor_until_it_ends() {
        let first = plan(&StreamState::default(), 10, &[], None).finished();
        assert_eq!((first.floor.clone(), first.ceiling.clone()), (int(10), int(10)));
        let second = plan(&first, 20, &["virtual:3/1@x"], None).finished();
        assert_eq!((second.floor.clone(), second.ceiling.clone()), (int(10), int(20)));
        assert_eq!(second.open["virtual:3/1@x"], int(10));
        let third = plan(&second, 30, &["virtual:3/1@x", "virtual:4/7@x"], None).finished();
        assert_eq!(third.floor, int(10), "it holds back since the ceiling of before it was first seen");
        assert_eq!(third.open["virtual:4/7@x"], int(20));
        let prepared = plan(&third, 30, &["prepared:g"], None).finished();
        assert_eq!(prepared.open["prepared:g"], int(10));
        let last = plan(&third, 40, &[], None).finished();
        assert_eq!((last.floor, last.ceiling, last.open.len()), (int(40), int(40), 0));
    }

    #[test]
    fn the_first_run_beside_open_transactions_has_no_floor() {
        let state = plan(&StreamState::default(), 10, &["virtual:3/1@x"], None).finished();
        assert_eq!((state.floor, state.ceiling), (None, int(10)));
        assert_eq!(state.open["virtual:3/1@x"], None);
    }

    #[test]
    fn nothing_falls() {
        let state = StreamState { floor: int(50), ceiling: int(60), ..Default::default() };
        let fallen = plan(&state, 7, &[], Some(5));
        assert_eq!(fallen.top, int(60));
        assert_eq!(fallen.finished().floor, int(55));
        assert_eq!(fallen.reached(&CursorValue::Int(52)).floor, int(52));
        assert_eq!(fallen.reached(&CursorValue::Int(52)).ceiling, int(60));
        assert_eq!(fallen.reached(&CursorValue::Int(58)).floor, int(55));
    }

    #[test]
    fn times_are_trusted_up_to_the_clock() {
        let at = |us| Some(CursorValue::TimestampTz(us));
        let found = |state, highest, clock| Findings {
            state,
            highest: at(highest),
            clock: at(clock),
            open: &[],
            lookback: None,
        };
        let empty = StreamState::default();
        let window = Window::plan(found(&empty, i64::MAX, 100), Order::default()).unwrap();
        assert_eq!((window.top.clone(), window.finished().ceiling), (at(i64::MAX), at(100)));
        let earlier = StreamState { floor: at(90), ceiling: at(100), ..Default::default() };
        let window = Window::plan(found(&earlier, 120, 95), Order::default()).unwrap();
        assert_eq!(window.finished().ceiling, at(100), "a clock set back does not lower the ceiling");
        let other = StreamState { floor: int(1), ..Default::default() };
        assert!(Window::plan(found(&other, 120, 95), Order::default()).is_err());
    }

    #[test]
    fn text_is_ordered_as_the_server_says() {
        let text = |t: &str| Some(CursorValue::Text(t.into()));
        let places = [("a", 1), ("B", 2), ("c", 3)].map(|(t, n)| (t.to_owned(), n)).into();
        let state = StreamState { floor: text("a"), ceiling: text("a"), ..Default::default() };
        let found = Findings { state: &state, highest: text("B"), clock: None, open: &[], lookback: None };
        assert_eq!(Window::plan(found, Order { places }).unwrap().finished().floor, text("B"));
    }
}
