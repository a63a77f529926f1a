//! Settings asked one by one, from the connector's own schema: nothing here knows any system.

use serde_json::{Map, Value};
use waybill_protocol::{Connector, Result, Role, Secret};

use super::Menu;
use crate::cli::prompt::{Ask, Choice, Item, ask, choose, secret};
use crate::manage::SecretChanges;
use crate::secrets::NewValue;
use crate::store::shape::Shape;

/// Settings that almost every server wants, which no schema calls required, since an address may
/// stand for all of them.
const USUAL: [&str; 6] = ["host", "port", "database", "user", "password", "path"];

/// What kind of value a setting takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sort {
    /// A text.
    Text,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// One of these words, each with what it means.
    OneOf(Vec<(String, String)>),
    /// Something else, written as JSON.
    Json,
}

/// A setting, as a person is asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) help: String,
    pub(super) sort: Sort,
    pub(super) secret: bool,
    pub(super) required: bool,
}

/// The settings that a JSON Schema describes, in its order.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let shape = Shape::of(schema);
    let required = shape.required();
    let field = |key: &str| {
        let member = shape.member(key)?;
        Some(Field {
            key: key.to_owned(),
            help: help(&member),
            sort: sort(&member),
            secret: member.secret(),
            required: required.contains(&key),
        })
    };
    shape.names().into_iter().filter_map(field).collect()
}

/// Those that are asked for without being looked for.
pub(super) fn usual(fields: &[Field]) -> Vec<&Field> {
    fields.iter().filter(|field| field.required || USUAL.contains(&field.key.as_str())).collect()
}

fn help(shape: &Shape<'_>) -> String {
    let said = shape.schemas().find_map(|schema| schema.get("description").and_then(Value::as_str));
    said.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "")
}

fn sort(shape: &Shape<'_>) -> Sort {
    let mut words: Vec<(String, String)> = Vec::new();
    for schema in shape.schemas() {
        let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        if let Some(word) = schema.get("const").and_then(Value::as_str) {
            words.push((word.to_owned(), described.replace('\n', " ")));
        }
        for word in schema.get("enum").and_then(Value::as_array).into_iter().flatten() {
            words.extend(word.as_str().map(|word| (word.to_owned(), String::new())));
        }
    }
    match () {
        () if !words.is_empty() => Sort::OneOf(words),
        () if shape.has_type("boolean") => Sort::Flag,
        () if shape.has_type("integer") || shape.has_type("number") => Sort::Number,
        () if shape.has_type("array") || shape.has_type("object") => Sort::Json,
        () => Sort::Text,
    }
}

/// A text as the value of a setting.
pub(super) fn read(field: &Field, text: &str) -> std::result::Result<Value, String> {
    match &field.sort {
        Sort::Text => Ok(Value::from(text)),
        Sort::Number => match serde_json::from_str::<Value>(text.trim()) {
            Ok(value) if value.is_number() => Ok(value),
            _ => Err(format!("{} must be a number", field.key)),
        },
        Sort::Flag => text.trim().parse::<bool>().map(Value::from).map_err(|_| "true or false".to_owned()),
        Sort::OneOf(words) if words.iter().any(|(word, _)| word == text) => Ok(Value::from(text)),
        Sort::OneOf(words) => {
            let words: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
            Err(format!("must be one of: {}", words.join(", ")))
        }
        Sort::Json => serde_json::from_str(text).map_err(|e| format!("is not JSON: {e}")),
    }
}

/// What the connector says about one setting among the others; what it says about another one,
/// which may still be missing, is for later.
pub(super) fn judge(
    connector: &dyn Connector,
    role: Role,
    settings: &Map<String, Value>,
    field: &Field,
    text: &str,
) -> std::result::Result<(), String> {
    let value = if field.secret { Value::from(text) } else { read(field, text)? };
    let mut all = settings.clone();
    all.shift_remove("streams");
    all.insert(field.key.clone(), value);
    match connector.validate(role, &Value::Object(all)) {
        Err(error) if error.message().starts_with(&format!("{}:", field.key)) => {
            let why = error.message().split_once(": ").map_or("", |(_, why)| why);
            let hint = error.get_hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            Err(format!("{why}{hint}"))
        }
        _ => Ok(()),
    }
}

/// A value as a person reads it in a form.
pub(super) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// What became of a question about one setting.
pub(super) enum Given {
    /// It was answered.
    Done,
    /// One step back.
    Back,
}

/// The settings that are asked for: whose, and in which role.
#[derive(Clone, Copy)]
pub(super) struct Sheet<'c> {
    pub(super) connector: &'c dyn Connector,
    pub(super) role: Role,
}

impl Sheet<'_> {
    /// The settings, in the schema's order.
    pub(super) fn fields(&self) -> Vec<Field> {
        let spec = self.connector.spec();
        fields(&match self.role {
            Role::Source => spec.source.to_value(),
            Role::Destination => spec.destination.to_value(),
        })
    }
}

/// Asks for one setting and puts it where it belongs: into the settings, or to the secrets.
pub(super) fn one(
    menu: &Menu<'_>,
    sheet: Sheet<'_>,
    field: &Field,
    settings: &mut Map<String, Value>,
    secrets: &mut SecretChanges,
) -> Result<Given> {
    if field.secret {
        let held = secrets.contains_key(&field.key);
        let help = if held {
            "nothing typed: it stays as it is"
        } else {
            "it goes to secrets.toml only; nothing typed: none"
        };
        let question = Ask { help, optional: true, ..Ask::new(&field.key) };
        return Ok(match secret(menu.terminal, &question)? {
            None => Given::Back,
            Some(value) => {
                if !value.expose().is_empty() {
                    put_secret(secrets, &field.key, value);
                }
                Given::Done
            }
        });
    }
    let now = shown(settings.get(&field.key));
    let typed = match &field.sort {
        Sort::OneOf(words) => pick(menu, field, words, &now)?,
        Sort::Flag => {
            let words = [("true".to_owned(), String::new()), ("false".to_owned(), String::new())];
            pick(menu, field, &words, &now)?
        }
        _ => {
            let judge = |text: &str| judge(sheet.connector, sheet.role, settings, field, text);
            let question = Ask {
                help: &field.help,
                initial: &now,
                optional: !field.required,
                judge: Some(&judge),
                ..Ask::new(&field.key)
            };
            ask(menu.terminal, &question)?
        }
    };
    match typed {
        None => Ok(Given::Back),
        Some(text) if text.is_empty() => {
            settings.shift_remove(&field.key);
            Ok(Given::Done)
        }
        Some(text) => {
            if let Ok(value) = read(field, &text) {
                settings.insert(field.key.clone(), value);
            }
            Ok(Given::Done)
        }
    }
}

/// Keeps a secret for secrets.toml.
pub(super) fn put_secret(secrets: &mut SecretChanges, key: &str, value: Secret) {
    secrets.insert(key.to_owned(), Some(NewValue::Literal(value)));
}

fn pick(menu: &Menu<'_>, field: &Field, words: &[(String, String)], now: &str) -> Result<Option<String>> {
    let mut items = vec![Item::new("(default)", "")];
    items.extend(words.iter().map(|(word, means)| Item::new(word.clone(), means.clone())));
    let start = words.iter().position(|(word, _)| word == now).map_or(0, |at| at + 1);
    let choice = Choice { start, help: &field.help, ..Choice::new(&field.key, &items) };
    let chosen = choose(menu.terminal, &choice)?;
    Ok(chosen.map(|index| {
        index
            .checked_sub(1)
            .and_then(|index| words.get(index))
            .map_or_else(String::new, |(word, _)| word.clone())
    }))
}

/// Asks for the settings that almost every system wants, one after another; false: back.
pub(super) fn usual_ones(
    menu: &Menu<'_>,
    sheet: Sheet<'_>,
    settings: &mut Map<String, Value>,
    secrets: &mut SecretChanges,
) -> Result<bool> {
    let all = sheet.fields();
    let usual = usual(&all);
    let mut at = 0;
    while let Some(field) = usual.get(at) {
        match one(menu, sheet, field, settings, secrets)? {
            Given::Done => at += 1,
            Given::Back if at == 0 => return Ok(false),
            Given::Back => at -= 1,
        }
    }
    Ok(true)
}

/// A form of all settings, until the person goes on (`true`) or back (`false`).
pub(super) fn form(
    menu: &Menu<'_>,
    sheet: Sheet<'_>,
    go_on: (&str, &str),
    settings: &mut Map<String, Value>,
    secrets: &mut SecretChanges,
    held: &[String],
) -> Result<bool> {
    let fields = sheet.fields();
    let label = format!("Settings of the {}", sheet.role.word());
    let mut start = 0;
    loop {
        let mut items = vec![Item::new(go_on.0, go_on.1)];
        for field in &fields {
            let value = match (field.secret, secrets.get(&field.key)) {
                (true, Some(Some(_))) => "(entered)".to_owned(),
                (true, None) if held.contains(&field.key) => "(in secrets.toml)".to_owned(),
                (true, _) => "-".to_owned(),
                (false, _) => match shown(settings.get(&field.key)).as_str() {
                    "" => "-".to_owned(),
                    text => text.to_owned(),
                },
            };
            items.push(Item::new(field.key.clone(), value));
        }
        let choice = Choice { start, passing: true, ..Choice::new(&label, &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(false) };
        start = index;
        match index.checked_sub(1).and_then(|index| fields.get(index)) {
            None => return Ok(true),
            Some(field) => {
                one(menu, sheet, field, settings, secrets)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_questions_come_from_the_schema() {
        let connector = waybill_connectors::find("postgres").unwrap();
        let found = fields(&connector.spec().source.to_value());
        let keys: Vec<&str> = found.iter().map(|field| field.key.as_str()).collect();
        assert!(
            keys.starts_with(&["url", "host", "port", "database", "user", "password", "tls"]),
            "{keys:?}"
        );
        let field = |key: &str| found.iter().find(|field| field.key == key).unwrap();
        assert_eq!(field("port").sort, Sort::Number);
        assert_eq!(field("port").help, "Default: 5432.");
        assert_eq!(field("pooler").sort, Sort::Flag);
        assert!(field("password").secret && field("url").secret && !field("user").secret);
        let Sort::OneOf(words) = &field("tls").sort else { panic!("{:?}", field("tls")) };
        let words: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["disable", "prefer", "require", "verify-ca", "verify-full"]);
        let usual: Vec<&str> = usual(&found).into_iter().map(|field| field.key.as_str()).collect();
        assert_eq!(usual, ["host", "port", "database", "user", "password"]);
        let sqlite = waybill_connectors::find("sqlite").unwrap();
        let path = &fields(&sqlite.spec().source.to_value())[0];
        assert!(path.required && path.key == "path");
    }

    #[test]
    fn nonsense_is_refused_while_it_is_typed() {
        let connector = waybill_connectors::find("postgres").unwrap();
        let found = fields(&connector.spec().source.to_value());
        let field = |key: &str| found.iter().find(|field| field.key == key).unwrap();
        let settings = json!({"user": "me"}).as_object().cloned().unwrap();
        let judged =
            |key: &str, text: &str| judge(connector.as_ref(), Role::Source, &settings, field(key), text);
        for (key, text) in [
            ("port", "x"),
            ("port", "99999999"),
            ("port", "-1"),
            ("port", "1.5"),
            ("tls", "maybe"),
            ("connect_timeout_ms", "0"),
            ("pooler", "ja"),
        ] {
            assert!(judged(key, text).is_err(), "{key} {text}");
        }
        assert_eq!(judged("port", "5433"), Ok(()));
        assert_eq!(judged("host", "db.example"), Ok(()));
    }
}
