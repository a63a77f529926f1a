//! An overwrite that makes the table far smaller.

use serde_json::{Value, json};

use super::stream;
use crate::fixture::{Database, Project, postgres, script};

fn project(rows: &[i64], target: Option<&Database>) -> Project {
    let reads: Vec<Value> = rows.iter().map(|rows| script::whole(*rows)).collect();
    let project = script::source(json!({"name": "s"}), json!(reads));
    if let Some(target) = target {
        postgres::destination(&project, target);
    }
    project
}

fn held(project: &Project, target: Option<&Database>) -> String {
    match target {
        Some(target) => target.sql("SELECT count(*) FROM s"),
        None => project.value("SELECT count(*) FROM s"),
    }
}

fn warned(project: &Project) -> bool {
    project.summary()["warnings"].to_string().contains("% fewer")
}

#[test]
fn half_as_many_rows_are_a_warning_and_fewer_than_max_shrink_allows_an_error() {
    for target in [None, Some(Database::new("shrink"))] {
        let target = target.as_ref();
        let project = project(&[100, 51, 100, 50, 100, 50, 49, 49, 0], target);
        project.run().exits(0);
        project.run().exits(0);
        assert!(!warned(&project), "49 % fewer are nothing special");
        project.run().exits(0);
        project.run().exits(0);
        assert!(warned(&project), "{}", project.summary()["warnings"]);
        stream(&project, |stream| stream["max_shrink"] = json!(0.5));
        project.run().exits(0);
        // Exactly at the limit is allowed; one row beyond is not, and the limit counts from what is there.
        project.run().exits(0);
        assert!(warned(&project));
        assert_eq!(held(&project, target), "50");
        stream(&project, |stream| stream["max_shrink"] = json!(0.01));
        project.run().exits(1).says(&["from 50 to 49 rows", "raise max_shrink"]);
        assert_eq!(held(&project, target), "50");
        assert_eq!(project.summary()["progress_counts"]["s"]["rows_loaded"], 0);
        stream(&project, |stream| stream["max_shrink"] = json!(0.02));
        project.run().exits(0);
        assert_eq!(held(&project, target), "49");
        // An empty source.
        stream(&project, |stream| stream["max_shrink"] = json!(0.99));
        project.run().exits(1).says(&["from 49 to 0 rows (100 % fewer)"]);
        assert_eq!(held(&project, target), "49");
        stream(&project, |stream| drop(stream.as_object_mut().unwrap().shift_remove("max_shrink")));
        project.run().exits(0);
        assert!(warned(&project), "{}", project.summary()["warnings"]);
        assert_eq!(held(&project, target), "0");
        project.run().exits(0);
        assert!(!warned(&project), "nothing can become fewer than none");
    }
}
