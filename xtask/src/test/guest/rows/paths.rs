//! Row 8: path lengths in instructions, against their budgets.

use anyhow::Result;

use super::super::super::bench::Bench;
use super::super::Test;

pub(super) const TESTS: &[Test] =
    &[Test { name: "8-path-lengths", seconds: 600, body: path_lengths }];

fn path_lengths(bench: Bench) -> Result<()> {
    bench.measure()?.expect_status(0)
}
