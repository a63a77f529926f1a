//! Whether the destination can be written.

use waybill_protocol::{Check, Error, Kind, Origin, Result};

use super::desk::{DEFAULT_SCHEMA, Desk};
use super::tx::{leave, reading};
use crate::postgres::session::text;
use crate::postgres::sql::{ident, literal};

/// Every finding; leaves nothing behind.
pub(super) async fn check(desk: &Desk) -> Result<Vec<Check>> {
    let schema = literal(DEFAULT_SCHEMA);
    let sql = format!(
        "SELECT current_setting('server_version'), pg_is_in_recovery()::text, CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = {schema}) \
         THEN has_schema_privilege({schema}, 'CREATE') AND has_schema_privilege({schema}, 'USAGE') \
         ELSE has_database_privilege(current_database(), 'CREATE') END::text AS may_create, \
         has_database_privilege(current_database(), 'CREATE')::text, \
         has_database_privilege(current_database(), 'TEMPORARY')::text, current_setting('server_encoding'), \
         current_user::text, current_database()::text"
    );
    let mut session = reading(&desk.server).await?;
    let rows = session.query("look what may be done", &sql).await;
    leave(session).await;
    let rows = rows?;
    let row = rows.first().ok_or_else(|| Error::internal("no answer to a query without FROM"))?;
    let field = |index| text(row, index).map(Option::unwrap_or_default);
    let yes = |index| field(index).map(|value| value == "true");
    let (user, database) = (field(6)?, field(7)?);
    let denied = |what: &str, hint: String| {
        Error::new(Kind::Permission, what.to_owned()).hint(hint).origin(Origin::Destination)
    };

    let mut found =
        vec![Check::passed("connect", format!("PostgreSQL {} at {}", field(0)?, desk.server.target))];
    if yes(1)? {
        let error = denied("the server is a standby and takes no writes", "name the primary".to_owned());
        found.push(Check::failed("take writes", &error));
        return Ok(found);
    }
    let what = format!("create tables in schema {DEFAULT_SCHEMA}");
    found.push(match yes(2)? {
        true => Check::passed(what, format!("as {user}")),
        false => {
            let grant =
                format!("GRANT CREATE, USAGE ON SCHEMA {} TO {}", ident(DEFAULT_SCHEMA), ident(&user));
            Check::failed(&what, &denied(&format!("user {user} may not {what}"), grant))
        }
    });
    let mut schemas = Check::passed("create schemas", format!("in database {database}"));
    if !yes(3)? {
        schemas.detail = format!("user {user} may not create schemas in database {database}");
        schemas.warning = Some("streams can only be loaded into schemas that exist".to_owned());
    }
    found.push(schemas);
    let mut merging = Check::passed("create temporary tables", format!("in database {database}"));
    if !yes(4)? {
        merging.detail = format!("user {user} may not create temporary tables in database {database}");
        merging.warning = Some(format!(
            "write mode merge needs them: GRANT TEMPORARY ON DATABASE {} TO {}",
            ident(&database),
            ident(&user)
        ));
    }
    found.push(merging);
    let encoding = field(5)?;
    if encoding != "UTF8" {
        let mut check = Check::passed("encoding", encoding.clone());
        check.warning =
            Some(format!("the database's encoding is {encoding}: characters that it lacks fail to load"));
        found.push(check);
    }
    Ok(found)
}
