//! Passwords that hide inside other values: in URLs and in connection strings.

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// Whether a text carries a password.
pub fn has_password(text: &str) -> bool {
    !spans(text).is_empty()
}

/// The passwords that a text carries, as they stand there and percent-decoded.
pub fn passwords(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for raw in spans(text) {
        for form in [raw.to_owned(), percent_decoded(raw)] {
            if !found.contains(&form) {
                found.push(form);
            }
        }
    }
    found
}

/// The text with its passwords masked.
pub fn masked(text: &str) -> String {
    let mut out = text.to_owned();
    for raw in spans(text) {
        out = out.replace(raw, MASK);
    }
    out
}

const SECRET_KEYS: [&str; 16] = [
    "password",
    "passwd",
    "pwd",
    "pass",
    "sslpassword",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "auth_token",
    "api_key",
    "apikey",
    "access_key",
    "secret_key",
    "sig",
    "signature",
];

fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.contains(&key.trim().to_ascii_lowercase().as_str())
}

fn spans(text: &str) -> Vec<&str> {
    let text = text.trim();
    let scheme = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
    };
    match text.split_once("://") {
        // `jdbc:postgresql://…` has a scheme before its scheme.
        Some((head, rest)) if head.split(':').all(scheme) => url(rest),
        _ => pairs(text),
    }
}

fn url(rest: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((_, password)) = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) {
        found.push(password);
    }
    let query = rest.split('#').next().and_then(|rest| rest.split_once('?')).map(|(_, query)| query);
    for pair in query.unwrap_or_default().split(['&', ';']) {
        found.extend(pair.split_once('=').filter(|(key, _)| is_secret_key(key)).map(|(_, value)| value));
    }
    found.retain(|password| !password.is_empty());
    found
}

/// `host=… password='…'` and `Server=…;Password=…`.
fn pairs(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut count = 0;
    let semicolons = text.contains(';');
    let mut rest = text;
    while let Some((key, tail)) = rest.split_once('=') {
        // Prose and SQL have spaces and operators where a connection string has a bare key.
        let key = key.trim_start_matches([' ', ';', '\t', '\n']);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == ' ';
        if key.is_empty() || !key.chars().all(plain) || (!semicolons && key.contains(' ')) {
            return Vec::new();
        }
        let (value, next) = pair_value(tail, semicolons);
        count += 1;
        if is_secret_key(key) && !value.is_empty() {
            found.push(value);
        }
        rest = next;
    }
    if count > 1 && rest.trim_matches([' ', ';', '\t', '\n']).is_empty() { found } else { Vec::new() }
}

fn pair_value(tail: &str, semicolons: bool) -> (&str, &str) {
    let quoted = tail.strip_prefix('\'').map(|body| (body, '\''));
    let quoted = quoted.or_else(|| tail.strip_prefix('"').map(|body| (body, '"')));
    if let Some((body, quote)) = quoted.or_else(|| tail.strip_prefix('{').map(|body| (body, '}'))) {
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            if c == quote && !escaped {
                return (&body[..at], &body[at + c.len_utf8()..]);
            }
            escaped = c == '\\' && !escaped;
        }
        return (body, "");
    }
    let end =
        tail.find(|c: char| if semicolons { c == ';' } else { c.is_whitespace() }).unwrap_or(tail.len());
    tail.split_at(end)
}

fn percent_decoded(text: &str) -> String {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_and_connection_strings_are_found() {
        let found = |text: &str| passwords(text).join(" | ");
        assert_eq!(found("postgres://u:p%40ss%21@h:5432/db"), "p%40ss%21 | p@ss!");
        assert_eq!(found("postgres://u:a@b@h/db"), "a@b");
        assert_eq!(found("postgres://h/db?user=u&password=geh%20eim&sslmode=require"), "geh%20eim | geh eim");
        assert_eq!(found("jdbc:postgresql://u:pw@h/db"), "pw");
        assert_eq!(found("host=h user=u password='a b\\'c' dbname=d"), "a b\\'c");
        assert_eq!(found("Server=h;User Id=u;Password=p w;"), "p w");
        assert_eq!(found("postgres://u:%zz%4@h"), "%zz%4");
        assert_eq!(masked("postgres://u:p%40ss@h:5432/db"), "postgres://u:***@h:5432/db");
    }

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        for text in [
            "postgres://u@h:5432/db",
            "https://host:8080/path@v1?x=1",
            "https://u:@h/",
            "/data/2024/*.csv",
            "select * from t where user = 'a' and password = 'b'",
            "password=x",
            "",
            "=",
            "://",
            "é=1 password=ü é",
            "x='",
        ] {
            assert!(!has_password(text), "{text}: {:?}", passwords(text));
        }
    }
}
