//! Exact values: every type of PostgreSQL by every route, and what a table is beside its values.

mod compare;
mod encodings;
mod matrix;
mod names;
mod random;
mod routes;
mod said;
mod shapes;
mod types;
