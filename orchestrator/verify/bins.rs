//! Windows over an ordered column, found while rows stream by (pure).
//!
//! Positions are 128-bit numbers in the column's order. A bin covers an aligned block of 2^k of
//! them, so that the blocks of two sides are equal, apart, or one inside the other: both sides find
//! their bins on their own, and still can be laid over each other.

use std::collections::BTreeMap;

use waybill_protocol::Identity;

use super::sums::Sums;

/// Bins that a side keeps at most.
const MOST: usize = 4096;

/// The rows of one side by position.
#[derive(Debug, Clone, Default)]
pub struct Bins {
    /// First position of a block → the block.
    blocks: BTreeMap<u128, Block>,
    /// How many rows a block may gather before it is left alone.
    full: u64,
    /// Rows without a position (NULL).
    pub nowhere: Sums,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    shift: u32,
    /// Lowest and highest position seen.
    seen: (u128, u128),
    sums: Sums,
}

/// One window, as both sides see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lowest and highest position seen on either side.
    pub seen: (u128, u128),
    /// Rows of the source.
    pub source: Sums,
    /// Rows of the destination.
    pub destination: Sums,
}

/// The positions that a block of 2^`shift` around `at` begins and ends with.
fn span(at: u128, shift: u32) -> (u128, u128) {
    let inside = if shift >= 128 { u128::MAX } else { (1u128 << shift) - 1 };
    (at & !inside, at | inside)
}

impl Bins {
    /// Adds a row.
    pub fn add(&mut self, at: Option<u128>, row: Identity) {
        let Some(at) = at else { return self.nowhere.add(row) };
        if let Some(block) = self.covering(at) {
            block.seen = (block.seen.0.min(at), block.seen.1.max(at));
            return block.sums.add(row);
        }
        let shift = self.room(at);
        let mut sums = Sums::default();
        sums.add(row);
        self.blocks.insert(span(at, shift).0, Block { shift, seen: (at, at), sums });
        if self.blocks.len() > MOST {
            self.coarsen();
        }
    }

    /// Takes out a row that was added before.
    pub fn take(&mut self, at: Option<u128>, row: Identity) {
        match at {
            None => self.nowhere.take(row),
            Some(at) => {
                if let Some(block) = self.covering(at) {
                    block.sums.take(row);
                }
            }
        }
    }

    fn covering(&mut self, at: u128) -> Option<&mut Block> {
        let (start, block) = self.blocks.range_mut(..=at).next_back()?;
        (span(*start, block.shift).1 >= at).then_some(block)
    }

    /// The size of a new block around a position: that of its neighbour, where there is room.
    fn room(&self, at: u128) -> u32 {
        let below = self.blocks.range(..at).next_back().map(|(start, block)| (*start, *block));
        let above = self.blocks.range(at..).next().map(|(start, block)| (*start, *block));
        let mut shift = below.or(above).map_or(0, |(_, block)| block.shift);
        while shift > 0 {
            let (first, last) = span(at, shift);
            let free = below.is_none_or(|(start, block)| span(start, block.shift).1 < first)
                && above.is_none_or(|(start, _)| start > last);
            if free {
                break;
            }
            shift -= 1;
        }
        shift
    }

    /// Makes larger blocks until there are half as many as there may be.
    fn coarsen(&mut self) {
        let rows: u64 = self.blocks.values().map(|block| block.sums.rows).sum();
        self.full = self.full.max(rows / MOST as u64).max(1);
        let mut blocks: Vec<(u128, Block)> = std::mem::take(&mut self.blocks).into_iter().collect();
        while blocks.len() > MOST / 2 {
            for shift in 1..=128 {
                blocks = merged(blocks, shift, self.full);
            }
            self.full = self.full.saturating_mul(2);
        }
        self.blocks = blocks.into_iter().collect();
    }
}

/// Joins the two blocks that lie alone in one of 2^`shift`, where few rows are in them.
fn merged(blocks: Vec<(u128, Block)>, shift: u32, full: u64) -> Vec<(u128, Block)> {
    let parent = |at: usize| blocks.get(at).map(|(start, _)| span(*start, shift).0);
    let meets = |at: usize| parent(at).is_some() && parent(at) == parent(at + 1);
    if !(0..blocks.len()).any(meets) {
        return blocks;
    }
    let mut out: Vec<(u128, Block)> = Vec::with_capacity(blocks.len());
    let mut at = 0;
    while let Some((start, low)) = blocks.get(at) {
        let alone = meets(at) && !meets(at + 1) && (at == 0 || !meets(at - 1));
        let pair = blocks.get(at + 1).filter(|(_, high)| alone && low.sums.rows + high.sums.rows <= full);
        match pair {
            Some((_, high)) => {
                let seen = (low.seen.0.min(high.seen.0), low.seen.1.max(high.seen.1));
                let sums = low.sums.plus(high.sums);
                out.push((span(*start, shift).0, Block { shift, seen, sums }));
                at += 2;
            }
            None => {
                out.push((*start, *low));
                at += 1;
            }
        }
    }
    out
}

/// Lays the bins of both sides over each other, in order.
pub fn overlay(source: &Bins, destination: &Bins) -> Vec<Window> {
    let mut all: Vec<(u128, Block, bool)> = Vec::new();
    all.extend(source.blocks.iter().map(|(start, block)| (*start, *block, true)));
    all.extend(destination.blocks.iter().map(|(start, block)| (*start, *block, false)));
    // Of blocks that begin together the larger one first: it holds the others.
    all.sort_by_key(|(start, block, _)| (*start, std::cmp::Reverse(block.shift)));
    let mut windows: Vec<Window> = Vec::new();
    let mut end: Option<u128> = None;
    for (start, block, from_source) in all {
        let inside = end.is_some_and(|end| start <= end);
        if !inside {
            end = Some(span(start, block.shift).1);
            let empty = Sums::default();
            windows.push(Window { seen: block.seen, source: empty, destination: empty });
        }
        if let Some(window) = windows.last_mut() {
            window.seen = (window.seen.0.min(block.seen.0), window.seen.1.max(block.seen.1));
            let side = if from_source { &mut window.source } else { &mut window.destination };
            *side = side.plus(block.sums);
        }
    }
    windows
}

/// Joins neighbours until there are at most `most` windows of about as many rows each.
pub fn grouped(windows: Vec<Window>, most: usize) -> Vec<Window> {
    let size = |window: &Window| window.source.rows.max(window.destination.rows);
    let total: u64 = windows.iter().map(size).sum();
    let share = total.div_ceil(most.max(1) as u64).max(1);
    let mut joined: Vec<Window> = Vec::new();
    let mut done = 0u64;
    let mut place = u64::MAX;
    for window in windows {
        // The window's middle decides which share it belongs to.
        let at = ((done + size(&window) / 2) / share).min(most.max(1) as u64 - 1);
        done += size(&window);
        match joined.last_mut().filter(|_| at == place) {
            Some(last) => {
                last.seen = (last.seen.0.min(window.seen.0), last.seen.1.max(window.seen.1));
                last.source = last.source.plus(window.source);
                last.destination = last.destination.plus(window.destination);
            }
            None => joined.push(window),
        }
        place = at;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scattered(n: u64) -> u128 {
        u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn bins(positions: impl Iterator<Item = u128>) -> Bins {
        let mut bins = Bins::default();
        positions.for_each(|at| bins.add(Some(at), Identity(at.wrapping_mul(31) + 1)));
        let mut end = None;
        for (start, block) in &bins.blocks {
            assert!(end.is_none_or(|end| *start > end), "blocks overlap");
            let (first, last) = span(*start, block.shift);
            assert!(first == *start && first <= block.seen.0 && block.seen.1 <= last, "{block:?}");
            end = Some(last);
        }
        assert!(bins.blocks.len() <= MOST);
        bins
    }

    fn all(windows: &[Window]) -> (Sums, Sums) {
        let add = |(a, b): (Sums, Sums), w: &Window| (a.plus(w.source), b.plus(w.destination));
        windows.iter().fold(Default::default(), add)
    }

    #[test]
    fn both_sides_find_windows_that_fit_whatever_the_order_and_the_spread() {
        let mut expected = Sums::default();
        (0..20_000u128).for_each(|at| expected.add(Identity(at.wrapping_mul(31) + 1)));
        let windows = overlay(&bins(0..20_000), &bins((0..20_000).rev()));
        assert_eq!(all(&windows), (expected, expected));
        assert!(windows.iter().all(|w| w.source == w.destination));
        assert!(windows.len() > 500, "{}", windows.len());
        // Scattered over the whole range, and one far away from all others.
        let far = || (0..10_000u64).map(scattered).chain([u128::MAX, 5]);
        let mut back: Vec<u128> = far().collect();
        back.reverse();
        let windows = overlay(&bins(far()), &bins(back.into_iter()));
        assert!(windows.iter().all(|w| w.source == w.destination) && windows.len() > 500);
    }

    #[test]
    fn a_row_that_is_missing_is_in_one_window() {
        let windows = overlay(&bins(0..20_000), &bins((0..20_000).filter(|n| *n != 7_777)));
        let ten = grouped(windows, 10);
        assert_eq!(ten.len(), 10);
        let differing: Vec<&Window> = ten.iter().filter(|w| w.source != w.destination).collect();
        assert_eq!(differing.len(), 1);
        assert!(differing[0].seen.0 <= 7_777 && 7_777 <= differing[0].seen.1);
        assert!(ten.iter().all(|w| (1_800..=2_200).contains(&w.source.rows)), "{ten:?}");
        assert!(ten.is_sorted_by_key(|w| w.seen.0));
    }

    #[test]
    fn few_rows_make_few_windows_and_none_makes_none() {
        assert!(grouped(overlay(&Bins::default(), &Bins::default()), 10).is_empty());
        let windows = grouped(overlay(&bins([3, 9].into_iter()), &bins([9].into_iter())), 10);
        assert_eq!(windows.len(), 2);
        assert_eq!((windows[0].source.rows, windows[0].destination.rows), (1, 0));
        let mut nulls = Bins::default();
        nulls.add(None, Identity(1));
        assert_eq!(nulls.nowhere.rows, 1);
        let mut taken = bins([3, 9].into_iter());
        taken.take(Some(9), Identity(9 * 31 + 1));
        assert!(overlay(&taken, &bins([3].into_iter())).iter().all(|w| w.source == w.destination));
    }
}
