//! Adding a connection: from where, under which name, to where, does it work, what is loaded how.
//! Nothing is saved before the last step; Escape goes one step back.

use serde_json::{Map, Value, json};
use waybill_protocol::{CatalogStream, Connector, Error, Kind, Result, Role, StreamSelection};

use super::fields::{self, Sheet};
use super::plan::{Plan, entries};
use super::trouble::{self, Way};
use super::{Menu, connection, destination, streams, survives, view};
use crate::cli::prompt::{Ask, Choice, Item, ask, choose};
use crate::manage::{self, Draft, SecretChanges, Trial, trial};
use crate::store::config::{EMBEDDED_NAME, EMBEDDED_PATH, EMBEDDED_TYPE, load};
use crate::store::name::check_name;

/// Where the dialogue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Source,
    Settings,
    Name,
    Destination,
    Test,
    Streams,
    Review,
}

/// What has been answered so far.
#[derive(Default)]
struct Answers {
    /// The address that was pasted, without its password; none where settings are asked one by one.
    pasted: bool,
    system: String,
    settings: Map<String, Value>,
    secrets: SecretChanges,
    /// A name that fits.
    proposal: String,
    name: String,
    destination: Option<String>,
    enabled: bool,
    /// Streams that the address itself names.
    named: Vec<Value>,
    found: Vec<CatalogStream>,
    plans: Vec<Plan>,
}

/// Where to go from a step.
enum Go {
    On(Step),
    Back(Step),
    Leave,
}

/// Adds a connection.
pub(super) async fn add(menu: &Menu<'_>) -> Result<()> {
    let mut answers = Answers { enabled: true, ..Answers::default() };
    let mut step = Step::Source;
    loop {
        let go = match step {
            Step::Source => source(menu, &mut answers)?,
            Step::Settings => settings(menu, &mut answers)?,
            Step::Name => name(menu, &mut answers)?,
            Step::Destination => to_where(menu, &mut answers).await?,
            Step::Test => test(menu, &mut answers).await?,
            Step::Streams => choose_streams(menu, &mut answers).await?,
            Step::Review => review(menu, &mut answers).await?,
        };
        match go {
            Go::On(next) | Go::Back(next) => step = next,
            Go::Leave => return Ok(()),
        }
    }
}

fn source(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    let specs = menu.registry.iter().map(|connector| connector.spec());
    let specs: Vec<_> = specs.filter(|spec| spec.roles.contains(&Role::Source)).collect();
    let mut items = vec![Item::new("Paste an address or a path", "postgresql://…, shop.db, data/*.csv")];
    items.extend(specs.iter().map(|spec| Item::new(spec.title, "settings one by one")));
    let choice = Choice { passing: true, ..Choice::new("Load from where?", &items) };
    let Some(index) = choose(menu.terminal, &choice)? else { return Ok(Go::Leave) };
    let spec = index.checked_sub(1).and_then(|index| specs.get(index));
    let system = spec.map_or("", |spec| spec.name);
    if spec.is_none() || answers.system != system {
        (answers.settings, answers.secrets, answers.named) = (Map::new(), SecretChanges::new(), Vec::new());
        answers.found.clear();
        answers.plans.clear();
    }
    answers.pasted = spec.is_none();
    answers.system = system.to_owned();
    answers.proposal = system.to_owned();
    Ok(Go::On(Step::Settings))
}

fn settings(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    if !answers.pasted {
        return one_by_one(menu, answers);
    }
    let judge = |text: &str| {
        manage::url::parse(text).map(drop).map_err(|error| {
            let hint = error.get_hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{error}{hint}")
        })
    };
    let help = "postgresql://user:password@host:5432/database, the path of a SQLite file, or of files \
                such as data/*.csv; a password goes to secrets.toml only";
    let question = Ask { help, address: true, judge: Some(&judge), ..Ask::new("Address or path") };
    let Some(text) = ask(menu.terminal, &question)? else { return Ok(Go::Back(Step::Source)) };
    let Some(found) = survives(menu, manage::url::parse(&text))? else { return Ok(Go::On(Step::Settings)) };
    answers.system = found.system;
    answers.settings = found.settings;
    answers.secrets = SecretChanges::new();
    if let Some((key, password)) = found.password {
        fields::put_secret(&mut answers.secrets, key, password);
    }
    answers.named = found.streams;
    answers.proposal = found.name;
    answers.plans.clear();
    Ok(Go::On(Step::Name))
}

pub(super) fn connector<'m>(menu: &'m Menu<'_>, system: &str) -> Result<&'m dyn Connector> {
    let found = menu.registry.iter().find(|connector| connector.spec().name == system);
    found.map(AsRef::as_ref).ok_or_else(|| Error::config(format!("no connector {system:?} in this build")))
}

/// The settings that almost every system wants, one after another.
fn one_by_one(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    let sheet = Sheet { connector: connector(menu, &answers.system)?, role: Role::Source };
    if !fields::usual_ones(menu, sheet, &mut answers.settings, &mut answers.secrets)? {
        return Ok(Go::Back(Step::Source));
    }
    for key in ["database", "path"] {
        if let Some(text) = answers.settings.get(key).and_then(Value::as_str) {
            let stem = text.rsplit('/').next().unwrap_or(text).split('.').next().unwrap_or(text);
            if check_name("connection name", stem).is_ok() {
                answers.proposal = stem.to_owned();
            }
        }
    }
    Ok(Go::On(Step::Name))
}

/// The names that are taken; none where there is no config yet.
fn taken(menu: &Menu<'_>) -> Vec<String> {
    let config = load(menu.project);
    config.map(|config| config.names().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

fn free(proposal: &str, taken: &[String]) -> String {
    let is_free = |name: &String| taken.iter().all(|other| !other.eq_ignore_ascii_case(name));
    let numbered = (2..10_000).map(|number| format!("{proposal}_{number}"));
    std::iter::once(proposal.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

fn name(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    let taken = taken(menu);
    let judge = |text: &str| {
        check_name("connection name", text).map_err(|e| match e.get_hint() {
            Some(hint) => format!("{e}; {hint}"),
            None => e.to_string(),
        })?;
        match taken.iter().find(|name| name.eq_ignore_ascii_case(text)) {
            Some(name) => Err(format!("there is a connection {name} already")),
            None => Ok(()),
        }
    };
    let proposal =
        if answers.name.is_empty() { free(&answers.proposal, &taken) } else { answers.name.clone() };
    let question = Ask {
        default: (!proposal.is_empty()).then_some(proposal.as_str()),
        judge: Some(&judge),
        ..Ask::new("Name of the connection")
    };
    match ask(menu.terminal, &question)? {
        Some(name) => answers.name = name,
        None => return Ok(Go::Back(Step::Settings)),
    }
    Ok(Go::On(Step::Destination))
}

async fn to_where(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    let config = load(menu.project).ok();
    let mut known: Vec<(String, String)> = Vec::new();
    let mut default = None;
    match &config {
        Some(config) => {
            default = config.destination.clone();
            known.extend(config.destinations.iter().map(|d| (d.name.clone(), d.system.clone())));
        }
        None => known.push((EMBEDDED_NAME.to_owned(), format!("{EMBEDDED_TYPE}, {EMBEDDED_PATH}"))),
    }
    let is_default = |name: &str| default.as_deref().map_or(known.len() == 1, |default| default == name);
    let mut items: Vec<Item> = Vec::new();
    for (name, system) in &known {
        let star = if is_default(name) { ", the default" } else { "" };
        items.push(Item::new(name.clone(), format!("{system}{star}")));
    }
    items.push(Item::new("Add another destination", ""));
    let wanted = answers.destination.clone();
    let current = |name: &str| wanted.as_ref().map_or_else(|| is_default(name), |wanted| wanted == name);
    let start = known.iter().position(|(name, _)| current(name)).unwrap_or(0);
    let choice = Choice { start, ..Choice::new("Load to where?", &items) };
    let Some(index) = choose(menu.terminal, &choice)? else { return Ok(Go::Back(Step::Name)) };
    match known.get(index) {
        Some((name, _)) => answers.destination = (!is_default(name)).then(|| name.clone()),
        None => {
            if let Some(name) = destination::add(menu).await? {
                answers.destination = Some(name);
            }
            return Ok(Go::On(Step::Destination));
        }
    }
    Ok(Go::On(Step::Test))
}

/// The connection as it stands in the answers.
fn draft(menu: &Menu<'_>, answers: &Answers) -> Result<Draft> {
    let mut draft = Draft::new(&answers.name, &answers.system);
    draft.entry.insert("enabled".to_owned(), json!(answers.enabled));
    if let Some(destination) = &answers.destination {
        draft.entry.insert("destination".to_owned(), json!(destination));
    }
    let mut schema = answers.settings.clone();
    let streams = if answers.plans.is_empty() { json!(answers.named) } else { entries(&answers.plans) };
    if streams.as_array().is_some_and(|list| !list.is_empty()) {
        schema.insert("streams".to_owned(), streams);
    }
    draft.entry.insert("schema".to_owned(), Value::Object(schema));
    draft.secrets = answers.secrets.clone();
    draft.part(&menu.registry)?;
    Ok(draft)
}

fn trial_of(menu: &Menu<'_>, answers: &Answers) -> Result<Trial> {
    trial(menu.project, &draft(menu, answers)?, &menu.registry)
}

async fn test(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    menu.say_command(&["connection", "test", &answers.name]);
    loop {
        let tested = match trial_of(menu, answers) {
            Ok(trial) => trouble::attempt(menu, &trial).await?,
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            Err(error) => {
                menu.failed(&error);
                match wrong(menu)? {
                    Some(true) => continue,
                    Some(false) if form(menu, answers)? => continue,
                    _ => return Ok(Go::Back(Step::Destination)),
                }
            }
        };
        let Some(tested) = tested else { return Ok(Go::Back(Step::Destination)) };
        trouble::show(menu, &tested)?;
        if tested.passed {
            // It may be another source than the one that was looked at before.
            answers.found.clear();
            return Ok(Go::On(Step::Streams));
        }
        loop {
            match trouble::choose_way(menu, &tested, false)? {
                Some(Way::Retry) => break,
                Some(Way::Secret) => {
                    let held: Vec<String> = answers.secrets.keys().cloned().collect();
                    let key = trouble::which_secret(menu, &answers.system, &held)?;
                    if let Some(key) = key
                        && trouble::ask_secret(menu, &key, &mut answers.secrets)?
                    {
                        break;
                    }
                }
                Some(Way::Settings) => {
                    if form(menu, answers)? {
                        break;
                    }
                }
                Some(Way::Full) => trouble::in_full(menu, &tested),
                Some(Way::Save) => {
                    answers.enabled = false;
                    if save(menu, answers)? {
                        return Ok(Go::Leave);
                    }
                    answers.enabled = true;
                }
                Some(Way::GiveUp) => {
                    menu.terminal.note("given up: nothing was saved");
                    return Ok(Go::Leave);
                }
                None => return Ok(Go::Back(Step::Destination)),
            }
        }
    }
}

fn form(menu: &Menu<'_>, answers: &mut Answers) -> Result<bool> {
    let sheet = Sheet { connector: connector(menu, &answers.system)?, role: Role::Source };
    let go_on = ("Test again", "with these settings");
    fields::form(menu, sheet, go_on, &mut answers.settings, &mut answers.secrets, &[])
}

/// What to do where the settings are wrong in themselves: try again (`true`), edit (`false`).
fn wrong(menu: &Menu<'_>) -> Result<Option<bool>> {
    let items = [
        Item::new("Edit settings", "how the source is reached"),
        Item::new("Try again", "where the config was mended meanwhile"),
        Item::new("Back", ""),
    ];
    let choice = Choice { passing: true, ..Choice::new("That cannot be tried as it is. What now?", &items) };
    Ok(match choose(menu.terminal, &choice)? {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => None,
    })
}

async fn choose_streams(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    let trial = match survives(menu, trial_of(menu, answers))? {
        Some(trial) => trial,
        None => return Ok(Go::Back(Step::Test)),
    };
    if answers.found.is_empty() {
        let selected: Vec<StreamSelection> =
            answers.named.iter().filter_map(|value| serde_json::from_value(value.clone()).ok()).collect();
        let sessions = || trial.sessions(menu.project, &menu.registry);
        match survives(menu, streams::catalog(menu, sessions, &selected).await)? {
            Some(Some(found)) => answers.found = found,
            _ => return Ok(Go::Back(Step::Destination)),
        }
    }
    if answers.found.is_empty() {
        menu.terminal.note(
            "the source has no streams that this user can see: add some with `connection select` later",
        );
        return Ok(Go::On(Step::Review));
    }
    let path = streams::wants_path(connector(menu, &answers.system)?);
    // An address that names its stream has answered the question already.
    if !answers.named.is_empty() {
        answers.plans = answers
            .found
            .iter()
            .zip(&answers.named)
            .map(|(stream, entry)| Plan {
                why: "files are read whole".to_owned(),
                ..Plan::of_entry(stream, entry, path)
            })
            .collect();
        return Ok(Go::On(Step::Review));
    }
    match streams::choose_streams(menu, &answers.found, &answers.plans, path)? {
        None => Ok(Go::Back(Step::Destination)),
        Some(plans) => {
            answers.plans = plans;
            Ok(Go::On(Step::Review))
        }
    }
}

async fn review(menu: &Menu<'_>, answers: &mut Answers) -> Result<Go> {
    let back =
        if answers.named.is_empty() && !answers.found.is_empty() { Step::Streams } else { Step::Destination };
    loop {
        let draft = draft(menu, answers)?;
        let secrets: Vec<String> =
            draft.secrets.keys().map(|key| format!("sources.{}.{key}", answers.name)).collect();
        let file = menu.project.secrets_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entry = Value::Object(draft.entry.clone());
        let above = format!("\n{}", view::entry(&entry, &secrets, &file));
        let mut items = vec![
            Item::new("Save and run", ""),
            Item::new("Save", ""),
            Item::new("Give up", "nothing is saved"),
        ];
        if !answers.plans.is_empty() {
            items.push(Item::heading("── or change how a stream is loaded"));
        }
        items.extend(answers.plans.iter().map(|plan| Item::new(plan.entry_name(), plan.how())));
        let choice = Choice { passing: true, above: &above, ..Choice::new("Save it?", &items) };
        match choose(menu.terminal, &choice)? {
            None => return Ok(Go::Back(back)),
            Some(index @ (0 | 1)) => {
                if !save(menu, answers)? {
                    return Ok(Go::On(Step::Name));
                }
                if index == 0 {
                    connection::run(menu, &answers.name).await?;
                }
                return Ok(Go::Leave);
            }
            Some(2) => {
                menu.terminal.note("given up: nothing was saved");
                return Ok(Go::Leave);
            }
            Some(index) => {
                let plan = index.checked_sub(4).and_then(|index| answers.plans.get_mut(index));
                if let Some(plan) = plan
                    && let Some(stream) = answers.found.iter().find(|stream| stream.name == plan.stream)
                {
                    streams::change(menu, stream, plan)?;
                }
            }
        }
    }
}

/// Saves the connection; false where that was refused, which is shown.
fn save(menu: &Menu<'_>, answers: &Answers) -> Result<bool> {
    let draft = draft(menu, answers)?;
    menu.say_command(&words(answers));
    let each = answers.plans.iter().filter_map(|plan| plan.words(None, true));
    each.for_each(|words| streams::say_select(menu, &answers.name, &words));
    match survives(menu, manage::add(menu.project, &draft, &menu.registry))? {
        None => Ok(false),
        Some(added) => {
            menu.terminal.note(&format!("saved: {}", added.name));
            added.notes.iter().for_each(|note| menu.terminal.warn(note));
            Ok(true)
        }
    }
}

/// The command that adds the same connection.
fn words(answers: &Answers) -> Vec<String> {
    let mut words =
        ["connection", "add", &answers.name, "--type", &answers.system].map(str::to_owned).to_vec();
    for (key, value) in &answers.settings {
        words.extend(["--set".to_owned(), format!("{key}={}", fields::shown(Some(value)))]);
    }
    for key in answers.secrets.keys() {
        words.extend(["--secret".to_owned(), key.clone()]);
    }
    if let Some(destination) = &answers.destination {
        words.extend(["--destination".to_owned(), destination.clone()]);
    }
    for plan in answers.plans.iter().filter(|plan| !plan.by_file()) {
        words.extend(["--stream".to_owned(), plan.entry_name().to_owned()]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_is_proposed() {
        let taken = ["shop".to_owned(), "Shop_2".to_owned()];
        assert_eq!(free("crm", &taken), "crm");
        assert_eq!(free("SHOP", &taken), "SHOP_3");
    }
}
