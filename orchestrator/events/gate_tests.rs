use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

const SECRET: &str = "Tr0ub4dor & 3 \"x\"/é";

fn gate(secrets: &[(&str, &str)], published: &Value) -> Gate {
    let redactor = Redactor::new();
    for (name, secret) in secrets {
        redactor.add_named(name, secret, Some("app"));
    }
    Gate::new(&redactor, published)
}

fn log(lines: &[Value]) -> Vec<u8> {
    let line = |(index, line): (usize, &Value)| {
        let mut whole = json!({"v": 1, "seq": index + 1, "ts": "2026-01-02T03:04:05Z", "level": "info"});
        whole.as_object_mut().unwrap().extend(line.as_object().unwrap().clone());
        format!("{whole}\n")
    };
    lines.iter().enumerate().map(line).collect::<String>().into_bytes()
}

#[test]
fn a_secret_is_found_in_every_spelling_and_place() {
    let gate = gate(&[("sources.crm.password", SECRET)], &Value::Null);
    let percent = "Tr0ub4dor%20%26%203%20%22x%22%2F%C3%A9";
    for (what, text) in [
        ("raw", SECRET.to_owned()),
        ("percent", percent.to_owned()),
        ("form", percent.replace("%20", "+")),
        ("base64", STANDARD.encode(SECRET)),
        ("base64, one before", STANDARD.encode(format!("x{SECRET}"))),
        ("base64, two before", STANDARD.encode(format!("xy{SECRET}"))),
        ("basic auth", STANDARD.encode(format!("app:{SECRET}"))),
        ("json in json", serde_json::to_string(&json!({"a": SECRET})).unwrap()),
    ] {
        for (place, line) in [
            ("message", json!({"event": "x", "message": format!("before {text} after")})),
            ("value", json!({"event": "x", "data": {"a": [{"b": text}]}})),
            ("key", json!({"event": "x", "data": {text.as_str(): 1}})),
            ("name", json!({"event": "x", "stream": text})),
        ] {
            let found = gate.bytes(&log(&[json!({"event": "a"}), line]));
            let expected = Leak { secret: "sources.crm.password".into(), line: 2 };
            assert_eq!(found, Some(expected), "{what} in {place}");
        }
        assert!(gate.bytes(format!("plain text {text}\n").as_bytes()).is_some(), "{what} in plain text");
        assert!(gate.bytes(format!("torn text {text}").as_bytes()).is_some(), "{what} in a torn line");
    }
    assert_eq!(gate.bytes(&log(&[json!({"event": "x", "message": "[redacted] Tr0ub4dor"})])), None);
}

#[test]
fn a_secret_in_two_pieces_of_one_output_is_found() {
    let gate = gate(&[("s", SECRET)], &Value::Null);
    let (a, b) = SECRET.split_at(7);
    let said = |text: &str, pid: u32| json!({"event": "process.output", "message": text, "data": {"process": "tunnel", "pid": pid, "stream": "stderr"}});
    assert_eq!(gate.bytes(&log(&[said(a, 1), said("other", 2), said(b, 1)])).map(|l| l.line), Some(3));
    assert_eq!(gate.bytes(&log(&[said(a, 1), said(b, 2)])), None);
    // Beyond what is read at once.
    let long = format!("{}{SECRET}{}", "x".repeat(PIECE as usize - 5), "y".repeat(3 << 20));
    assert!(gate.bytes(long.as_bytes()).is_some());
}

#[test]
fn what_the_config_shows_openly_is_no_leak() {
    let published =
        json!({"data": {"source": "postgres", "settings": {"source.user": {"value": "app_user_1"}}}});
    let gate = gate(&[("a", "postgres"), ("b", "app_user_1"), ("c", "connection")], &published);
    let lines = log(&[
        json!({"event": "run.started", "connection": "postgres_prod", "data": published["data"]}),
        json!({"event": "connection.opened", "data": {"connection": "user app_user_1"}}),
    ]);
    assert_eq!(gate.bytes(&lines), None);
    // An ordinary word is a leak as a value, not as a name.
    let lines = log(&[json!({"event": "x", "message": "with connection as its password"})]);
    assert_eq!(gate.bytes(&lines).map(|leak| leak.secret), Some("c".into()));
}

#[test]
fn without_secrets_nothing_is_read() {
    let gate = Gate::new(&Redactor::new(), &Value::Null);
    assert_eq!(gate.bytes(b"anything"), None);
}
