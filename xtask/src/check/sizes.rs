//! Files that can be held in the head.

use anyhow::Result;

use super::Context;
use super::sources::Sources;

/// A file with more lines is two files.
const MOST_LINES: usize = 800;
/// Lines of code of `exokernel/kernel`, `hal` and `core` together, without their tests: what one reads in a day. Lines that
/// are blank or comment are not counted, as kernels' sizes are usually given: a limit should cost no explanation.
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
    let total = kernel_lines(&context.sources).0;
    if total > MOST_KERNEL_LINES {
        complaints.push(format!(
            "kernel, hal and core: {total} lines of code, more than {MOST_KERNEL_LINES}"
        ));
    }
    Ok(complaints)
}

/// Lines of code of the kernel's crates, and all their lines; tests are in neither.
pub(super) fn kernel_lines(sources: &Sources) -> (usize, usize) {
    let kernel = sources.rust().filter(|(source, _)| {
        KERNEL.iter().any(|folder| source.path.starts_with(folder))
            && !source.path.starts_with(PROPERTIES)
    });
    kernel.fold((0, 0), |(code, all), (source, _)| {
        let lines = source.text.split(TESTS).next().unwrap_or_default().lines().count();
        (code + lines_of_code(&source.text), all + lines)
    })
}

/// Lines of a Rust file up to its tests that are neither blank nor only comment.
fn lines_of_code(text: &str) -> usize {
    let code = text.split(TESTS).next().unwrap_or_default();
    code.lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::lines_of_code;

    #[test]
    fn blank_lines_comments_and_tests_are_not_code() {
        let text = "//! What.\n\nfn a() {\n    // why\n    b(); // why\n}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(lines_of_code(text), 3);
    }
}
