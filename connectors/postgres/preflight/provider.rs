//! Whose server it is, by what it shows (pure).

use super::facts::Facts;

/// The provider's name.
pub(super) fn provider(facts: &Facts) -> &'static str {
    let role = |name: &str| facts.roles.iter().any(|role| role == name);
    let setting = |prefix: &str| facts.settings.iter().any(|name| name.starts_with(prefix));
    if facts.aurora || setting("apg.") {
        "Amazon Aurora"
    } else if role("rds_superuser") || setting("rds.") {
        "Amazon RDS"
    } else if role("alloydbsuperuser") || setting("alloydb.") {
        "Google AlloyDB"
    } else if role("cloudsqlsuperuser") || setting("cloudsql.") {
        "Google Cloud SQL"
    } else if role("azure_pg_admin") || setting("azure.") {
        "Azure Database"
    } else if role("neon_superuser") || setting("neon.") {
        "Neon"
    } else if role("supabase_admin") || setting("supautils.") {
        "Supabase"
    } else {
        "vanilla"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_is_known_by_what_its_servers_alone_have() {
        let with = |roles: &[&str], settings: &[&str], aurora| Facts {
            roles: roles.iter().map(|name| (*name).to_owned()).collect(),
            settings: settings.iter().map(|name| (*name).to_owned()).collect(),
            aurora,
            ..Facts::default()
        };
        for (facts, name) in [
            (with(&[], &[], false), "vanilla"),
            (with(&["rds_superuser"], &["rds.extensions"], false), "Amazon RDS"),
            (with(&["rds_superuser"], &["rds.extensions"], true), "Amazon Aurora"),
            (with(&["cloudsqlsuperuser"], &[], false), "Google Cloud SQL"),
            (with(&["alloydbsuperuser", "cloudsqlsuperuser"], &[], false), "Google AlloyDB"),
            (with(&["azure_pg_admin"], &[], false), "Azure Database"),
            (with(&["supabase_admin"], &[], false), "Supabase"),
            (with(&[], &["neon.project_id"], false), "Neon"),
        ] {
            assert_eq!(provider(&facts), name);
        }
    }
}
