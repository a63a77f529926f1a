use serde_json::json;
use waybill_protocol::event::{Body, Counts, Level, Status};

use super::*;
use crate::summary::rebuild;
use crate::summary::scripted::{Script, finished};

const RUDE: &str = "</script><script>alert(1)</script><!-- ]]> \"'&\u{1b}[2J\u{202e}\u{0}";

fn page_of(log: &Path) -> String {
    let summary = rebuild(log).unwrap().summary();
    let artifacts = vec![("log".to_owned(), log.to_owned(), true)];
    page(&Subject {
        summary: &summary,
        log: Some(log),
        comparison: None,
        artifacts,
        made: "today".to_owned(),
    })
    .unwrap()
}

#[test]
fn a_page_says_how_it_ended_and_allows_nothing_but_its_own_style_and_script() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = Script::begin(&log, "r-1", "crm", "here");
    script.load("public.orders", 40_000);
    let span = script.start("public.items", false);
    let error = waybill_protocol::Error::new(waybill_protocol::Kind::Network, "connection reset")
        .hint("waybill run crm")
        .record();
    Script::fail(span, 10, error);
    script.log.conclude(finished(Status::Partial, 5)).unwrap();
    script.log.finish();
    let page = page_of(&log);
    for part in [
        "<span class=\"badge partial\">partial</span>",
        "connection reset",
        "Next: waybill run crm",
        "2024-05-01 → 2024-05-09",
        "id=\"timeline\"",
        "All 10 events of the log.",
        "default-src 'none'",
    ] {
        let part = part.replace('\'', "&#39;");
        assert!(page.contains(&part), "{part}: {page}");
    }
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    for (start, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let parts: Vec<&str> = page.split(start).collect();
        assert_eq!(parts.len(), 2, "one {start}");
        let inner = parts[1].split(end).next().unwrap();
        assert!(page.contains(&format!("sha256-{}", digest(inner))), "{start}");
    }
    assert!(!page.contains("style=\"") && !page.contains("http://") && !page.contains("https://"));
}

#[test]
fn text_from_data_is_text_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = Script::begin_with(
        &log,
        RUDE,
        RUDE,
        RUDE,
        crate::events::Redactor::new(),
        &[("log", RUDE), (RUDE, RUDE)],
    );
    script.load(RUDE, 10);
    let error = waybill_protocol::Error::data(RUDE)
        .hint(RUDE)
        .code(RUDE)
        .cause(std::io::Error::other(RUDE))
        .stream(RUDE);
    Script::fail(script.start(RUDE, true), 10, error.record());
    script.events.emit(
        Level::Warn,
        Body::Runtime { detail: json!({RUDE: [RUDE]}) },
        RUDE,
        Some(error.record()),
    );
    script.kill();
    let page = page_of(&log);
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    assert!(
        !page.contains("<!--")
            && !page.contains("\u{1b}")
            && !page.contains("\u{202e}")
            && !page.contains('\u{0}')
    );
    assert!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count() > 10);
}

#[test]
fn a_page_stays_below_a_megabyte_and_says_what_it_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = Script::begin(&log, "r-1", "crm", "here");
    let wide = "<&\"'>".repeat(400);
    for n in 0..600 {
        let stream = format!("{n}{wide}");
        let span = script.start(&stream, true);
        for rows in 0..12 {
            let counts = Counts { rows_read: rows * 100, ..Counts::default() };
            script.tell(&stream, Body::StreamProgress { counts }, &wide);
        }
        Script::fail(
            span,
            10,
            waybill_protocol::Error::data(format!("{n} {wide}")).hint(wide.clone()).record(),
        );
        script.events.warn(Body::Runtime { detail: json!({"wide": wide.clone()}) }, format!("{n} {wide}"));
    }
    script.log.conclude(finished(Status::Failed, 1)).unwrap();
    script.log.finish();
    let page = page_of(&log);
    assert!(page.len() < LARGEST, "{} bytes", page.len());
    assert!(page.contains("left out here") && page.contains("of 9"), "{}", page.len());
}
