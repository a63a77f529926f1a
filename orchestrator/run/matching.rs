//! Which catalog streams a selection means (pure).

use waybill_protocol::{Catalog, CatalogStream, Error, Kind, StreamSelection};

use crate::store::nearest::nearest;

/// A selected stream with what discovery found, or why it cannot be loaded.
pub type Match = (StreamSelection, Result<CatalogStream, Error>);

/// Refuses names that no selection can mean, before anything is begun.
pub fn known(selections: &[StreamSelection], only: &[String]) -> Result<(), Error> {
    let names: Vec<&str> = selections.iter().filter(|s| s.enabled).map(|s| s.name.as_str()).collect();
    let meant = |name: &str| {
        selections.iter().any(|s| s.enabled && (s.name == name || (is_pattern(s) && fits(&s.name, name))))
    };
    match only.iter().find(|name| !meant(name)) {
        None => Ok(()),
        Some(unknown) => Err(Error::config(format!("no selected stream {unknown:?}"))
            .hint(format!("selected streams are: {}", some_of(&names)))),
    }
}

/// Pairs selections with streams. A name with `*` stands for every stream that matches and is not
/// selected by its own entry. `only` limits the result to these names.
pub fn matches(
    selections: &[StreamSelection],
    catalog: &Catalog,
    only: &[String],
) -> Result<Vec<Match>, Error> {
    let mut out: Vec<Match> = Vec::new();
    let enabled = || selections.iter().filter(|s| s.enabled);
    for (index, selection) in selections.iter().enumerate() {
        if selections[..index].iter().any(|earlier| earlier.name == selection.name) {
            return Err(Error::config(format!("stream {:?} is selected twice", selection.name))
                .hint("remove one of the two entries, or give a query or a path a name of its own"));
        }
    }
    let named = |name: &str| selections.iter().any(|s| s.name == name);
    for selection in enabled() {
        if is_pattern(selection) {
            let found = catalog.streams.iter().filter(|s| fits(&selection.name, &s.name) && !named(&s.name));
            let mut any = false;
            for stream in found {
                any = true;
                if !out.iter().any(|(s, _)| s.name == stream.name) {
                    let own = StreamSelection { name: stream.name.clone(), ..selection.clone() };
                    out.push((own, Ok(stream.clone())));
                }
            }
            if !any {
                out.push((selection.clone(), Err(missing(selection, catalog))));
            }
        } else {
            let found = catalog.streams.iter().find(|s| s.name == selection.name).cloned();
            let found = found.ok_or_else(|| missing(selection, catalog));
            out.push((selection.clone(), found));
        }
    }
    if !only.is_empty() {
        out.retain(|(selection, _)| only.contains(&selection.name));
        if let Some(missing) = only.iter().find(|name| !out.iter().any(|(s, _)| s.name == **name)) {
            let wanted = StreamSelection::named(missing.as_str());
            let error = self::missing(&wanted, catalog);
            out.push((wanted, Err(error)));
        }
    }
    Ok(out)
}

fn is_pattern(selection: &StreamSelection) -> bool {
    selection.name.contains('*') && selection.query.is_none()
}

fn missing(selection: &StreamSelection, catalog: &Catalog) -> Error {
    let names: Vec<&str> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
    let hint = match nearest(&selection.name, names.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "run `waybill connection discover` to see what there is".to_owned(),
    };
    Error::new(Kind::NotFound, format!("the source has no stream {:?}", selection.name))
        .stream(&selection.name)
        .hint(hint)
}

/// Whether a name fits a pattern with `*`.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The first names of a list, for a hint.
pub fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(", … ({} in all)", names.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::Schema;
    use std::sync::Arc;

    fn catalog(names: &[&str]) -> Catalog {
        let stream = |name: &&str| CatalogStream {
            name: (*name).into(),
            namespace: None,
            table: (*name).into(),
            kind: "table".into(),
            schema: Arc::new(Schema::empty()),
            primary_key: Vec::new(),
            distinct: false,
            cursors: Vec::new(),
            rows: None,
            bytes: None,
            notes: Vec::new(),
        };
        Catalog { identity: "x".into(), streams: names.iter().map(stream).collect() }
    }

    #[test]
    fn patterns_stand_for_what_has_no_entry_of_its_own() {
        let selections = [StreamSelection::named("public.*"), StreamSelection::named("public.orders")];
        let found = matches(&selections, &catalog(&["public.a", "public.orders", "other.b"]), &[]).unwrap();
        let names: Vec<_> = found.iter().map(|(s, _)| s.name.as_str()).collect();
        assert_eq!(names, ["public.a", "public.orders"]);
        assert!(fits("*", "x") && fits("a*c", "abc") && !fits("a*c", "abd") && !fits("ab", "abc"));
        assert!(!fits("a*a", "a"));
    }

    #[test]
    fn what_is_missing_is_named_with_the_nearest() {
        let found =
            matches(&[StreamSelection::named("public.order")], &catalog(&["public.orders"]), &[]).unwrap();
        let error = found[0].1.as_ref().unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.get_hint().unwrap().contains("public.orders"));
        let twice = [StreamSelection::named("a"), StreamSelection::named("a")];
        assert_eq!(matches(&twice, &catalog(&["a"]), &[]).unwrap_err().kind(), Kind::Config);
        let only = known(&[StreamSelection::named("a")], &["b".into()]).unwrap_err();
        assert_eq!((only.kind(), only.get_hint()), (Kind::Config, Some("selected streams are: a")));
        assert!(known(&[StreamSelection::named("public.*")], &["public.x".into()]).is_ok());
    }
}
