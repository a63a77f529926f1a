//! Whether a text is one statement that reads: looked at before any of it reaches the server, since
//! a second one could end the read-only transaction.

use waybill_protocol::{Error, Result};

/// How a statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As a table of `FROM`: its values come exact, and only so many.
    Table,
    /// As it is: the answer is text.
    Plain,
}

/// The one statement in a text, and how it is run.
pub(super) fn statement(text: &str) -> Result<(&str, Manner)> {
    let scanned = scan(text)?;
    if scanned.more {
        return Err(Error::config("the text holds more than one statement")
            .hint("run one statement at a time; a semicolon may only end it"));
    }
    if scanned.depth != 0 {
        return Err(
            Error::config("the statement's brackets do not match").hint("look for one that is missing")
        );
    }
    let statement = text.get(scanned.first..scanned.end).unwrap_or_default();
    let word: String = statement.chars().take_while(char::is_ascii_alphabetic).collect();
    let manner = match word.to_ascii_lowercase().as_str() {
        "select" | "with" | "values" | "table" => Manner::Table,
        "" if statement.starts_with('(') => Manner::Table,
        "explain" | "show" => Manner::Plain,
        "" => return Err(Error::config("there is no statement").hint("give one, such as 'SELECT 1'")),
        other => {
            return Err(Error::config(format!(
                "{} is no statement that reads, and a query only reads",
                other.to_uppercase()
            ))
            .hint("begin it with SELECT, WITH, VALUES, TABLE, SHOW or EXPLAIN"));
        }
    };
    Ok((statement, manner))
}

struct Scanned {
    /// Where the statement begins.
    first: usize,
    /// Where it ends, without semicolon.
    end: usize,
    /// Whether something follows.
    more: bool,
    depth: i64,
}

/// Goes through the text as the server does where `standard_conforming_strings` is on.
fn scan(text: &str) -> Result<Scanned> {
    let bytes = text.as_bytes();
    let (mut at, mut first, mut end, mut depth) = (0, None, None, 0i64);
    let mut last = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = skip(text, at)?;
        let comment = matches!((byte, bytes.get(at + 1)), (b'-', Some(b'-')) | (b'/', Some(b'*')));
        if comment || byte.is_ascii_whitespace() {
            at = next;
            continue;
        }
        match byte {
            b';' if first.is_none() => {}
            b';' => end = end.or(Some(at)),
            _ if end.is_some() => {
                return Ok(Scanned { first: first.unwrap_or(0), end: last, more: true, depth });
            }
            other => {
                first = first.or(Some(at));
                depth += i64::from(other == b'(') - i64::from(other == b')');
                // A bracket that closes what nobody opened would end the one around the statement.
                if depth < 0 {
                    return Ok(Scanned { first: 0, end: 0, more: false, depth });
                }
                last = next;
            }
        }
        at = next;
    }
    let first = first.unwrap_or(0);
    Ok(Scanned { first, end: last.max(first), more: false, depth })
}

/// Where the token at `at` ends: a literal, a quoted name, a comment, a word, or one character.
fn skip(text: &str, at: usize) -> Result<usize> {
    let rest = text.get(at..).unwrap_or_default();
    let open = |what: &str| Error::config(format!("{what} is not closed")).hint("look for the missing end");
    let mut letters = rest.chars();
    let one = letters.next().map_or(1, char::len_utf8);
    if rest.starts_with("--") {
        return Ok(rest.find('\n').map_or(text.len(), |end| at + end + 1));
    }
    if rest.starts_with("/*") {
        return comment(rest).map(|length| at + length).ok_or_else(|| open("a comment"));
    }
    if rest.starts_with('\'') || rest.starts_with('"') {
        let quote = if rest.starts_with('"') { '"' } else { '\'' };
        return quoted(rest, quote, false).map(|n| at + n).ok_or_else(|| open("a text or name in quotes"));
    }
    if rest.starts_with("e'") || rest.starts_with("E'") {
        let body = rest.get(1..).unwrap_or_default();
        return quoted(body, '\'', true).map(|n| at + 1 + n).ok_or_else(|| open("a text in quotes"));
    }
    if rest.starts_with('$') {
        if let Some(tag) = tag(rest) {
            let body = rest.get(tag.len()..).unwrap_or_default();
            return body
                .find(tag)
                .map(|end| at + end + 2 * tag.len())
                .ok_or_else(|| open("a text in $ quotes"));
        }
        return Ok(at + 1);
    }
    // The rest of a word: an E or a $ inside one begins no literal.
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    if rest.chars().next().is_some_and(word) {
        let end = rest.find(|c: char| !word(c)).unwrap_or(rest.len());
        return Ok(at + end);
    }
    Ok(at + one)
}

/// Comments nest.
fn comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'/'), Some(b'*')) => (depth, at) = (depth + 1, at + 2),
            (Some(b'*'), Some(b'/')) => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// The length of a text in quotes; a doubled quote is one of its letters.
fn quoted(rest: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if escapes && letter == '\\' {
            letters.next();
        } else if letter == quote {
            if letters.peek().is_some_and(|(_, next)| *next == quote) {
                letters.next();
            } else {
                return Some(at + 1);
            }
        }
    }
    None
}

/// `$$` or `$tag$` at the beginning of a text.
fn tag(rest: &str) -> Option<&str> {
    let end = rest.get(1..)?.find('$')? + 2;
    let tag = rest.get(..end)?;
    let name = tag.trim_matches('$');
    let good = name.chars().all(|c| c.is_alphanumeric() || c == '_' || !c.is_ascii());
    (good && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_is_found_whatever_stands_in_its_literals() {
        for (text, found) in [
            ("SELECT 1", "SELECT 1"),
            (" -- x;\n SELECT ';' ; ", "SELECT ';'"),
            ("SELECT $$ ; $$, $a$;$$;$a$ -- end;", "SELECT $$ ; $$, $a$;$$;$a$"),
            ("SELECT E'\\';', \"a;\"\"b\" /* ; /* ; */ */;;", "SELECT E'\\';', \"a;\"\"b\""),
            ("SELECT 'a''; DROP'", "SELECT 'a''; DROP'"),
            ("SELECT a$1, x.e, 'é'", "SELECT a$1, x.e, 'é'"),
            ("(VALUES (1))", "(VALUES (1))"),
        ] {
            assert_eq!(statement(text).unwrap(), (found, Manner::Table), "{text}");
        }
        assert_eq!(statement("explain select 1").unwrap().1, Manner::Plain);
    }

    #[test]
    fn what_could_leave_the_transaction_is_refused() {
        for text in [
            "SELECT 1; SELECT 2",
            "SELECT 1; COMMIT; DROP TABLE t",
            "SELECT 1) AS q; COMMIT; DROP TABLE t; SELECT * FROM (SELECT 1",
            "SELECT 1) AS q, (SELECT 2",
            "SELECT (1",
            "SELECT 'a",
            "SELECT $x$ a",
            "SELECT /* a",
            "SELECT '\\'; DROP TABLE t; --'",
            "COMMIT",
            "DO $$ BEGIN END $$",
            "COPY t TO PROGRAM 'sh'",
            "SET TRANSACTION READ WRITE",
            "",
            " ; ",
            "-- nothing",
        ] {
            assert!(statement(text).is_err(), "{text}");
        }
    }
}
