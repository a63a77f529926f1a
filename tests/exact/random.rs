//! Random tables with random values of all types, by every route, compared by the server.
//!
//! `WAYBILL_EXACT_TABLES` says how many, `WAYBILL_EXACT_SEED` which.

use std::cell::Cell;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::compare::differing;
use super::routes::Route;
use super::types::{Case, OWN_TYPES, cases};
use crate::fixture::{Database, tell};

/// The seed where none is given: what is tested is the same every time.
const SEED: u64 = 20_261_121;
/// Tables that are moved by one run.
const AT_ONCE: u64 = 10;
/// Tables where no number is given.
const TABLES: u64 = 20;

/// A table: for each column its type and, per row, the seed of its value; none for a NULL.
#[derive(Debug, Clone)]
struct Random {
    columns: Vec<(usize, Vec<Option<u64>>)>,
    rows: usize,
}

fn tables(types: usize) -> impl Strategy<Value = Vec<Random>> {
    let value = prop_oneof![1 => Just(None), 6 => any::<u64>().prop_map(Some)];
    let table = (0usize..20).prop_flat_map(move |rows| {
        let column = (0..types, prop::collection::vec(value.clone(), rows));
        prop::collection::vec(column, 1..12).prop_map(move |columns| Random { columns, rows })
    });
    prop::collection::vec(table, 1..=AT_ONCE as usize)
}

/// Numbers out of a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    fn digits(&mut self, most: u64) -> String {
        let length = self.below(most + 1);
        (0..length)
            .map(|_| char::from(b'0' + if self.below(3) == 0 { self.below(10) as u8 } else { 0 }))
            .collect()
    }

    fn text(&mut self) -> String {
        const PLANES: [(u32, u32); 7] = [
            (1, 127),
            (128, 0x7ff),
            (0x800, 0xd7ff),
            (0xe000, 0xffff),
            (0x1_0000, 0x1_ffff),
            (0x2_0000, 0x3_ffff),
            (0xe_0000, 0x10_ffff),
        ];
        let length = self.below(20);
        (0..length)
            .filter_map(|_| {
                let (low, high) = PLANES[self.below(PLANES.len() as u64) as usize];
                char::from_u32(self.between(low.into(), high.into()) as u32)
            })
            .collect()
    }

    fn quoted(&mut self) -> String {
        format!("'{}'", self.text().replace('\'', "''"))
    }

    fn double(&mut self) -> String {
        let value = f64::from_bits(self.next());
        // SQLite has no minus zero; that has a test of its own.
        if value.is_nan() || value == 0.0 {
            "'NaN'".to_owned()
        } else {
            format!("'{value:e}'").replace("inf", "Infinity")
        }
    }

    fn span(&mut self) -> String {
        let (months, days) = (self.between(-2_000_000, 2_000_000), self.between(-9_000_000, 9_000_000));
        format!(
            "'{months} months {days} days {} microseconds'",
            self.between(-9_000_000_000_000_000, 9_000_000_000_000_000)
        )
    }

    fn moment(&mut self) -> String {
        let (days, micros) = (self.between(-2_451_500, 106_700_000), self.between(0, 86_399_999_999));
        format!("'2000-01-01 00:00:00'::timestamp + '{days} days {micros} microseconds'")
    }

    fn hex(&mut self, most: u64) -> String {
        let length = self.below(most);
        (0..length).map(|_| format!("{:02x}", self.below(256))).collect()
    }
}

/// An SQL expression of a value; a value that the matrix has where this knows no other.
fn value(case: &Case, seed: u64) -> String {
    let mut dice = Dice(seed);
    let given = &case.values[dice.below(case.values.len() as u64) as usize];
    if dice.below(4) == 0 {
        return given.clone();
    }
    drawn(case.kind, &mut dice).unwrap_or_else(|| given.clone())
}

fn drawn(kind: &str, dice: &mut Dice) -> Option<String> {
    number(kind, dice).or_else(|| other(kind, dice))
}

fn number(kind: &str, dice: &mut Dice) -> Option<String> {
    Some(match kind {
        "smallint" => dice.between(-32768, 32767).to_string(),
        "integer" => dice.between(-2_147_483_648, 2_147_483_647).to_string(),
        "bigint" => format!("'{}'", dice.next() as i64),
        "oid" | "xid" => format!("'{}'", dice.next() as u32),
        "real" => match f32::from_bits(dice.next() as u32) {
            value if value.is_finite() && value != 0.0 => format!("'{value:e}'"),
            _ => "'NaN'".to_owned(),
        },
        "double precision" => dice.double(),
        "numeric" => format!(
            "'{}0{}.{}0'",
            if dice.below(2) == 0 { "-" } else { "" },
            dice.digits(60),
            dice.digits(60)
        ),
        "numeric(12,2)" => {
            format!("'{}.{}'", dice.between(-9_999_999_999, 9_999_999_999), dice.between(10, 99))
        }
        "numeric(15,0)" => dice.between(-999_999_999_999_999, 999_999_999_999_999).to_string(),
        "numeric(5,2)" | "price" => format!("'{}.{:02}'", dice.between(-999, 999), dice.below(100)),
        "numeric(38,10)" => format!("'0{}.{}0'", dice.digits(28), dice.digits(9)),
        "numeric(76,38)" => format!("'-0{}.{}0'", dice.digits(38), dice.digits(37)),
        "numeric(1000,500)" => format!("'0{}.{}0'", dice.digits(500), dice.digits(499)),
        "money" => {
            format!("'{}.{:02}'", dice.between(-90_000_000_000_000, 90_000_000_000_000), dice.below(100))
        }
        _ => return None,
    })
}

fn other(kind: &str, dice: &mut Dice) -> Option<String> {
    Some(match kind {
        "text" | "character varying" | "character varying(40)" => dice.quoted(),
        "bpchar" => dice.quoted(),
        "bytea" => format!("'\\x{}'", dice.hex(40)),
        "uuid" => format!("md5('{}')::uuid", dice.next()),
        "json" => format!(
            "json_build_object({}, {}, 'n', {})::text::json",
            dice.quoted(),
            dice.quoted(),
            dice.double()
        ),
        "jsonb" => format!(
            "jsonb_build_object({}, {}, 'n', '{}0.{}'::numeric)",
            dice.quoted(),
            dice.quoted(),
            dice.digits(30),
            dice.digits(30)
        ),
        "hstore" => format!("hstore({}::text, {}::text)", dice.quoted(), dice.quoted()),
        "pair" => format!("ROW({}, {})::pair", dice.between(-5, 5), dice.quoted()),
        "date" => format!("'2000-01-01'::date + {}", dice.between(-2_451_545, 2_145_031_948)),
        "time without time zone" => {
            format!("'00:00'::time + '{} microseconds'", dice.between(0, 86_399_999_999))
        }
        "time with time zone" => format!(
            "('00:00'::time + '{} microseconds')::time::text::timetz AT TIME ZONE '{} seconds'::interval",
            dice.between(0, 86_399_999_999),
            dice.between(-57_000, 57_000)
        ),
        "timestamp without time zone" | "timestamp(3) without time zone" => dice.moment(),
        "timestamp with time zone" | "timestamp(0) with time zone" => {
            format!("({}) AT TIME ZONE 'UTC'", dice.moment())
        }
        "interval" => dice.span(),
        "interval[]" => format!("ARRAY[{}, NULL, {}]::interval[]", dice.span(), dice.span()),
        "inet" => format!(
            "'{}.{}.{}.{}/{}'",
            dice.below(256),
            dice.below(256),
            dice.below(256),
            dice.below(256),
            dice.below(33)
        ),
        "macaddr" => format!("'08:00:{:02x}:01:{:02x}:03'", dice.below(256), dice.below(256)),
        "pg_lsn" => format!("'{:X}/{:X}'", dice.next() as u32, dice.next() as u32),
        "bit varying" => format!("B'{:b}'", dice.next()),
        "point" => format!("point({}, {})", dice.double(), dice.double()),
        "int4range" => format!("'[{},{}]'", dice.between(-9_000, 0), dice.between(1, 9_000)),
        "numrange" => format!("'[-0{}.{}0,1{})'", dice.digits(30), dice.digits(30), dice.digits(30)),
        "integer[]" => {
            let (low, items) = (dice.between(-5, 5), dice.between(1, 6));
            let all: Vec<String> =
                (0..items)
                    .map(|_| {
                        if dice.below(4) == 0 { "NULL".to_owned() } else { dice.between(-99, 99).to_string() }
                    })
                    .collect();
            format!("'[{low}:{}]={{{}}}'", low + items - 1, all.join(","))
        }
        "text[]" => format!("ARRAY[{}, NULL, {}]", dice.quoted(), dice.quoted()),
        "double precision[]" => format!("ARRAY[{}, {}]::float8[]", dice.double(), dice.double()),
        "tsvector" => format!("to_tsvector('simple', {})", dice.quoted()),
        "positive" => dice.between(1, 2_000_000_000).to_string(),
        _ => return None,
    })
}

fn make(
    database: &Database,
    number: usize,
    table: &Random,
    cases: &[Case],
) -> (String, Vec<(String, &'static str)>) {
    let name = format!("t{number}");
    let columns: Vec<(String, &'static str)> =
        table.columns.iter().enumerate().map(|(at, (of, _))| (format!("c{at}"), cases[*of].kind)).collect();
    let list: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    let mut sql = format!("CREATE TABLE {name} (id bigint PRIMARY KEY, {});", list.join(", "));
    for row in 0..table.rows {
        let values = table.columns.iter().map(|(of, seeds)| match seeds[row] {
            Some(seed) => value(&cases[*of], seed),
            None => "NULL".to_owned(),
        });
        sql.push_str(&format!(
            "INSERT INTO {name} VALUES ({row}, {});",
            values.collect::<Vec<_>>().join(", ")
        ));
    }
    database.sql(&sql);
    (name, columns)
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn random_tables_arrive_bit_for_bit_by_every_route() {
    // The longest values are in the matrix; here they would only take long.
    let mut cases = cases();
    cases.iter_mut().for_each(|case| case.values.retain(|value| !value.contains("repeat")));
    cases.retain(|case| !case.values.is_empty());
    let (seed, wanted) =
        (asked("WAYBILL_EXACT_SEED").unwrap_or(SEED), asked("WAYBILL_EXACT_TABLES").unwrap_or(TABLES));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        // Half of the most that there can be are there on average.
        cases: u32::try_from(wanted.div_ceil(AT_ONCE / 2)).expect("fewer"),
        failure_persistence: None,
        max_shrink_iters: 30,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (moved, values, started) = (Cell::new(0), Cell::new(0), Instant::now());
    let outcome = runner.run(&tables(cases.len()), |batch| {
        let database = Database::new("exact_random");
        database.sql(OWN_TYPES);
        let made: Vec<_> =
            batch.iter().enumerate().map(|(n, table)| make(&database, n, table, &cases)).collect();
        let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
        for route in Route::ALL {
            route.go(&database, &names);
            for (name, columns) in &made {
                let columns: Vec<(&str, &str)> = columns.iter().map(|(n, k)| (n.as_str(), *k)).collect();
                let found = differing(&database, route.schema(), name, &columns);
                prop_assert!(found.is_empty(), "{route:?}, {name}: {found}\n{columns:?}");
            }
        }
        moved.set(moved.get() + batch.len());
        values.set(values.get() + batch.iter().map(|table| table.rows * table.columns.len()).sum::<usize>());
        Ok(())
    });
    tell(&format!(
        "random tables: {} tables, {} values of {} types × {} routes in {:.0?}, seed {seed}",
        moved.get(),
        values.get(),
        cases.len(),
        Route::ALL.len(),
        started.elapsed()
    ));
    outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}
