use super::canvas::Size;
use super::keys::Bytes;
use super::*;

const SMALL: Size = Size { height: 8, width: 60 };

fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut waiting = Bytes::default();
    waiting.push(bytes);
    std::iter::from_fn(|| waiting.key(true)).collect()
}

#[test]
fn bytes_become_keys_and_nothing_is_taken_for_escape_that_is_none() {
    assert_eq!(
        keys(b"\x1b[A\x1bOB\x1b[5~\x1b[1;5Cx"),
        [Key::Up, Key::Down, Key::PageUp, Key::Right, Key::Char('x')]
    );
    assert_eq!(keys(b"\x1b"), [Key::Escape]);
    assert_eq!(
        keys("ä€\u{1f600}\x03".as_bytes()),
        [Key::Char('ä'), Key::Char('€'), Key::Char('\u{1f600}'), Key::Interrupt]
    );
    assert_eq!(keys(b"\xff\xe2\x82a\x00"), [Key::Other, Key::Other, Key::Other, Key::Char('a'), Key::Other]);
    let mut torn = Bytes::default();
    torn.push(b"\x1b");
    assert_eq!(torn.key(false), None);
    torn.push(b"[");
    assert_eq!(torn.key(false), None);
    torn.push(b"B");
    assert_eq!(torn.key(false), Some(Key::Down));
    torn.push(&[0xe2, 0x82]);
    assert_eq!(torn.key(false), None);
    torn.push(&[0xac]);
    assert_eq!(torn.key(false), Some(Key::Char('€')));
}

fn items(names: &[&str]) -> Vec<Item> {
    names.iter().map(|name| Item::new(*name, "")).collect()
}

fn press(state: &mut ListState, choice: &Choice<'_>, bytes: &[u8]) -> Option<Option<Vec<usize>>> {
    for key in keys(bytes) {
        match state.key(choice, key) {
            Step::On => {}
            Step::Back => return Some(None),
            Step::Done(chosen) => return Some(Some(chosen)),
        }
    }
    None
}

#[test]
fn a_list_is_searched_marked_and_paged() {
    let many: Vec<String> = (0..40).map(|n| format!("table_{n:02}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let items = items(&many);
    let choice = Choice::new("Which", &items);
    let mut state = ListState::new(&choice, None);
    let lines = state.lines(&choice, SMALL, false);
    assert_eq!(lines[0], "? Which");
    assert_eq!(lines[1], "› table_00");
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[6], "  ↑↓ move · 1 of 40 · type to search · Enter chooses · Esc back");
    press(&mut state, &choice, b"\x1b[6~\x1b[B");
    let lines = state.lines(&choice, SMALL, false);
    assert!(lines.contains(&"› table_06".to_owned()), "{lines:?}");
    assert_eq!(press(&mut state, &choice, b"t37\r"), Some(Some(vec![37])));
    let mut state = ListState::new(&choice, Some(vec![false; 40]));
    assert_eq!(press(&mut state, &choice, b" \x1b[B \r"), Some(Some(vec![0, 2])));
    let mut state = ListState::new(&choice, Some(vec![false; 40]));
    assert_eq!(press(&mut state, &choice, b"_1\x01\x15\r").unwrap().unwrap().len(), 10);
    let mut state = ListState::new(&choice, None);
    assert_eq!(press(&mut state, &choice, b"zzz\r"), None);
    assert!(state.lines(&choice, SMALL, false)[1].contains("nothing fits"));
    assert_eq!(press(&mut state, &choice, b"\x1b"), Some(None));
}

#[test]
fn headings_are_passed_over() {
    let items = [Item::heading("a"), Item::new("one", ""), Item::heading("b"), Item::new("two", "")];
    let choice = Choice::new("Which", &items);
    let mut state = ListState::new(&choice, None);
    assert_eq!(press(&mut state, &choice, b"\x1b[B\r"), Some(Some(vec![3])));
    let mut state = ListState::new(&choice, None);
    assert_eq!(press(&mut state, &choice, b"\x1b[A\r"), Some(Some(vec![3])));
    let none: [Item; 0] = [];
    let choice = Choice::new("Which", &none);
    assert_eq!(press(&mut ListState::new(&choice, None), &choice, b"\x1b[B\r\x1b[5~\x1b"), Some(None));
}

fn typed(ask: &Ask<'_>, hidden: bool, bytes: &[u8]) -> (Option<Option<String>>, Vec<String>) {
    let mut state = LineState::new(ask, hidden);
    for key in keys(bytes) {
        match state.key(ask, key) {
            Step::On => {}
            Step::Back => return (Some(None), state.lines(ask, SMALL, false)),
            Step::Done(text) => return (Some(Some(text)), state.lines(ask, SMALL, false)),
        }
    }
    (None, state.lines(ask, SMALL, false))
}

#[test]
fn a_line_is_edited_and_judged_while_it_is_typed() {
    let number = |text: &str| text.parse::<u16>().map(|_| ()).map_err(|_| format!("{text:?} is no port"));
    let ask = Ask { default: Some("5432"), judge: Some(&number), help: "the port", ..Ask::new("Port") };
    assert_eq!(typed(&ask, false, b"\r").0, Some(Some("5432".to_owned())));
    let (answer, lines) = typed(&ask, false, b"54x\r");
    assert_eq!(answer, None);
    assert_eq!(
        lines,
        ["? Port: 54x_", "  ✗ \"54x\" is no port", "  the port", "  Enter goes on · Esc goes back"]
    );
    assert_eq!(typed(&ask, false, b"54x\x7f3\x1b[D\x1b[D1\r").0, Some(Some("5143".to_owned())));
    assert_eq!(typed(&ask, false, b"one two\x17\x17 7\r").0, Some(Some("7".to_owned())));
    let needed = Ask::new("Name");
    let (answer, lines) = typed(&needed, false, b"  \r");
    assert!(answer.is_none() && lines[1].contains("an answer is needed"), "{lines:?}");
    assert_eq!(typed(&needed, false, b"abc\x1b").0, Some(None));
}

#[test]
fn a_secret_and_its_length_are_not_shown() {
    let ask = Ask::new("Password");
    let (_, short) = typed(&ask, true, b"a");
    let (_, long) = typed(&ask, true, b"correct horse battery staple");
    assert_eq!(short, long);
    assert_eq!(typed(&ask, true, b" a b \r").0, Some(Some(" a b ".to_owned())));
    let state = LineState::new(&ask, true);
    assert!(!state.answered(&ask, "hunter22", false).contains("hunter22"));
}

#[test]
fn a_long_line_shows_the_part_around_the_cursor() {
    let ask = Ask::new("URL");
    let long = "x".repeat(200) + "end";
    let (_, lines) = typed(&ask, false, long.as_bytes());
    assert!(lines[0].ends_with("end_") && lines[0].chars().count() <= 60, "{lines:?}");
}

#[test]
fn the_password_of_an_address_is_never_shown_while_it_is_typed() {
    let ask = Ask { address: true, ..Ask::new("Address") };
    let url = "postgresql://me:s3cr3t@h@db:5432/shop?sslmode=require&password=hunter22&user=me";
    for end in 0..=url.len() {
        let (_, lines) = typed(&ask, false, &url.as_bytes()[..end]);
        let picture = lines.join(" ");
        for secret in ["s3", "r3t", "hun", "r22"] {
            assert!(!picture.contains(secret), "{picture}");
        }
    }
    let shown = LineState::new(&ask, false).answered(&ask, "postgresql://me:pw@db:5432/shop", false);
    assert_eq!(shown, "✓ Address · postgresql://me:••@db:5432/shop");
    let shown = LineState::new(&ask, false).answered(&ask, "data/*.csv", false);
    assert_eq!(shown, "✓ Address · data/*.csv");
}
