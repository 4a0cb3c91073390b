//! The command line of xtask from outside.

mod run;
mod setup;
mod support;
