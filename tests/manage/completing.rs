//! Completions, in a real bash.

use std::process::Command;

use super::by_hand;
use crate::fixture::Project;

/// What bash offers for a line, the last word being completed.
fn offered(project: &Project, line: &str) -> Vec<String> {
    let script = format!(
        "source <(waybill completions bash) || exit 1
         line={line:?}; COMP_LINE=$line; COMP_POINT=${{#line}}; COMP_TYPE=9; COMP_KEY=9
         read -ra COMP_WORDS <<< \"$line\"; [[ $line == *' ' ]] && COMP_WORDS+=('')
         COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
         function=$(complete -p waybill | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
         compopt() {{ :; }}
         $function waybill \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_waybill")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-c", &script])
        .current_dir(project.dir())
        .env_clear()
        .env("PATH", path);
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.is_empty(), "{line}: {err}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

#[test]
fn bash_completes_commands_flags_and_the_names_of_connections_streams_and_runs() {
    let project = by_hand();
    project.run().exits(0);
    let id = project.summary()["run_id"].as_str().unwrap().to_owned();
    let all = |line: &str, wanted: &[&str]| {
        let found = offered(&project, line);
        for word in wanted {
            assert!(found.iter().any(|one| one == word), "{word} for {line:?} in {found:?}");
        }
        found
    };
    all("waybill conn", &["connection"]);
    all("waybill connection re", &["remove", "rename", "restore"]);
    all("waybill connection remove --f", &["--force"]);
    for line in [
        "waybill run ",
        "waybill connection test ",
        "waybill connection edit ",
        "waybill state show ",
        "waybill runs list --connection ",
    ] {
        let found = all(line, &["c", "broken"]);
        assert!(!found.iter().any(|word| word == "a"), "{line}: {found:?}");
    }
    assert_eq!(offered(&project, "waybill run b"), ["broken"]);
    all("waybill connection preview c ", &["a"]);
    all("waybill run c --stream ", &["a"]);
    all("waybill connection select c --drop ", &["a"]);
    all("waybill runs show ", &["last", &id]);
    all("waybill connection add x --type ", &["files", "postgres", "sqlite"]);
    // A project that is named elsewhere, and one that is broken: no word and no message.
    let other = Project::new(serde_json::json!({"version": 1}));
    let dir = project.dir().to_string_lossy().into_owned();
    assert!(offered(&other, &format!("waybill --project-dir {dir} run ")).contains(&"c".to_owned()));
    other.file("config.json", "{");
    assert!(!offered(&other, "waybill run ").contains(&"c".to_owned()));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(!project.waybill(&["completions", shell]).exits(0).out.is_empty());
    }
    project.waybill(&["completions", "sh"]).exits(2);
}
