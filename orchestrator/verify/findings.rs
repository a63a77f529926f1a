//! What the sums of both sides mean: the second look where they differ, and the windows.

use std::collections::BTreeMap;

use waybill_protocol::{Error, Logical, Origin, Result};

use super::bins::{Window, grouped, overlay};
use super::classify::{Entries, Kind};
use super::pass::{Totals, file_names};
use super::place;
use super::prepare::Plan;
use super::report::{Differences, Found, NAMED, StreamReport, Verdict, WindowReport};

/// Rows of both sides that are looked at one by one, at most.
const LOOKED_AT: u64 = 100_000;

/// Looks at what differs, and says what that means.
pub async fn judge(
    plan: &Plan,
    source: &Totals,
    destination: &Totals,
    windows: usize,
    report: &mut StreamReport,
) -> Result<()> {
    let names = file_names(source, destination);
    let mut entries = Entries::new();
    report.differences.complete = true;
    report.verdict = Verdict::Equal;
    let mut found = Vec::new();
    if source.sums != destination.sums {
        let (chosen, all) = source.buckets.differing(&destination.buckets, LOOKED_AT);
        let at_source = |e: Error| e.origin(Origin::Source);
        let at_destination = |e: Error| e.origin(Origin::Destination);
        plan.source.collect(&chosen, &names, true, &mut entries).await.map_err(at_source)?;
        plan.destination.collect(&chosen, &names, false, &mut entries).await.map_err(at_destination)?;
        found = differences(plan, &entries, &mut report.differences);
        report.differences.complete = all;
        let wrong = |found: &Found| found.rows > 0;
        let d = &report.differences;
        let differs = wrong(&d.missing) || wrong(&d.different) || wrong(&d.extra);
        if differs || !all && !plan.shared {
            report.verdict = Verdict::Differs;
        } else if found.is_empty() && !plan.shared {
            report.notes.push(
                "it differed at first and no longer when looked at again: it changed meanwhile".to_owned(),
            );
        }
    }
    report.windows = if names.is_empty() {
        let axis = plan.axis.unwrap_or(Logical::Int64);
        let cut = grouped(overlay(&source.bins, &destination.bins), windows);
        let mut reports: Vec<WindowReport> =
            cut.iter().map(|w| by_place(w, axis, plan, &found, report)).collect();
        let (a, b) = (source.bins.nowhere, destination.bins.nowhere);
        if a.rows + b.rows > 0 {
            let label = if plan.axis.is_some() { "NULL" } else { "all rows" };
            reports.push(window(
                (label.to_owned(), String::new()),
                a,
                b,
                &|place| place.is_none(),
                plan,
                &found,
                report,
                &|_| String::new(),
            ));
        }
        reports
    } else {
        let file = |(at, name): (usize, &String)| {
            let sums = |totals: &Totals| totals.files.get(name).copied().unwrap_or_default();
            let here = |place: Option<u128>| place == Some(at as u128);
            let label = (name.clone(), String::new());
            window(label, sums(source), sums(destination), &here, plan, &found, report, &|_| String::new())
        };
        names.iter().enumerate().map(file).collect()
    };
    Ok(())
}

fn differences(plan: &Plan, entries: &Entries, all: &mut Differences) -> Vec<(Kind, Option<u128>)> {
    let mut found = Vec::new();
    let mut sorted: Vec<_> =
        entries.values().filter(|entry| !entry.differences(plan.manner).is_empty()).collect();
    sorted.sort_by(|a, b| natural(&a.name, &b.name));
    for entry in sorted {
        for (kind, place) in entry.differences(plan.manner) {
            if plan.shared && kind == Kind::Extra {
                continue;
            }
            let into = match kind {
                Kind::Missing => &mut all.missing,
                Kind::Extra => &mut all.extra,
                Kind::Different => &mut all.different,
                Kind::Waiting => &mut all.waiting,
                Kind::Older => &mut all.older,
            };
            into.rows += 1;
            if !entry.name.is_empty() && into.keys.len() < NAMED {
                into.keys.push(entry.name.clone());
            }
            found.push((kind, place));
        }
    }
    found
}

/// Shorter names first, so that numbers stand in their order.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    (a.len(), a).cmp(&(b.len(), b))
}

fn by_place(
    cut: &Window,
    axis: Logical,
    plan: &Plan,
    found: &[(Kind, Option<u128>)],
    report: &StreamReport,
) -> WindowReport {
    let inside = |place: Option<u128>| place.is_some_and(|p| cut.seen.0 <= p && p <= cut.seen.1);
    let label = |p: u128| place::label(p, axis);
    let ends = (label(cut.seen.0), label(cut.seen.1));
    window(ends, cut.source, cut.destination, &inside, plan, found, report, &label)
}

#[allow(clippy::too_many_arguments, reason = "one window of three kinds")]
fn window(
    (from, to): (String, String),
    source: super::sums::Sums,
    destination: super::sums::Sums,
    inside: &dyn Fn(Option<u128>) -> bool,
    plan: &Plan,
    found: &[(Kind, Option<u128>)],
    report: &StreamReport,
    label: &dyn Fn(u128) -> String,
) -> WindowReport {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut seen: Option<(u128, u128)> = None;
    let mut wrong = false;
    for (kind, place) in found.iter().filter(|(_, place)| inside(*place)) {
        let word = match kind {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Different => "different",
            Kind::Waiting => "waiting",
            Kind::Older => "older",
        };
        *counts.entry(word).or_default() += 1;
        if matches!(kind, Kind::Missing | Kind::Extra | Kind::Different) {
            wrong = true;
            if let Some(place) = place {
                seen = Some(seen.map_or((*place, *place), |(a, b)| (a.min(*place), b.max(*place))));
            }
        }
    }
    let narrowed = seen.map(|(a, b)| (label(a), label(b))).filter(|(a, _)| !a.is_empty());
    let unknown = source != destination && !report.differences.complete && !plan.shared;
    WindowReport { from, to, source, destination, differs: wrong || unknown, found: counts, narrowed }
}
