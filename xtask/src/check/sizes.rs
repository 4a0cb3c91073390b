//! Files that can be held in the head.

use anyhow::Result;

use super::Context;

/// A file with more lines is two files.
const MOST_LINES: usize = 800;
/// Lines of `exokernel/kernel`, `hal` and `core` together, without their tests: what one reads in a day.
const MOST_KERNEL_LINES: usize = 12_000;
const KERNEL: [&str; 3] = ["exokernel/kernel/src/", "exokernel/hal/src/", "exokernel/core/src/"];
/// Where a file's tests begin.
const TESTS: &str = "#[cfg(test)]\nmod tests";
/// Only tests.
const PROPERTIES: &str = "exokernel/core/src/properties/";

/// Complains about files that are too long, and a kernel that is.
pub(super) fn check(context: &Context<'_>) -> Result<Vec<String>> {
    let sizes =
        || context.sources.rust().map(|(source, _)| (&source.path, source.text.lines().count()));
    let long = sizes().filter(|(_, lines)| *lines > MOST_LINES);
    let mut complaints: Vec<_> = long
        .map(|(path, lines)| format!("{path}: {lines} lines, more than {MOST_LINES}"))
        .collect();
    let kernel = context.sources.rust().filter(|(source, _)| {
        KERNEL.iter().any(|folder| source.path.starts_with(folder))
            && !source.path.starts_with(PROPERTIES)
    });
    let code = |text: &str| text.split(TESTS).next().unwrap_or_default().lines().count();
    let total: usize = kernel.map(|(source, _)| code(&source.text)).sum();
    if total > MOST_KERNEL_LINES {
        complaints
            .push(format!("kernel, hal and core: {total} lines, more than {MOST_KERNEL_LINES}"));
    }
    Ok(complaints)
}
