//! Miri: an interpreter of Rust that tells undefined behaviour. It comes with nightly toolchains alone, so this is the one
//! place that uses another toolchain than the pinned one.

use std::process::{Command, Output, Stdio};

use anyhow::{Result, anyhow, ensure};

use crate::places::Places;

const TOOLCHAIN: &str = "nightly";
/// What names a toolchain to its programs; all of it is of the pinned one here.
const INHERITED: [&str; 5] =
    ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_MANIFEST_DIR"];

/// `rustup WORDS`.
fn rustup(words: &[&str]) -> Result<Output> {
    let output = Command::new("rustup").args(words).stdin(Stdio::null()).output();
    output.map_err(|_| {
        anyhow!("Miri needs a nightly toolchain, and there is no rustup to install one")
    })
}

/// Makes sure that there is a nightly toolchain with Miri.
///
/// # Errors
/// Why there is none, and what installs it.
pub(super) fn ensure(install: bool) -> Result<()> {
    if rustup(&["run", TOOLCHAIN, "cargo", "miri", "--version"])?.status.success() {
        return Ok(());
    }
    let words =
        ["toolchain", "install", TOOLCHAIN, "--profile", "minimal", "--component", "miri,rust-src"];
    let line = format!("rustup {}", words.join(" "));
    ensure!(install, "no nightly toolchain with Miri; install it with: {line}");
    println!("xtask: Miri: {line} (about 200 MB)");
    let output = rustup(&words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim_end().lines().next_back().unwrap_or("it said nothing");
    ensure!(output.status.success(), "`{line}` failed: {last}");
    Ok(())
}

/// `cargo miri`, in the checkout, with a target folder of its own.
pub(super) fn command(places: &Places) -> Result<Command> {
    let mut command = Command::new("rustup");
    command.args(["run", TOOLCHAIN, "cargo", "miri"]).current_dir(&places.source);
    for name in INHERITED {
        command.env_remove(name);
    }
    // Random cases come from the clock, which the interpreter does not show its program.
    command.env("MIRIFLAGS", "-Zmiri-disable-isolation");
    command.env("CARGO_TARGET_DIR", places.serix_folder("miri")?).stdin(Stdio::null());
    Ok(command)
}
