//! What a browser makes of the page.

use serde_json::json;

use super::{RUDE, RUDER, page};
use crate::fixture::{Browser, script};

/// What a person reads, with the letters that would act taken out.
const SHOWN: &str =
    "line 17: \"</script><b>x</b>\" ]]> \u{fffd}abc\u{fffd} \u{fffd}\u{fffd}[2J <!-- is no number";

#[test]
fn it_renders_and_asks_for_nothing() {
    let (_project, path) = page();
    let mut browser = Browser::start();
    browser.open(&path);
    assert_eq!(browser.requests(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(browser.value("document.querySelector('h1 .badge').textContent"), "partial");
    let title = browser.value("document.title");
    assert!(title.as_str().unwrap().starts_with("c partial: run "), "{title}");
    let bars = |look: &str| format!("document.querySelectorAll('#timeline rect.{look}').length");
    for (look, least) in [("good", 10), ("bad", 4), ("waiting", 2), ("slice", 3)] {
        let found = browser.value(&bars(look)).as_u64().unwrap();
        assert!(found >= least, "{found} bars {look}");
    }
    // A bar is where its row says.
    let inside = browser.value(
        "Array.from(document.querySelectorAll('#timeline rect')).every(r => { const b = r.getBoundingClientRect(), s = r.ownerSVGElement.getBoundingClientRect(); return b.width > 0 && b.left >= s.left - 1 && b.right <= s.right + 6; })",
    );
    assert_eq!(inside, true);
    let failed = browser.value("document.querySelector('#error .bad').textContent");
    assert!(failed.as_str().unwrap().ends_with(SHOWN), "{failed}");
    let rows = browser.value("document.querySelector('#log tbody').rows.length").as_u64().unwrap();
    let all = browser.value("document.querySelector('#log p').textContent");
    assert!(all.as_str().unwrap().starts_with(&format!("All {rows} events")), "{rows}: {all}");
}

#[test]
fn text_of_the_data_is_never_markup() {
    let (_project, path) = page();
    let mut browser = Browser::start();
    browser.open(&path);
    assert!(browser.value("window.hacked").is_null());
    let tags = browser
        .value("Array.from(new Set(Array.from(document.querySelectorAll('*'), e => e.localName))).sort()");
    let known = [
        "a",
        "body",
        "button",
        "circle",
        "code",
        "col",
        "colgroup",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "input",
        "label",
        "li",
        "line",
        "link",
        "main",
        "meta",
        "nav",
        "option",
        "output",
        "p",
        "polyline",
        "pre",
        "rect",
        "script",
        "section",
        "select",
        "span",
        "strong",
        "style",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ];
    for tag in tags.as_array().unwrap() {
        assert!(known.contains(&tag.as_str().unwrap()), "{tag} in {tags}");
    }
    assert_eq!(browser.value("document.scripts.length"), 1);
    let acting = "Array.from(document.querySelectorAll('*')).flatMap(e => e.getAttributeNames().filter(n => n.startsWith('on') || n === 'style' || n === 'src')).length";
    assert_eq!(browser.value(acting), 0);
    let names = browser
        .value("Array.from(document.querySelectorAll('#streams tbody th'), e => e.textContent).sort()");
    assert_eq!(names, json!([RUDE, RUDER, "public.broken", "public.items", "public.orders"]));
    let said = browser.value(&format!("document.body.textContent.split({}).length - 1", json!(SHOWN)));
    assert!(said.as_u64().unwrap() >= 3, "{said}");
}

#[test]
fn it_has_landmarks_headers_labels_and_fits_a_small_screen() {
    let (_project, path) = page();
    let mut browser = Browser::start();
    browser.open(&path);
    for (what, expression) in [
        (
            "an id twice",
            "(() => { const ids = Array.from(document.querySelectorAll('[id]'), e => e.id); return ids.length - new Set(ids).size; })()",
        ),
        (
            "a link to nowhere",
            "Array.from(document.links).filter(a => !document.querySelector(a.getAttribute('href'))).length",
        ),
        (
            "a section without a heading",
            "Array.from(document.querySelectorAll('section')).filter(s => !document.getElementById(s.getAttribute('aria-labelledby'))).length",
        ),
        ("a table head without scope", "document.querySelectorAll('th:not([scope])').length"),
        (
            "a table without heads",
            "Array.from(document.querySelectorAll('table')).filter(t => !t.tHead).length",
        ),
        (
            "a control without a label",
            "Array.from(document.querySelectorAll('input, select')).filter(e => e.labels.length === 0).length",
        ),
        (
            "a drawing without words",
            "Array.from(document.querySelectorAll('svg')).filter(s => s.getAttribute('aria-hidden') !== 'true' && !s.getAttribute('aria-label')).length",
        ),
    ] {
        assert_eq!(browser.value(expression), 0, "{what}");
    }
    for (what, expression) in [
        ("main", "main"),
        ("header", "body > header"),
        ("footer", "body > footer"),
        ("nav", "nav[aria-label]"),
    ] {
        assert_eq!(browser.value(&format!("document.querySelectorAll('{expression}').length")), 1, "{what}");
    }
    assert_eq!(browser.value("document.documentElement.lang"), "en");
    browser.ask(
        "Emulation.setDeviceMetricsOverride",
        json!({"width": 375, "height": 700, "deviceScaleFactor": 1, "mobile": false}),
    );
    let wide = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
    assert!(wide <= 375, "{wide} wide");
}

#[test]
fn it_says_what_differs_from_the_last_good_run() {
    let project = script::source(script::by_cursor("append"), json!([script::whole(30), script::whole(60)]));
    project.run().exits(0);
    project.edit(|config| config["connections"][0]["retries"] = json!(0));
    project.run().exits(0);
    let path = project.path("page.html");
    project.waybill(&["runs", "report", "-o", "page.html"]).exits(0);
    let mut browser = Browser::start();
    browser.open(&path);
    let text = browser.value("document.getElementById('differences').textContent");
    let first = project.logs()[0].run_id();
    for part in [first.as_str().unwrap(), "retries", "worth a look"] {
        assert!(text.as_str().unwrap().contains(part), "{part}: {text}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
