//! What must hold for every input.
//!
//! Each file has the bodies of its properties, which take their inputs as plain arguments, and two
//! drivers: `cases` runs them with random inputs under `cargo test` (few under Miri), `proofs` gives them to
//! Kani with every input in a bound. Kani itself has not run on them: see `kani_shim`.

pub mod binding;
pub mod deadline;
pub mod grant;
pub mod ledger;
pub mod seal;
pub mod slices;
pub mod watch;

/// How many random cases a property runs: Miri interprets, so there only a few.
#[cfg(test)]
pub(crate) fn config() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..Default::default()
    }
}
