//! The hidden command between xtask and QEMU: it ties QEMU's life to xtask's, then becomes QEMU.
//!
//! The parent-death signal has to be set in the child, between fork and exec. Here that is a
//! process of its own, so that no code runs after a fork of a program with threads.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Args;

use crate::SETUP_FAILED;
use crate::report::say;

/// Starts QEMU so that it ends with its parent
#[derive(Args)]
pub(crate) struct Options {
    /// Process that QEMU must not outlive
    parent: i32,
    /// Program and arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the command.
pub(crate) fn run(options: &Options) -> ExitCode {
    if let Err(text) = tie_to_parent(options.parent) {
        say(&format!("launch: {text}"));
        return ExitCode::from(SETUP_FAILED);
    }
    let error = Command::new(&options.command[0]).args(&options.command[1..]).exec();
    say(&format!("launch: {}: {error}", options.command[0].display()));
    ExitCode::from(SETUP_FAILED)
}

#[cfg(target_os = "linux")]
fn tie_to_parent(parent: i32) -> Result<(), String> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    // The parent may have died before the signal was set.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get());
    if now == Some(parent) { Ok(()) } else { Err("the parent is gone".to_owned()) }
}

#[cfg(not(target_os = "linux"))]
fn tie_to_parent(_parent: i32) -> Result<(), String> {
    Ok(())
}
