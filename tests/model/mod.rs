//! Random scripts of writes, runs, kills, edits, restores and retries, compared with a model after
//! every step that promises something.
//!
//! `WAYBILL_MODEL_SEQUENCES=20000` plays that many instead, with a seed of the moment;
//! `WAYBILL_MODEL_SEED` gives the seed. A script that fails is made shorter, printed, and can be
//! kept in `scripts/`: everything there is played every time.

mod line;
mod person;
mod play;
mod postgres;
mod rules;
mod runs;
mod script;
mod sqlite;

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use play::{Played, System, play};
use postgres::Postgres;
use script::{Draw, Script, scripts};
use sqlite::Sqlite;

/// The seed where none is given: what is tested is the same every time.
const SEED: u64 = 20_261_121;
const THREADS: u32 = 2;

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Plays scripts on two threads, and says how many.
#[allow(clippy::print_stdout, reason = "how much was proven is part of the proof")]
fn prove<S: System>(what: &str, default: u32, draw: Draw, system: impl Fn(&Script) -> S + Sync) {
    let sequences = asked("WAYBILL_MODEL_SEQUENCES").map_or(default, |n| u32::try_from(n).expect("fewer"));
    let now = || {
        u64::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().expect("a clock").as_micros() as u64
    };
    // Who asks for many wants long ones, too.
    let draw = if sequences == default { draw } else { Draw { long: 6, ..draw } };
    let seed = asked("WAYBILL_MODEL_SEED").unwrap_or_else(|| if sequences == default { SEED } else { now() });
    let started = Instant::now();
    let total = Mutex::new((0u64, Played::default()));
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (total, system) = (&total, &system);
                scope.spawn(move || search(sequences.div_ceil(THREADS), seed, thread, draw, total, system))
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a thread ends")).collect()
    });
    let (scripts, played) = *total.lock().expect("no thread panicked");
    println!(
        "{what}: {scripts} sequences, {} steps, {} runs, {} of them killed, {} refusals of a stream, in {:.0?}, seed {seed}",
        played.steps,
        played.runs,
        played.kills,
        played.refusals,
        started.elapsed()
    );
    assert!(failures.is_empty(), "{what}, seed {seed}:\n{}", failures.join("\n\n"));
}

/// One thread's share; what failed, made short.
fn search<S: System>(
    sequences: u32,
    seed: u64,
    thread: u32,
    draw: Draw,
    total: &Mutex<(u64, Played)>,
    system: &impl Fn(&Script) -> S,
) -> Option<String> {
    let config = Config {
        cases: sequences,
        max_shrink_iters: 600,
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&thread.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&scripts(draw), |script| {
        let played = play(system(&script), &script).map_err(TestCaseError::fail)?;
        let mut total = total.lock().expect("no thread panicked");
        total.0 += 1;
        total.1.steps += played.steps;
        total.1.runs += played.runs;
        total.1.kills += played.kills;
        total.1.refusals += played.refusals;
        Ok(())
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(why, script)) => {
            let kept = serde_json::to_string(&script).expect("JSON");
            Some(format!("{why}\n\nthe shortest script that was found:\n{script}\nto keep it: {kept}"))
        }
        Err(error) => Some(error.to_string()),
    }
}

/// Plays the scripts that failed once.
fn replay<S: System>(folder: &str, system: impl Fn(&Script) -> S) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model/scripts").join(folder);
    for path in crate::fixture::record::files_below(&folder) {
        let text = std::fs::read(&path).expect("the script is there");
        let script: Script =
            serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        play(system(&script), &script).unwrap_or_else(|why| panic!("{}:\n{script}\n{why}", path.display()));
    }
}

#[test]
fn from_sqlite_into_sqlite_the_destination_is_what_the_model_says() {
    let draw = Draw { transactions: false, calls: 185, long: 1 };
    prove("SQLite → SQLite", 800, draw, |_| Sqlite::new());
}

#[test]
fn what_failed_once_from_sqlite_into_sqlite_holds_now() {
    replay("sqlite", |_| Sqlite::new());
}

#[test]
fn from_postgres_into_postgres_the_destination_is_what_the_model_says() {
    let draw = Draw { transactions: true, calls: 360, long: 1 };
    prove("PostgreSQL → PostgreSQL", 50, draw, Postgres::into_postgres);
}

#[test]
fn from_postgres_into_sqlite_the_destination_is_what_the_model_says() {
    let draw = Draw { transactions: true, calls: 245, long: 1 };
    prove("PostgreSQL → SQLite", 60, draw, Postgres::into_sqlite);
}

#[test]
fn what_failed_once_from_postgres_holds_now() {
    replay("postgres_to_postgres", Postgres::into_postgres);
    replay("postgres_to_sqlite", Postgres::into_sqlite);
}
