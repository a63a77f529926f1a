//! `waybill connection add`.

use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Connector, Error, Kind, Result, Role};

use super::given::{Given, GivenFlags, Usage};
use super::session::{Systems, until_signal};
use super::tested::{Tested, whole};
use super::{test, wizard};
use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::manage::select::{Wish, select};
use crate::manage::url::FromUrl;
use crate::manage::{self, Added, Draft, Trial};
use crate::secrets::NewValue;
use crate::store::name::check_name;
use crate::store::project::Project;

/// Adds a connection. It is tested first, and not saved where the test fails.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name: letters, digits, _ and -
    #[arg(value_name = "NEW")]
    name: Option<String>,
    /// The system of its source: postgres, sqlite, files, …
    #[arg(long = "type", value_name = "TYPE")]
    system: Option<String>,
    #[command(flatten)]
    given: GivenFlags,
    /// Where it is loaded; the default destination where none is named
    #[arg(long, value_name = "DESTINATION")]
    destination: Option<String>,
    /// Streams to load, by name or pattern, read and written as the source's catalog suggests
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Save it switched off: `run --all` leaves it out
    #[arg(long)]
    disabled: bool,
    /// Save it without testing it
    #[arg(long, conflicts_with_all = ["save_anyway", "stream"])]
    no_test: bool,
    /// Where the test fails, save it switched off instead of not at all
    #[arg(long)]
    save_anyway: bool,
}

/// Adds a connection.
pub(super) async fn add(terminal: &Terminal, project: &Project, args: AddArgs) -> Result<u8> {
    let registry = waybill_connectors::registry();
    let draft = match draft(terminal, project, &args, &registry)? {
        Ok(draft) => draft,
        Err(Usage(message)) => return Ok(terminal.usage("connection add", &message)),
    };
    let trial = manage::trial(project, &draft, &registry)?;
    if args.no_test {
        return saved(terminal, project, manage::add(project, &draft, &registry)?, None);
    }
    let cancel = CancellationToken::new();
    until_signal(terminal, &cancel, tried(terminal, project, &args, draft, trial, &cancel)).await
}

/// The connection that the flags describe; what is missing is asked at a terminal.
fn draft(
    terminal: &Terminal,
    project: &Project,
    args: &AddArgs,
    registry: &[Box<dyn Connector>],
) -> Given<Draft> {
    if let Some(document) = given!(args.given.document()?) {
        return from_document(args, document, terminal, registry);
    }
    let address = given!(args.given.address()?);
    let mut draft = match (address, &args.system) {
        (Some(found), Some(system)) if found.system != *system => {
            let usage = format!("--type {system}, but the address is one of {}", found.system);
            return Ok(Err(Usage(usage)));
        }
        (Some(found), _) => from_address(args.name.as_deref(), found, registry)?,
        (None, Some(system)) => Draft::new(args.name.as_deref().unwrap_or_default(), system),
        (None, None) if terminal.interactive() => {
            match wizard::begin(terminal, args.name.as_deref(), registry)? {
                Some(draft) => draft,
                None => return Err(Error::cancelled()),
            }
        }
        (None, None) => return Ok(Err(Usage("--type TYPE or --from-url URL is missing".to_owned()))),
    };
    known_system(&draft, registry)?;
    if draft.name().is_empty() {
        match terminal.interactive() {
            true => wizard::name(terminal, &mut draft)?,
            false => return Ok(Err(Usage("the name is missing: waybill connection add NAME".to_owned()))),
        }
    }
    given!(args.given.settle(&mut draft.entry, registry)?);
    let secrets = given!(args.given.secrets(terminal, &draft.entry, registry)?);
    draft.secrets.extend(secrets);
    finish(args, &mut draft);
    match missing(project, &draft, registry) {
        Some(_) if terminal.interactive() => wizard::fill(terminal, project, &mut draft, registry)?,
        Some(key) => return Ok(Err(Usage(how_to_give(&draft, &key, registry)))),
        None => {}
    }
    Ok(Ok(draft))
}

fn from_document(
    args: &AddArgs,
    document: Value,
    terminal: &Terminal,
    registry: &[Box<dyn Connector>],
) -> Given<Draft> {
    let mut draft = Draft::of_entry(document, registry)?;
    if let Some(name) = &args.name {
        draft.entry.insert("name".to_owned(), json!(name));
    }
    if let Some(system) = &args.system {
        draft.entry.insert("type".to_owned(), json!(system));
        draft.part(registry)?;
    }
    for (key, way) in [("name", "a name"), ("type", "--type TYPE")] {
        if draft.entry.get(key).is_none_or(Value::is_null) {
            return Ok(Err(Usage(format!("{key} is missing: give it in the document, or {way}"))));
        }
    }
    let secrets = given!(args.given.secrets(terminal, &draft.entry, registry)?);
    draft.secrets.extend(secrets);
    finish(args, &mut draft);
    Ok(Ok(draft))
}

fn finish(args: &AddArgs, draft: &mut Draft) {
    if let Some(destination) = &args.destination {
        draft.entry.insert("destination".to_owned(), json!(destination));
    }
    if args.disabled {
        draft.entry.insert("enabled".to_owned(), json!(false));
    }
}

/// A draft of what an address says.
pub(crate) fn from_address(
    name: Option<&str>,
    found: FromUrl,
    registry: &[Box<dyn Connector>],
) -> Result<Draft> {
    let mut draft = Draft::new(name.unwrap_or(&found.name), &found.system);
    let mut schema = found.settings;
    if !found.streams.is_empty() {
        schema.insert("streams".to_owned(), Value::from(found.streams));
    }
    draft.entry.insert("schema".to_owned(), Value::Object(schema));
    draft.part(registry)?;
    if let Some((key, password)) = found.password {
        draft.secrets.insert(key.to_owned(), Some(NewValue::Literal(password)));
    }
    Ok(draft)
}

/// Refuses a type that is no source of this build.
fn known_system(draft: &Draft, registry: &[Box<dyn Connector>]) -> Result<()> {
    let systems = crate::store::systems::Systems::of(registry);
    systems
        .find(draft.system(), Role::Source)
        .map(drop)
        .map_err(|(message, hint)| Error::config(format!("type: {message}")).hint(hint))
}

/// The setting that the connector misses first.
pub(super) fn missing(project: &Project, draft: &Draft, registry: &[Box<dyn Connector>]) -> Option<String> {
    if check_name("connection name", draft.name()).is_err() {
        return None;
    }
    let error = manage::trial(project, draft, registry).err()?;
    let text = error.message();
    let field = text.split("missing field `").nth(1).and_then(|rest| rest.split('`').next());
    let worded = || text.strip_suffix(": missing").and_then(|rest| rest.rsplit([' ', ':']).next());
    field.or_else(worded).map(str::to_owned)
}

fn how_to_give(draft: &Draft, key: &str, registry: &[Box<dyn Connector>]) -> String {
    match manage::is_secret(&draft.entry, key, registry) {
        Ok(true) => format!("the secret {key} is missing: --secret {key}"),
        Ok(false) => format!("the setting {key} is missing: --set {key}=VALUE"),
        Err(_) => format!("{key} is missing"),
    }
}

/// Tests the draft, selects its streams, and saves it.
async fn tried(
    terminal: &Terminal,
    project: &Project,
    args: &AddArgs,
    mut draft: Draft,
    trial: Trial,
    cancel: &CancellationToken,
) -> Result<u8> {
    let registry = waybill_connectors::registry();
    let tested = test::trial(project, &trial, cancel, 0).await?;
    if tested.passed {
        if !args.stream.is_empty() {
            let catalog = super::select::catalog(project, &trial, cancel).await?;
            let wish = Wish { add: args.stream.clone(), propose: true, ..Wish::default() };
            select(&mut draft.entry, &wish, Some(&catalog), &registry)?;
        }
        return saved(terminal, project, manage::add(project, &draft, &registry)?, Some(&tested));
    }
    let code = test::exit_code(std::slice::from_ref(&tested));
    let keep = args.save_anyway
        || (terminal.interactive() && {
            terminal.note(&whole(terminal, &tested));
            let question = "The test failed. Save it switched off?";
            crate::cli::prompt::confirm(terminal, question, false)?.unwrap_or(false)
        });
    if keep {
        draft.entry.insert("enabled".to_owned(), json!(false));
        saved(terminal, project, manage::add(project, &draft, &registry)?, Some(&tested))?;
        return Ok(code);
    }
    if terminal.json_wanted() {
        terminal.json(&json!({"connection": draft.name(), "saved": false, "test": tested}))?;
    } else {
        if !terminal.interactive() {
            terminal.out(&whole(terminal, &tested))?;
        }
        terminal.note(&format!(
            "\n{} was not saved; --save-anyway saves it switched off, --no-test does not test it",
            draft.name()
        ));
    }
    Ok(code)
}

fn saved(terminal: &Terminal, project: &Project, added: Added, tested: Option<&Tested>) -> Result<u8> {
    let enabled = added.entry.get("enabled") != Some(&json!(false));
    if terminal.json_wanted() {
        let mut answer = json!({"connection": added.name, "saved": true, "enabled": enabled, "test": tested});
        let rest = serde_json::to_value(&added).unwrap_or_default();
        if let (Some(answer), Value::Object(rest)) = (answer.as_object_mut(), rest) {
            answer.extend(rest.into_iter().filter(|(key, _)| key != "name"));
        }
        terminal.json(&answer)?;
        return Ok(0);
    }
    if let Some(tested) = tested {
        terminal.out(&format!("{}\n", whole(terminal, tested)))?;
    }
    let off = if enabled { "" } else { ", switched off" };
    let secrets = match added.secrets.as_slice() {
        [] => String::new(),
        names => format!("; {} in secrets.toml", names.join(", ")),
    };
    terminal.out(&format!("{} {} was saved{off}{secrets}", terminal.paint("32", "✓"), added.name))?;
    added.notes.iter().for_each(|note| terminal.warn(note));
    let has_streams =
        added.entry.pointer("/schema/streams").and_then(Value::as_array).is_some_and(|s| !s.is_empty());
    let next = match (enabled, has_streams) {
        (false, _) => format!("connection test {}", added.name),
        (true, false) => format!("connection select {} --stream '*' --propose", added.name),
        (true, true) => format!("run {}", added.name),
    };
    terminal.note(&format!("\nnext: {}", next::command(project, &next)));
    Ok(0)
}

/// Sessions with the systems of a connection that is not saved.
pub(super) async fn systems(project: &Project, trial: &Trial, cancel: &CancellationToken) -> Result<Systems> {
    let (project, trial) = (project.clone(), trial.clone());
    let work = tokio::task::spawn_blocking(move || trial.sessions(&project, &waybill_connectors::registry()));
    let sessions =
        work.await.map_err(|e| Error::new(Kind::Internal, "resolving settings broke off").cause(e))??;
    Ok(Systems::with(sessions, cancel))
}
