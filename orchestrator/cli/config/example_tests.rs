//! The examples at the project's root are good as they stand; so is what the commands say of them.

use super::{show, validate};
use crate::cli::args::{ColorChoice, LookFlags};
use crate::cli::terminal::Terminal;
use crate::secrets;
use crate::store::config::load;
use crate::store::testing::Home;

const CONFIG: &str = include_str!("../../../config.example.json");
const SECRETS: &str = include_str!("../../../secrets.example.toml");

fn home() -> Home {
    let env = [("CRM_PASSWORD", "hunter2hunter2"), ("BILLING_URL", "postgres://me:sesame-sesame@db/billing")];
    let home = Home::with_env(CONFIG, &env);
    home.secrets(SECRETS);
    let password = home.project.secrets_dir().join("warehouse.password");
    crate::store::atomic::write_atomic(&password, b"swordfish-swordfish\n", Some(0o600)).unwrap();
    home
}

fn plain() -> Terminal {
    Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() })
}

#[test]
fn the_examples_are_valid_without_any_finding() {
    let home = home();
    let config = load(&home.project).unwrap();
    let invalid: Vec<_> = config.invalid().chain(&config.invalid_destinations).collect();
    assert!(invalid.is_empty(), "{invalid:#?}");
    assert!(config.findings.is_empty(), "{:#?}", config.findings);
    for connection in config.valid() {
        let resolved = secrets::resolve(&home.project, &config, connection).unwrap();
        assert!(resolved.findings.is_empty(), "{:#?}", resolved.findings);
    }
    assert!(secrets::check(&home.project, &config).unwrap().is_empty());
    let systems: std::collections::BTreeSet<&str> = config.valid().map(|c| c.system.as_str()).collect();
    assert_eq!(systems.into_iter().collect::<Vec<_>>(), ["files", "postgres", "sqlite"]);
    let report = validate::report(&home.project);
    assert!(report.valid && report.problems.is_empty(), "{report:?}");
    assert!(validate::render(&plain(), &report).contains("valid, 4 connections, 0 warnings"));
}

#[test]
fn every_problem_is_found_with_its_place() {
    let home = home();
    let broken = CONFIG
        .replace("\"cursor\": \"id\"", "\"cursor\": 5")
        .replace("\"keep_runs\"", "\"keep_rnus\"")
        .replace(
            "\"type\": \"sqlite\",\n      \"destination\"",
            "\"type\": \"oracle\",\n      \"destination\"",
        );
    std::fs::write(&home.project.config_path, broken).unwrap();
    std::fs::remove_file(home.project.secrets_dir().join("warehouse.password")).unwrap();
    let report = validate::report(&home.project);
    assert!(!report.valid);
    let paths: Vec<&str> = report.problems.iter().filter_map(|p| p.path.as_deref()).collect();
    for path in ["connections[1].type", "connections[2].schema.streams[1].cursor", "connections[2].keep_rnus"]
    {
        assert!(paths.contains(&path), "{paths:?}");
    }
    let text = validate::render(&plain(), &report);
    assert!(text.contains("2 errors, 1 warning; 2 of 4 connections can run"), "{text}");
    assert!(text.contains("did you mean \"keep_runs\""), "{text}");
    // A file that cannot be read at all is one problem.
    std::fs::write(&home.project.config_path, "{").unwrap();
    let report = validate::report(&home.project);
    assert_eq!((report.valid, report.problems.len()), (false, 1));
}

#[test]
fn a_missing_secret_stops_only_the_connections_that_need_it_and_is_said_once() {
    let home = home();
    std::fs::remove_file(home.project.secrets_dir().join("warehouse.password")).unwrap();
    let report = validate::report(&home.project);
    let errors: Vec<&str> = report.problems.iter().map(|p| p.message.as_str()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("warehouse.password"), "{errors:?}");
}

#[test]
fn what_is_selected_is_shown_with_its_origin() {
    let home = home();
    let config = load(&home.project).unwrap();
    let streams = show::streams(&config, config.connection("crm").unwrap());
    assert_eq!(streams["streams.public.orders.cursor"]["origin"], "config.json");
    assert_eq!(streams["streams.public.orders.write"]["origin"], "default");
    assert_eq!(streams["streams.reference.*.mode"]["value"], "full_refresh");
}
