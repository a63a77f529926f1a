//! The script that an administrator runs with psql: what is missing, and nothing else (pure).

use std::collections::BTreeSet;

use waybill_protocol::Role;

use crate::postgres::address::Address;
use crate::postgres::sql::{ident, literal};

/// What goes into it.
pub(super) struct Script<'a> {
    pub(super) role: Role,
    /// The connection, or the destination.
    pub(super) name: &'a str,
    pub(super) user: &'a str,
    pub(super) database: &'a str,
    pub(super) address: &'a Address,
    /// Whether the role may have to be made.
    pub(super) new_role: bool,
    /// Statements; those that end in `\gexec` run what they select.
    pub(super) statements: Vec<String>,
}

/// A text as a comment may have it: no line of its own.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Script<'_> {
    /// The script; absent where it would do nothing.
    pub(super) fn text(&self) -> Option<String> {
        if self.statements.is_empty() && !self.new_role {
            return None;
        }
        let (host, port) = (&self.address.host, self.address.port);
        let (user, database) = (plain(self.user), plain(self.database));
        let mut out = format!(
            "-- What role {} needs at {} for {} {} of Waybill, and nothing else.\n\
             -- Read it, then run it as an administrator; it may be run again:\n\
             --   psql -X -f FILE \"host={host} port={port} dbname={database} user=ADMINISTRATOR\"\n\
             \\set ON_ERROR_STOP on\n",
            ident(&user),
            plain(&self.address.host_port()),
            match self.role {
                Role::Source => "the source of connection",
                Role::Destination => "destination",
            },
            plain(self.name),
        );
        // psql takes a name with = for a whole address; such a database stands in the command alone.
        if !self.database.contains(['=', '/']) && database == self.database {
            out.push_str(&format!("\\connect {}\n", ident(self.database)));
        }
        out.push_str("BEGIN;\n");
        if self.new_role {
            out.push_str(&self.made());
        }
        let mut said = BTreeSet::new();
        for statement in self.statements.iter().filter(|statement| said.insert(statement.as_str())) {
            let end = if statement.ends_with("\\gexec") { "" } else { ";" };
            out.push_str(&format!("{statement}{end}\n"));
        }
        out.push_str("COMMIT;\n");
        Some(out)
    }

    /// The role, where it is missing. Its password comes from the environment or is set later: no
    /// secret stands in the script.
    fn made(&self) -> String {
        let (role, name) = (ident(self.user), literal(self.user));
        let from = format!("FROM pg_catalog.pg_roles WHERE rolname = {name}");
        let run = |statement: String| literal(&statement);
        format!(
            "-- The role's password is the variable ROLE_PASSWORD of the environment; without it, set it\n\
             -- afterwards in psql: \\password {}\n\
             \\set role_password `printf %s \"$ROLE_PASSWORD\"`\n\
             SELECT {} WHERE NOT EXISTS (SELECT {from}) \\gexec\n\
             SELECT {} WHERE EXISTS (SELECT {from} AND NOT rolcanlogin) \\gexec\n\
             SELECT :'role_password' <> '' AS with_password \\gset\n\
             \\if :with_password\n\
             ALTER ROLE {role} PASSWORD :'role_password';\n\
             \\else\n\
             \\echo 'ROLE_PASSWORD is not set: the password of the role was left as it is'\n\
             \\endif\n",
            plain(&role),
            run(format!("CREATE ROLE {role} LOGIN")),
            run(format!("ALTER ROLE {role} LOGIN")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::settings::PostgresSettings;

    fn text(user: &str, database: &str, new_role: bool, statements: &[&str]) -> Option<String> {
        let settings = PostgresSettings { user: Some("me".into()), ..PostgresSettings::default() };
        let address = Address::resolve(&settings).unwrap();
        let statements = statements.iter().map(|s| (*s).to_owned()).collect();
        Script { role: Role::Source, name: "c", user, database, address: &address, new_role, statements }
            .text()
    }

    #[test]
    fn nothing_missing_is_no_script_and_nothing_is_said_twice() {
        assert_eq!(text("me", "shop", false, &[]), None);
        let script = text("me", "shop", false, &["GRANT a", "GRANT a", "SELECT b \\gexec"]).unwrap();
        assert!(
            script.ends_with("\\connect \"shop\"\nBEGIN;\nGRANT a;\nSELECT b \\gexec\nCOMMIT;\n"),
            "{script}"
        );
    }

    #[test]
    fn no_name_leaves_its_quotes_or_its_comment() {
        let script = text("a\nDROP TABLE x; --\"", "b\n\\! rm", true, &[]).unwrap();
        // Inside quotes a line break is part of the name; in a comment it would end it.
        let head = script.lines().take_while(|line| *line != "\\set ON_ERROR_STOP on");
        assert!(head.into_iter().all(|line| line.starts_with("--")), "{script}");
        assert!(!script.contains("\\connect"), "{script}");
    }
}
