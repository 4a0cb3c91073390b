//! What cargo checks.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Context;

/// Programs of the host; everything else is built for the guest too.
const HOST_ONLY: [&str; 1] = ["xtask"];
const WARNINGS: [&str; 3] = ["--", "-D", "warnings"];
/// Most lines of a tool's words that are shown.
const SHOWN: usize = 120;

/// Formatting.
pub(super) fn fmt(context: &Context<'_>) -> Result<Vec<String>> {
    complaints(&mut context.cargo.command(&["fmt", "--all", "--check"]))
}

/// Lints of everything, tests included, as the host sees it.
pub(super) fn clippy_host(context: &Context<'_>) -> Result<Vec<String>> {
    let mut command = context.cargo.command(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--keep-going",
    ]);
    complaints(command.args(WARNINGS))
}

/// Lints of what runs in the guest, as the guest sees it.
pub(super) fn clippy_guest(context: &Context<'_>) -> Result<Vec<String>> {
    let words =
        ["clippy", "--quiet", "--workspace", "--target", "x86_64-unknown-none", "--keep-going"];
    let mut command = context.cargo.command(&words);
    for package in HOST_ONLY {
        command.args(["--exclude", package]);
    }
    complaints(command.args(WARNINGS))
}

/// Lints of the benchmark's Linux program, which is built only when asked for.
pub(super) fn clippy_linux(context: &Context<'_>) -> Result<Vec<String>> {
    let words = ["clippy", "--quiet", "--package", "serix-bench", "--features", "posix"];
    complaints(context.cargo.command(&words).args(WARNINGS))
}

/// The harnesses for Kani compile; nothing here runs them. What is built so is built in a folder of its own.
pub(super) fn kani(context: &Context<'_>) -> Result<Vec<String>> {
    let mut command =
        context.cargo.command(&["check", "--quiet", "--package", "serix-core", "--lib"]);
    command.env("RUSTFLAGS", "--cfg kani -D warnings").env_remove("CARGO_ENCODED_RUSTFLAGS");
    complaints(command.env("CARGO_TARGET_DIR", context.cargo.own_folder("kani")?))
}

/// Documentation, with links that lead nowhere denied.
pub(super) fn docs(context: &Context<'_>) -> Result<Vec<String>> {
    let words = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
    complaints(context.cargo.command(&words).env("RUSTDOCFLAGS", "-D warnings"))
}

/// What a tool said, if it failed.
fn complaints(command: &mut Command) -> Result<Vec<String>> {
    let output = command.output().context("cannot start cargo")?;
    if output.status.success() {
        return Ok(Vec::new());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(!text.trim().is_empty(), "cargo failed and said nothing ({})", output.status);
    let mut lines: Vec<_> = text.lines().take(SHOWN).map(str::to_owned).collect();
    if text.lines().count() > SHOWN {
        lines.push("…".to_owned());
    }
    Ok(vec![lines.join("\n")])
}
