//! Every type of a stock PostgreSQL 15, with the values that are easily lost, and how each
//! destination is expected to hold it.

/// How well a destination is expected to hold a type, in the words of `discover`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Exact,
    Widened,
}

/// A type.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of its column.
    pub name: String,
    /// The type as it is declared.
    pub kind: &'static str,
    /// SQL expressions of its values.
    pub values: Vec<String>,
    /// Its type in another PostgreSQL, where it is another one, and how well that holds it.
    pub postgres: (Option<&'static str>, Held),
    /// Its type in SQLite, and how well that holds it.
    pub sqlite: (&'static str, Held),
    /// Whether one of the values makes the column of SQLite wider while it is loaded.
    pub grows: bool,
}

impl Case {
    fn postgres(mut self, kind: &'static str, held: Held) -> Case {
        self.postgres = (Some(kind), held);
        self
    }

    fn sqlite(mut self, kind: &'static str, held: Held) -> Case {
        self.sqlite = (kind, held);
        self
    }

    fn grows(mut self) -> Case {
        self.grows = true;
        self
    }
}

/// What the types of a person's own are made by.
pub const OWN_TYPES: &str = "
    CREATE EXTENSION hstore;
    CREATE TYPE mood AS ENUM ('sad', 'o''k', 'very \"happy\"', 'Ünïcode');
    CREATE TYPE pair AS (a integer, b text);
    CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
    CREATE DOMAIN price AS numeric(10,2);
    CREATE DOMAIN dear AS price CHECK (VALUE > 100);
    CREATE DOMAIN words AS text[];
    CREATE DOMAIN address AS inet;
    CREATE TYPE floats AS RANGE (subtype = float8);";

/// A type that other PostgreSQLs hold as itself and SQLite as text.
fn case(kind: &'static str, values: &[&str]) -> Case {
    let letters = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    Case {
        name: format!("c_{}", kind.chars().map(letters).collect::<String>()),
        kind,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        postgres: (None, Held::Exact),
        sqlite: ("TEXT", Held::Widened),
        grows: false,
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    [numbers(), texts(), times(), networks(), shapes(), searches(), ranges(), arrays(), inner(), own()]
        .concat()
}

fn numbers() -> Vec<Case> {
    let long = "'9'";
    let mut numeric = case(
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0",
            "0.000",
            "-12.50",
            "1e-20",
            "1e40",
            "100000000",
            "10000.0001",
        ],
    );
    numeric.values.push(format!("repeat({long}, 131072)::numeric"));
    numeric.values.push("('-0.' || repeat('1', 16383))::numeric".to_owned());
    numeric.values.push(format!("(repeat({long}, 131072) || '.' || repeat('7', 16383))::numeric"));
    let floats = ["'NaN'", "'Infinity'", "'-Infinity'", "0", "0.1", "1e-30", "-3.4e38", "16777217", "1e15"];
    let doubles = [
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "0",
        "0.1",
        "5e-324",
        "-1.7976931348623157e308",
        "9007199254740993",
    ];
    vec![
        case("boolean", &["true", "false"]).sqlite("BOOLEAN", Held::Exact),
        case("smallint", &["-32768", "0", "32767"]).sqlite("INTEGER", Held::Exact),
        case("integer", &["-2147483648", "0", "2147483647"]).sqlite("INTEGER", Held::Exact),
        case("bigint", &["-9223372036854775808", "0", "9223372036854775807"]).sqlite("INTEGER", Held::Exact),
        case("real", &floats).sqlite("REAL", Held::Widened),
        case("double precision", &doubles).sqlite("REAL", Held::Widened),
        numeric,
        case("numeric(12,2)", &["0", "-0.01", "9999999999.99", "12.30"]).sqlite("DECIMAL(12,2)", Held::Exact),
        case("numeric(15,0)", &["999999999999999", "-1"]).sqlite("DECIMAL(15,0)", Held::Exact),
        case("numeric(5,2)", &["'NaN'", "1.10", "-999.99"]).sqlite("DECIMAL(5,2)", Held::Exact).grows(),
        case("numeric(38,10)", &["9999999999999999999999999999.9999999999", "-0.0000000001", "'NaN'"]),
        case("numeric(76,38)", &["repeat('9', 38)::numeric", "-0.00000000000000000000000000000000000001"]),
        case(
            "numeric(1000,500)",
            &["repeat('8', 500)::numeric", "('0.' || repeat('3', 500))::numeric", "'NaN'"],
        ),
        case("numeric(3,-2)", &["12300", "-99900", "0", "'NaN'"]),
        case("numeric(2,5)", &["0.00012", "-0.00099"]),
        case("money", &["0", "-0.01", "92233720368547758.07", "'-92233720368547758.08'", "1234567.89"])
            .postgres("numeric", Held::Widened),
        case("oid", &["0", "4294967295"]).sqlite("INTEGER", Held::Exact),
        case("xid", &["'0'", "'4294967295'"]),
        case("xid8", &["'0'", "'18446744073709551615'"]),
        case("cid", &["'7'"]),
        case("tid", &["'(0,1)'", "'(4294967295,65535)'"]),
        case("pg_lsn", &["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
        case("txid_snapshot", &["'10:20:10,14,15'", "'1:1:'"]),
        case("pg_snapshot", &["'10:20:10,14,15'"]),
    ]
}

fn texts() -> Vec<Case> {
    let planes = "U&'a\\00e9\\4e2d\\+01F69A\\+02070E\\+030000\\+0E0041\\+0F0000\\+10FFFD'";
    vec![
        case(
            "text",
            &["''", "' a '", planes, "E'\\\\ \\t \\n \\r \\\\N \\\\.'", "repeat('long ', 100000)", "'NULL'"],
        )
        .sqlite("TEXT", Held::Exact),
        case("character varying", &["''", planes]).sqlite("TEXT", Held::Exact),
        case("character varying(40)", &["'40'", planes]).sqlite("TEXT", Held::Exact),
        case("character(5)", &["'abc'", "''", "'éé'", "'12345'"]).sqlite("TEXT", Held::Exact),
        case("bpchar", &["'abc  '", "''"]).sqlite("TEXT", Held::Exact),
        case("name", &["'a name'", "''"]).sqlite("TEXT", Held::Exact),
        case("\"char\"", &["'a'", "''", "'\\200'::\"char\"", "'\\\\'"]).sqlite("TEXT", Held::Exact),
        case("bytea", &["''", "'\\x00ff5c0a'", "decode(repeat('00', 100000), 'hex')"])
            .sqlite("BLOB", Held::Exact),
        case("uuid", &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-4fff-bfff-ffffffffffff'"]),
        case("json", &["'{\"b\":  1, \"a\": [ ], \"b\": 1.50}'", "' null '", "'\"\\u0000\"'", "'1e400'"]),
        case(
            "jsonb",
            &["'{\"b\":  1, \"a\": 1.50}'", "'null'", "'[]'", "'\"\\u00e9\"'", "repeat('9', 400)::jsonb"],
        ),
        case("jsonpath", &["'$.a[*] ? (@ > 1)'", "'strict $'"]),
        case("xml", &["'<a>1</a>'", "'just text'", "'<?xml version=\"1.0\"?><a/>'", "'<b/><c/>'"]),
        case("bit(3)", &["B'101'", "B'000'"]),
        case("bit varying", &["B''", "B'1010101010101'"]),
        case("bit varying(5)", &["B''", "B'10101'"]),
    ]
}

fn times() -> Vec<Case> {
    let days = [
        "'4713-01-01 BC'",
        "'4714-11-24 BC'",
        "'0001-12-31 BC'",
        "'5874897-12-31'",
        "'infinity'",
        "'-infinity'",
    ];
    let stamps = [
        "'4714-11-24 00:00:00 BC'",
        "'0044-03-15 12:00:00.000001 BC'",
        "'1999-12-31 23:59:59.999999'",
        "'10000-01-01'",
        "'294246-12-31 23:59:59.999999'",
        "'infinity'",
        "'-infinity'",
    ];
    let late = ["'294276-12-31 23:59:59.999999'", "'0044-03-15 12:00:00 BC'", "'-infinity'", "'2024-01-02'"];
    let zoned = [
        "'4714-11-24 00:00:00+00 BC'",
        "'2024-03-31 02:30:00+02'",
        "'294246-12-31 23:59:59+00'",
        "'infinity'",
    ];
    let zoned_late = ["'294276-12-31 23:59:59.999999+00'", "'2024-01-02 03:04:05+05:30'", "'infinity'"];
    let spans = [
        "'0'",
        "'14 months -3 days 04:05:06.000007'",
        "'-1 year +1 microsecond'",
        "'-178000000 years'",
        "'2500000 hours'",
        "'-00:00:00.000001'",
    ];
    let mut cases = vec![
        case("date", &days).sqlite("DATE", Held::Widened),
        case("time without time zone", &["'00:00'", "'24:00:00'", "'23:59:59.999999'"])
            .sqlite("TIME", Held::Widened),
        case("time(3) without time zone", &["'24:00:00'", "'12:00:00.1239'"]).sqlite("TIME", Held::Widened),
        case("time with time zone", &["'24:00:00-15:59'", "'00:00:00.000001+15:59:59'"]),
        case("time(2) with time zone", &["'12:34:56.789+01'"]),
        case("timestamp without time zone", &stamps).sqlite("TIMESTAMP", Held::Widened),
        case("timestamp(3) without time zone", &["'2024-01-02 03:04:05.6789'"])
            .sqlite("TIMESTAMP", Held::Widened),
        case("timestamp with time zone", &zoned).sqlite("TIMESTAMPTZ", Held::Widened),
        case("timestamp(0) with time zone", &["'2024-01-02 03:04:05.6789+01'"])
            .sqlite("TIMESTAMPTZ", Held::Widened),
        case("interval", &spans),
        case("interval day to second", &["'3 days 04:05:06.789'"]),
        case("interval(3)", &["'04:05:06.7891'"]),
    ];
    let mut more = [
        case("timestamp without time zone", &late).sqlite("TIMESTAMP", Held::Widened).grows(),
        case("timestamp with time zone", &zoned_late).sqlite("TIMESTAMPTZ", Held::Widened).grows(),
        case("interval", &["'3000000 hours'", "'1 mon -1 day'", "'-2562047788 hours'"]).grows(),
    ];
    more.iter_mut().for_each(|case| case.name.push_str("_late"));
    cases.extend(more);
    cases
}

fn networks() -> Vec<Case> {
    vec![
        case("inet", &["'10.0.0.1'", "'10.1.2.3/8'", "'::ffff:1.2.3.4/128'", "'2001:db8::1/64'"]),
        case("cidr", &["'10.0.0.0/8'", "'2001:db8::/32'", "'0.0.0.0/0'"]),
        case("macaddr", &["'08:00:2b:01:02:03'"]),
        case("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ]
}

fn shapes() -> Vec<Case> {
    vec![
        case("point", &["'(0.1,-0)'", "'(NaN,Infinity)'", "'(1e300,5e-324)'"]),
        case("line", &["'{1,-2.5,3}'"]),
        case("lseg", &["'[(0,0),(1.1,2.2)]'"]),
        case("box", &["'(1,2),(0.1,0.2)'"]),
        case("path", &["'((0,0),(1,1),(2,0))'", "'[(0,0),(1,1)]'"]),
        case("polygon", &["'((0,0),(1,1),(2,0))'"]),
        case("circle", &["'<(0.1,0.2),3>'"]),
    ]
}

fn searches() -> Vec<Case> {
    vec![
        case("tsvector", &["'a:1A fat:2B,4C cat:5D'", "''", "$$'it''s':1 'back\\\\slash':2 ' blank '$$"]),
        case("tsquery", &["'fat & (rat | !cat:AB*)'", "'a <2> b'", "$$'it''s'$$"]),
        case("refcursor", &["'a cursor'"]),
        case("int2vector", &["'1 2 3'", "''"]),
        case("oidvector", &["'1 4294967295'"]),
        case("regclass", &["'pg_catalog.pg_class'"]).postgres("text", Held::Widened),
        case("regtype", &["'integer'"]).postgres("text", Held::Widened),
        case("aclitem", &["'postgres=arwdDxt/postgres'"]).postgres("text", Held::Widened),
    ]
}

fn ranges() -> Vec<Case> {
    vec![
        case("int4range", &["'empty'", "'[1,5)'", "'(,)'"]),
        case("int8range", &["'[-9223372036854775808,9223372036854775807)'"]),
        case("numrange", &["'[0.10,1e50)'", "'(,NaN]'"]),
        case("daterange", &["'[4714-11-24 BC,infinity)'", "'[2024-01-01,2024-02-01)'"]),
        case("tsrange", &["'[\"0044-03-15 12:00:00 BC\",\"294276-01-01\"]'"]),
        case("tstzrange", &["'[\"2024-01-01 00:00:00+01\",)'"]),
        case("int4multirange", &["'{}'", "'{[1,3),[5,9)}'"]),
        case("nummultirange", &["'{[0.10,1.00],(5,)}'"]),
        case("tstzmultirange", &["'{[\"2024-01-01 00:00:00+00\",\"2024-02-01 00:00:00.000001+00\")}'"]),
        case("floats", &["'[0.1,1e300)'"]).postgres("text", Held::Widened),
    ]
}

fn arrays() -> Vec<Case> {
    vec![
        case(
            "integer[]",
            &["'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[2:3]={5,6}'", "'[-1:0][4:5]={{1,2},{3,NULL}}'"],
        ),
        case("text[]", &["'{\"\",NULL,\"NULL\",\"a,b\",\"q\\\"\\\\ \",\"{\"}'", "'[0:0]={é}'"]),
        case("numeric(10,2)[]", &["'{1.10,NaN}'"]),
        case("double precision[]", &["'{-0,NaN,Infinity,0.1}'"]),
        case("character(3)[]", &["'{a,\"\"}'"]),
        case("bytea[]", &["ARRAY['\\x00ff'::bytea, '\\x'::bytea]"]),
        case("timestamp with time zone[]", &["'{\"0044-03-15 12:00:00+00 BC\",infinity,NULL}'"]),
        case("timestamp(3) without time zone[]", &["'{\"2024-01-01 00:00:00.123\"}'"]),
        case("interval[]", &["'{\"-1 mon 2 days -03:04:05.6\"}'"]),
        case("uuid[]", &["'{00000000-0000-0000-0000-000000000000}'"]),
        case("jsonb[]", &["ARRAY['{\"a\": 1}'::jsonb, 'null']"]),
        case("inet[]", &["'{10.0.0.1/8,::1}'"]),
        case("int4range[]", &["'{\"[1,2)\",empty}'"]),
        case("bit(3)[]", &["'{101,000}'"]),
        case("boolean[]", &["'{t,f,NULL}'"]),
        case("money[]", &["'{1.50}'"]).postgres("text", Held::Widened),
    ]
}

fn inner() -> Vec<Case> {
    vec![
        case("hstore", &["'a=>1, b=>NULL, \"\"=>\"x y\"'", "''"]).postgres("text", Held::Widened),
        case("pair", &["ROW(1, 'x,y')::pair", "ROW(NULL, NULL)::pair", "ROW(2, '')::pair"])
            .postgres("text", Held::Widened),
        case("pair[]", &["ARRAY[ROW(1, 'a\"b')::pair, NULL]"]).postgres("text", Held::Widened),
    ]
}

fn own() -> Vec<Case> {
    vec![
        case("mood", &["'sad'", "'o''k'", "'very \"happy\"'", "'Ünïcode'"]).postgres("text", Held::Widened),
        case("mood[]", &["'{sad,NULL,\"o''k\"}'", "'[3:3]={sad}'"]).postgres("text", Held::Widened),
        case("positive", &["1", "2147483647"])
            .postgres("integer", Held::Exact)
            .sqlite("INTEGER", Held::Exact),
        case("price", &["0.10", "-99999999.99"])
            .postgres("numeric(10,2)", Held::Exact)
            .sqlite("DECIMAL(10,2)", Held::Exact),
        case("dear", &["100.10"]).postgres("numeric(10,2)", Held::Exact).sqlite("DECIMAL(10,2)", Held::Exact),
        case("words", &["'{a,NULL}'"]).postgres("text[]", Held::Exact),
        case("address", &["'10.0.0.1/8'"]).postgres("inet", Held::Exact),
    ]
}
