//! The rule of names: of connections and destinations, which become parts of file and variable names.

use waybill_protocol::{Error, Result};

use super::nearest::shown;

/// The rule, as messages and the JSON Schema say it.
pub const NAME_RULE: &str =
    "letters, digits, _ and -, the first a letter, a digit or _, at most 64 bytes, ASCII only";
/// The rule as a regular expression.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$";

/// Whether a name follows the rule.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && name.len() <= 64
}

/// Refuses a name that breaks the rule; `what` is `connection name` or `destination name`.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(Error::config(format!("{} is not a {what}", shown(name))).hint(format!("a name is: {NAME_RULE}")))
}

/// Refuses a run id that could not be part of a file name.
pub fn check_run_id(id: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !id.is_empty() && id.len() <= 64 && id.bytes().all(good) {
        return Ok(());
    }
    Err(Error::config(format!("{} is not a run id", shown(id)))
        .hint("a run id is 1 to 64 letters, digits, _ and -, ASCII only"))
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_or_confuse_are_refused() {
        for good in ["crm", "_x", "9lives", "a-b_C", &"a".repeat(64)] {
            assert!(check_name("connection name", good).is_ok(), "{good}");
        }
        // The last ones: a Cyrillic а, a fullwidth a, an a with a combining accent.
        let long = "a".repeat(300);
        let bad =
            ["../x", "", "-x", ".x", "a b", "a/b", "a\0", "a\n", &long, "\u{430}", "\u{ff41}", "a\u{301}"];
        for name in bad {
            let error = check_name("connection name", name).unwrap_err();
            assert!(error.get_hint().unwrap().contains(NAME_RULE), "{name:?}");
            assert!(error.message().len() < 200);
            assert_eq!(error.exit_code(), 3);
        }
        assert!(check_name("connection name", &"a".repeat(65)).is_err());
    }

    #[test]
    fn run_ids_of_callers_are_held_to_a_rule() {
        assert!(check_run_id("0199-ab_C").is_ok() && check_run_id("-").is_ok());
        for bad in ["", "../x", "a/b", "a.b", "é", &"x".repeat(65)] {
            assert!(check_run_id(bad).is_err(), "{bad}");
        }
    }
}
