//! The command line of xtask from outside.

mod disk_image;
mod image;
#[path = "../../src/test/pty.rs"]
mod pty;
mod run;
mod setup;
mod support;
mod terminal;
