//! Events on the page: filtered and searched, by keyboard, and there without scripts.

use super::{RUDER, page};
use crate::fixture::Browser;
use serde_json::json;

const VISIBLE: &str =
    "Array.from(document.querySelector('#log tbody').rows).filter(r => r.getClientRects().length > 0)";

fn count(browser: &mut Browser) -> u64 {
    browser.value(&format!("{VISIBLE}.length")).as_u64().unwrap()
}

/// Goes on with the tabulator key until a control has the focus.
#[track_caller]
fn tab_to(browser: &mut Browser, control: &str) {
    for _ in 0..400 {
        browser.key("Tab", 9);
        let here = browser.value("document.activeElement.name || document.activeElement.type || ''");
        if here == control {
            return;
        }
    }
    panic!("the keyboard does not reach {control}");
}

#[test]
fn filter_and_search_work_by_keyboard_alone() {
    let (_project, path) = page();
    let mut browser = Browser::start();
    browser.open(&path);
    let all = count(&mut browser);
    tab_to(&mut browser, "level");
    browser.key("ArrowDown", 40).key("ArrowDown", 40);
    assert_eq!(browser.value("document.activeElement.value"), "warn");
    let warned = count(&mut browser);
    let told = browser.value("document.querySelectorAll('#log tbody tr.warn, #log tbody tr.error').length");
    assert!(warned > 2 && warned < all && told == warned, "{warned} of {all}, {told}");
    tab_to(&mut browser, "text");
    browser.types("RESET aGain");
    assert_eq!(count(&mut browser), 1);
    let said = browser.value(&format!("{VISIBLE}[0].textContent"));
    assert!(said.as_str().unwrap().contains("connection reset again"), "{said}");
    assert_eq!(
        browser.value("document.getElementById('found').textContent"),
        format!("1 of {all} events on this page")
    );
    tab_to(&mut browser, "reset");
    browser.key("Enter", 13);
    browser.value("new Promise(done => setTimeout(done, 20))");
    assert_eq!(count(&mut browser), all);
}

#[test]
fn a_stream_of_any_name_and_an_event_are_found_by_choice() {
    let (project, path) = page();
    let mut browser = Browser::start();
    browser.open(&path);
    let choose = |browser: &mut Browser, field: &str, value: &str| {
        let choice = format!(
            "(() => {{ const f = document.querySelector('#filter [name={field}]'); f.value = {}; f.dispatchEvent(new Event('input', {{bubbles: true}})); return f.value; }})()",
            json!(value)
        );
        assert_eq!(browser.value(&choice), value);
    };
    choose(&mut browser, "stream", RUDER);
    let log = project.log();
    let of_stream = log.lines.iter().filter(|line| line["stream"] == RUDER).count() as u64;
    assert_eq!(count(&mut browser), of_stream);
    choose(&mut browser, "event", "stream.finished");
    assert_eq!(count(&mut browser), 1);
    let data = browser.value(&format!("{VISIBLE}[0].querySelector('pre').textContent"));
    assert!(data.as_str().unwrap().starts_with(r#"{"outcome":"succeeded""#), "{data}");
}

#[test]
fn without_scripts_every_fact_is_there() {
    let (project, path) = page();
    let mut browser = Browser::start();
    browser.scripts(false).open(&path);
    // Whoever debugs may still ask; the page's own script has not run.
    assert_eq!(browser.value("document.getElementById('filter').hidden"), true);
    assert_eq!(browser.value("document.getElementById('filter').getClientRects().length"), 0);
    assert_eq!(count(&mut browser), project.log().lines.len() as u64);
    let text = browser.value("document.body.innerText");
    for part in
        ["partial", "connection reset again", "public.items", "60", "kind data", "retries", "_events.jsonl"]
    {
        assert!(text.as_str().unwrap().contains(part), "{part}");
    }
    // What is folded up opens without a script.
    browser.value("document.querySelector('#log details').open = true");
    assert_eq!(browser.value("document.querySelector('#log details pre').getClientRects().length > 0"), true);
}
