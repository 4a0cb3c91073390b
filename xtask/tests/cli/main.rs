//! The command line of xtask from outside.

mod image;
mod run;
mod setup;
mod support;
