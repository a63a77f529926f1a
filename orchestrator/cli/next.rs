//! The next step, as a command that works where the person is.

use std::path::PathBuf;

pub(crate) use crate::store::name::quoted;
use crate::store::project::{Origin, Project};

/// A command of this program; with the project's place where that was given by a flag.
pub(crate) fn command(project: &Project, words: &str) -> String {
    let given: [(&str, &str, &PathBuf); 2] =
        [("dir", "--project-dir", &project.dir), ("config_path", "--config", &project.config_path)];
    let given = given.into_iter().filter(|(field, ..)| project.origins.get(field) == Some(&Origin::Flag));
    let mut text = format!("waybill {words}");
    for (_, flag, path) in given {
        text.push_str(&format!(" {flag} {}", quoted(&path.to_string_lossy())));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::project::{Env, Flags};

    #[test]
    fn the_place_is_named_where_it_was_given() {
        let at = |flags: &Flags| Project::locate(flags, Env::default(), Path::new("/")).unwrap();
        assert_eq!(command(&at(&Flags::default()), "run c"), "waybill run c");
        let flags = Flags { project_dir: Some("/tmp/it is".into()), ..Flags::default() };
        assert_eq!(command(&at(&flags), "run c"), "waybill run c --project-dir '/tmp/it is'");
    }
}
