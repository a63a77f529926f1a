//! "Did you mean": the known name that a wrong one is nearest to.

/// The known name nearest to `wrong`, if one is near enough to be what was meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long text is not a slip of the finger, and comparing it costs its length squared.
    let letters = wrong.chars().count();
    if letters > 100 {
        return None;
    }
    let allowed = 1.max((letters + 1) / 3);
    let folded = wrong.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (apart(&folded, &name.to_lowercase().replace('-', "_"), allowed), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ` (did you mean "x"?)`, or nothing.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known).map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

/// A name as a message shows it: quoted, and cut where it is long.
pub fn shown(name: &str) -> String {
    if name.chars().count() <= 80 {
        return format!("{name:?}");
    }
    let start: String = name.chars().take(60).collect();
    format!("{start:?}… ({} bytes)", name.len())
}

/// The distance; names that begin alike (`retry`, `retries`) count as near.
fn apart(a: &str, b: &str, allowed: usize) -> usize {
    let shared = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let distance = distance(a, b);
    if shared >= 4 && distance <= 4 { distance.min(allowed) } else { distance }
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (get(&last, j + 1) + 1).min(get(&row, j) + 1);
            best = best.min(get(&last, j) + usize::from(x != y));
            if i > 0 && j > 0 && b.get(j - 1) == Some(x) && a.get(i - 1) == Some(y) {
                best = best.min(get(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far() {
        let known = ["cursor", "columns", "primary_key", "where"];
        assert_eq!(nearest("cursro", known), Some("cursor"));
        assert_eq!(nearest("primaryKey", known), Some("primary_key"));
        assert_eq!(nearest("primary-key", known), Some("primary_key"));
        assert_eq!(nearest("colums", known), Some("columns"));
        assert_eq!(nearest("retry", ["retries", "where"]), Some("retries"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"c".repeat(5_000), known), None);
        assert_eq!(did_you_mean("wehre", known), " (did you mean \"where\"?)");
        assert!(shown(&"é".repeat(300)).ends_with("(600 bytes)"));
    }
}
