//! Makes role, database and schemas of a destination, as an administrator. What is there stays as it
//! is, so that it may be run again.

use std::sync::Arc;

use waybill_protocol::{Context, Errand, Error, Kind, Made, Result, Secret};

use super::landing_schemas;
use crate::postgres::address::Address;
use crate::postgres::scram;
use crate::postgres::session::{Server, Session, text};
use crate::postgres::settings::PostgresSettings;
use crate::postgres::sql::{ident, literal};

/// Makes what is missing.
pub(in crate::postgres) async fn bootstrap(
    ctx: Context,
    settings: &PostgresSettings,
    admin: &Secret,
    errand: &Errand,
) -> Result<Vec<Made>> {
    let target = Address::resolve(settings)?;
    let given = PostgresSettings { url: Some(admin.clone()), ..PostgresSettings::default() };
    let admin = Address::resolve(&given)
        .map_err(|error| error.context("the administrator's address"))?
        .encrypted_as(&target);
    let mut made = Vec::new();
    let first = at(&ctx, settings, &admin, &admin.database).await?;
    let done = server(&first, &target, &mut made).await;
    first.close().await;
    done?;
    let second = at(&ctx, settings, &admin, &target.database).await?;
    let done = database(&second, &target, errand, &mut made).await;
    second.close().await;
    done.map(|()| made)
}

/// The server as the administrator.
async fn at(
    ctx: &Context,
    settings: &PostgresSettings,
    admin: &Address,
    database: &str,
) -> Result<Arc<Server>> {
    let settings = PostgresSettings {
        tunnel: settings.tunnel.clone(),
        connect_timeout_ms: settings.connect_timeout_ms,
        ..admin.settings(database)
    };
    let server = Server::open(ctx.clone(), &settings).await;
    server.map_err(|error| error.context(format!("as administrator {}", admin.user)))
}

async fn yes(session: &mut Session, sql: &str) -> Result<bool> {
    Ok(!session.query("look what is there", sql).await?.is_empty())
}

/// Role and database.
async fn server(server: &Arc<Server>, target: &Address, made: &mut Vec<Made>) -> Result<()> {
    let mut session = server.session().await?;
    role(&mut session, target, made).await.map_err(unable)?;
    let (name, user) = (ident(&target.database), ident(&target.user));
    let there = format!("SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}", literal(&target.database));
    let fresh = !yes(&mut session, &there).await?;
    if fresh {
        let plain = yes(
            &mut session,
            "SELECT 1 FROM pg_catalog.pg_database WHERE datname = 'template1' AND pg_encoding_to_char(encoding) = 'UTF8'",
        );
        let more = match plain.await? {
            true => "",
            false => " ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
        };
        session.query("make the database", &format!("CREATE DATABASE {name}{more}")).await.map_err(unable)?;
    }
    made.push(Made::new(format!("database {name}"), fresh));
    // A database that was made for this role alone takes every schema that a stream may name.
    let rights: &[&str] = if fresh { &["CONNECT", "TEMPORARY", "CREATE"] } else { &["CONNECT", "TEMPORARY"] };
    for right in rights {
        let has = format!(
            "SELECT 1 WHERE has_database_privilege({}, {}, '{right}')",
            literal(&target.user),
            literal(&target.database)
        );
        let missing = !yes(&mut session, &has).await?;
        if missing {
            let grant = format!("GRANT {right} ON DATABASE {name} TO {user}");
            session.query("grant a right", &grant).await.map_err(unable)?;
        }
        made.push(Made::new(format!("{right} on database {name}"), missing));
    }
    session.release();
    Ok(())
}

async fn role(session: &mut Session, target: &Address, made: &mut Vec<Made>) -> Result<()> {
    let user = ident(&target.user);
    let there = format!(
        "SELECT rolcanlogin::text FROM pg_catalog.pg_roles WHERE rolname = {}",
        literal(&target.user)
    );
    let rows = session.query("look what is there", &there).await?;
    let login = rows.first().map(|row| text(row, 0)).transpose()?.flatten();
    if let Some(login) = login {
        if login != "true" {
            session.query("let the role log in", &format!("ALTER ROLE {user} LOGIN")).await?;
            made.push(Made::new(format!("the right of role {user} to log in"), true));
        }
        made.push(Made::new(format!("role {user}"), false));
        return Ok(());
    }
    let shown = format!("CREATE ROLE {user} LOGIN");
    let verifier = target.password().map(|password| scram::verifier(password.expose(), &scram::salt()));
    let mut role = Made::new(format!("role {user}"), true);
    let sql = match verifier {
        Some(Some(verifier)) => format!("{shown} PASSWORD {}", literal(&verifier)),
        Some(None) => {
            role.note = Some(format!(
                "its password was not set, since it has characters beyond ASCII: set it in psql by \\password {user}"
            ));
            shown.clone()
        }
        None => {
            role.note = Some("it has no password, since the destination has none".to_owned());
            shown.clone()
        }
    };
    session.query_hidden("make the role", &shown, sql).await?;
    made.push(role);
    Ok(())
}

/// The schemas and the rights in them.
async fn database(
    server: &Arc<Server>,
    target: &Address,
    errand: &Errand,
    made: &mut Vec<Made>,
) -> Result<()> {
    let mut session = server.session().await?;
    for schema in landing_schemas(errand) {
        let (name, user) = (ident(&schema), ident(&target.user));
        let there = format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {}", literal(&schema));
        let missing = !yes(&mut session, &there).await?;
        if missing {
            session
                .query("make a schema", &format!("CREATE SCHEMA IF NOT EXISTS {name}"))
                .await
                .map_err(unable)?;
        }
        made.push(Made::new(format!("schema {name}"), missing));
        let has = |right: &str| {
            let (user, schema) = (literal(&target.user), literal(&schema));
            format!("SELECT 1 WHERE has_schema_privilege({user}, {schema}, '{right}')")
        };
        let both = yes(&mut session, &has("USAGE")).await? && yes(&mut session, &has("CREATE")).await?;
        if !both {
            let grant = format!("GRANT USAGE, CREATE ON SCHEMA {name} TO {user}");
            session.query("grant a right", &grant).await.map_err(unable)?;
        }
        made.push(Made::new(format!("USAGE and CREATE on schema {name}"), !both));
    }
    session.release();
    Ok(())
}

/// What the administrator may not do is said as such.
fn unable(error: Error) -> Error {
    match error.kind() {
        Kind::Permission => {
            let said = Error::new(Kind::Permission, error.message());
            said.code("42501")
                .hint("give the address of a role with CREATEROLE and CREATEDB, or of a superuser")
                .cause(error)
        }
        _ => error,
    }
}
