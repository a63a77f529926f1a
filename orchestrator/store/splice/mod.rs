//! Changing a JSON text so that only the changed values change: order, formatting, line ends and
//! everything untouched stay byte for byte.

use std::ops::Range;

use serde_json::{Map, Value};
use waybill_protocol::{Error, Result};

use super::span::{Form, JsonPath, Member, Node, scan};

/// The text of `after`, made from a text that holds something else. Members keep the place that
/// the text gives them; new ones come behind the member that they follow in `after`.
pub fn splice(text: &str, after: &Value) -> Result<String> {
    let before: Value =
        serde_json::from_str(text).map_err(|e| Error::internal("a text to edit is not JSON").cause(e))?;
    let root = scan(text)?;
    let mut job = Splice { text, style: Style::of(text, &root), edits: Vec::new() };
    job.value(&root, &before, after, &JsonPath::default())?;
    job.edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for (range, new) in &job.edits {
        out.push_str(text.get(at..range.start).ok_or_else(lost)?);
        out.push_str(new);
        at = range.end;
    }
    out.push_str(text.get(at..).ok_or_else(lost)?);
    // The proof that the edit says what was meant, and nothing else.
    let read: Value = serde_json::from_str(&out).map_err(|e| lost().cause(e))?;
    if read == *after { Ok(out) } else { Err(lost()) }
}

fn lost() -> Error {
    Error::internal("an edit of the JSON text did not give the value that was meant; nothing was written")
}

/// How a text is laid out.
struct Style {
    /// One level of indentation; `None` where everything stands on one line.
    indent: Option<String>,
    newline: &'static str,
}

impl Style {
    fn of(text: &str, root: &Node) -> Style {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let first = match &root.form {
            Form::Object(members) => members.first().map(|member| member.key_span.start),
            Form::Array(items) => items.first().map(|item| item.span.start),
            Form::Scalar => None,
        };
        let indent = match first {
            None => Some("  ".to_owned()),
            Some(first) => {
                let gap = text.get(root.span.start + 1..first).unwrap_or_default();
                gap.rfind('\n').map(|at| {
                    let indent = gap.get(at + 1..).unwrap_or_default();
                    if indent.is_empty() { "  ".to_owned() } else { indent.to_owned() }
                })
            }
        };
        Style { indent, newline }
    }
}

struct Splice<'a> {
    text: &'a str,
    style: Style,
    edits: Vec<(Range<usize>, String)>,
}

impl Splice<'_> {
    fn value(&mut self, node: &Node, before: &Value, after: &Value, here: &JsonPath) -> Result<()> {
        if before == after {
            return Ok(());
        }
        match (&node.form, before, after) {
            (Form::Object(members), Value::Object(old), Value::Object(new)) if !members.is_empty() => {
                self.object(node, members, (old, new), here)
            }
            (Form::Array(items), Value::Array(old), Value::Array(new)) if !items.is_empty() => {
                self.array(node, items, (old, new), here)
            }
            _ => {
                self.replace(node, after);
                Ok(())
            }
        }
    }

    fn replace(&mut self, node: &Node, after: &Value) {
        let base = self.indent_at(node.span.start);
        let old = self.text.get(node.span.clone()).unwrap_or_default();
        // An empty container says nothing about how a full one is to be laid out.
        let spread = self.style.indent.is_some() && (old.contains('\n') || !has_members(node));
        let text = self.render(after, &base, spread);
        self.edits.push((node.span.clone(), text));
    }

    fn object(
        &mut self,
        node: &Node,
        members: &[Member],
        (old, new): (&Map<String, Value>, &Map<String, Value>),
        here: &JsonPath,
    ) -> Result<()> {
        if let Some(twice) = members.iter().enumerate().find_map(|(i, member)| {
            members.iter().skip(i + 1).any(|other| other.key == member.key).then_some(&member.key)
        }) {
            return Err(Error::config(format!("{} stands twice", here.key(twice)))
                .hint("remove one of the two by hand; it is not clear which one counts"));
        }
        let kept: Vec<bool> = members.iter().map(|member| new.contains_key(&member.key)).collect();
        if !kept.contains(&true) {
            self.replace(node, &Value::Object(new.clone()));
            return Ok(());
        }
        let starts: Vec<usize> = members.iter().map(|member| member.key_span.start).collect();
        let ends: Vec<usize> = members.iter().map(|member| member.value.span.end).collect();
        self.remove(&kept, &starts, &ends);
        let colon = self.colon(members);
        let mut anchor = None;
        for (key, value) in new {
            match members.iter().position(|member| member.key == *key) {
                Some(at) => {
                    anchor = Some(at);
                    if let (Some(member), Some(was)) = (members.get(at), old.get(key)) {
                        self.value(&member.value, was, value, &here.key(key))?;
                    }
                }
                None => {
                    let key = Value::from(key.as_str()).to_string();
                    self.insert(node, anchor, (&starts, &ends), &format!("{key}{colon}"), value);
                }
            }
        }
        Ok(())
    }

    fn array(
        &mut self,
        node: &Node,
        items: &[Node],
        (old, new): (&[Value], &[Value]),
        here: &JsonPath,
    ) -> Result<()> {
        if new.is_empty() {
            self.replace(node, &Value::Array(Vec::new()));
            return Ok(());
        }
        let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let most = old.len().min(new.len()) - head;
        let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
        // Between the equal ends: pairs are edited in place, what is left over is new or gone.
        let paired = head + (old.len().min(new.len()) - head - tail);
        for at in head..paired {
            if let (Some(item), Some(was), Some(is)) = (items.get(at), old.get(at), new.get(at)) {
                self.value(item, was, is, &here.index(at))?;
            }
        }
        let starts: Vec<usize> = items.iter().map(|item| item.span.start).collect();
        let ends: Vec<usize> = items.iter().map(|item| item.span.end).collect();
        let kept: Vec<bool> = (0..old.len()).map(|at| at < paired || at >= old.len() - tail).collect();
        self.remove(&kept, &starts, &ends);
        for value in new.iter().take(new.len() - tail).skip(paired).filter(|_| old.len() < new.len()) {
            self.insert(node, paired.checked_sub(1), (&starts, &ends), "", value);
        }
        Ok(())
    }

    /// Takes entries out, each with one comma: the one before it, or behind where it comes first.
    fn remove(&mut self, kept: &[bool], starts: &[usize], ends: &[usize]) {
        let first = kept.iter().position(|kept| *kept).unwrap_or(0);
        for at in (0..kept.len()).filter(|at| !kept.get(*at).copied().unwrap_or(true)) {
            let range = if at < first {
                starts.get(at).zip(starts.get(at + 1))
            } else {
                at.checked_sub(1).and_then(|before| ends.get(before)).zip(ends.get(at))
            };
            if let Some((from, to)) = range {
                self.edits.push((*from..*to, String::new()));
            }
        }
    }

    /// Puts an entry behind the one at `anchor`, or before all, separated as its neighbours are.
    fn insert(
        &mut self,
        node: &Node,
        anchor: Option<usize>,
        (starts, ends): (&[usize], &[usize]),
        key: &str,
        value: &Value,
    ) {
        let gap = self.gap(node, starts, ends);
        let base = gap.rfind('\n').map(|at| gap.get(at + 1..).unwrap_or_default().to_owned());
        let text = match &base {
            Some(base) => self.render(value, base, true),
            None => self.render(value, "", false),
        };
        match anchor.and_then(|at| ends.get(at)) {
            Some(end) => self.edits.push((*end..*end, format!(",{gap}{key}{text}"))),
            None => {
                let start = starts.first().copied().unwrap_or(node.span.start + 1);
                self.edits.push((start..start, format!("{key}{text},{gap}")));
            }
        }
    }

    /// The white space between a comma and the entry behind it, as this container has it.
    fn gap(&self, node: &Node, starts: &[usize], ends: &[usize]) -> String {
        let first = starts.first().copied().unwrap_or(node.span.start + 1);
        let opening = self.text.get(node.span.start + 1..first).unwrap_or_default();
        if opening.contains('\n') {
            return opening.to_owned();
        }
        let between = ends.first().zip(starts.get(1));
        match between.and_then(|(end, start)| self.text.get(*end..*start)) {
            Some(between) => between.replacen(',', "", 1),
            None if self.style.indent.is_none() && !self.text.contains(": ") => String::new(),
            None => " ".to_owned(),
        }
    }

    fn colon(&self, members: &[Member]) -> String {
        let gap = members.last().and_then(|m| self.text.get(m.key_span.end..m.value.span.start));
        gap.filter(|gap| !gap.contains('\n')).unwrap_or(": ").to_owned()
    }

    /// The indentation of the line that a byte stands on.
    fn indent_at(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rfind('\n').map_or(before, |end| before.get(end + 1..).unwrap_or_default());
        line.chars().take_while(|c| *c == ' ' || *c == '\t').collect()
    }

    /// A new value: on one line where it is short and flat or where its surroundings are.
    fn render(&self, value: &Value, base: &str, spread: bool) -> String {
        let flat = one_line(value);
        let nested = match value {
            Value::Object(map) => map.values().any(has_parts),
            Value::Array(items) => items.iter().any(has_parts),
            _ => false,
        };
        let Some(indent) = self.style.indent.as_ref().filter(|_| spread) else { return flat };
        if !has_parts(value) || (!nested && flat.chars().count() <= 100) {
            return flat;
        }
        let inner = format!("{base}{indent}");
        let newline = self.style.newline;
        let (open, close, parts): (char, char, Vec<String>) = match value {
            Value::Object(map) => {
                let part = |(key, value): (&String, &Value)| {
                    format!("{}: {}", Value::from(key.as_str()), self.render(value, &inner, true))
                };
                ('{', '}', map.iter().map(part).collect())
            }
            Value::Array(items) => {
                ('[', ']', items.iter().map(|item| self.render(item, &inner, true)).collect())
            }
            _ => return flat,
        };
        let lines = parts.join(&format!(",{newline}{inner}"));
        format!("{open}{newline}{inner}{lines}{newline}{base}{close}")
    }
}

fn has_members(node: &Node) -> bool {
    match &node.form {
        Form::Scalar => false,
        Form::Array(items) => !items.is_empty(),
        Form::Object(members) => !members.is_empty(),
    }
}

fn has_parts(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

/// A value on one line, with a space behind each comma and colon.
fn one_line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let part = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), one_line(value))
            };
            format!("{{{}}}", map.iter().map(part).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
