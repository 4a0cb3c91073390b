//! `cargo xtask`: builds, runs, tests and checks Serix. One file for each command; the folders hold
//! what they share.

mod bench;
mod build;
mod check;
mod gdb;
mod image;
mod link;
mod linux;
mod machine;
mod places;
mod profile;
mod report;
mod run;
mod setup;
mod symbols;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Status when set-up or the command line is at fault, never the program.
const SETUP_FAILED: u8 = 125;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, propagate_version = true)]
#[command(about = "Builds, runs, tests and checks Serix", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(display_name = "cargo xtask run")]
    Run(Box<run::Options>),
    #[command(display_name = "cargo xtask image")]
    Image(Box<image::command::Options>),
    #[command(display_name = "cargo xtask test")]
    Test(test::Options),
    #[command(display_name = "cargo xtask check")]
    Check(check::Options),
    #[command(display_name = "cargo xtask bench")]
    Bench(bench::Options),
    Profile(profile::Options),
    #[command(display_name = "cargo xtask gdb")]
    Gdb(gdb::Options),
    #[command(hide = true)]
    Launch(machine::launch::Options),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing more can be done if even this cannot be printed.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            report::say("xtask: setup: the command line is wrong");
            return ExitCode::from(SETUP_FAILED);
        }
    };
    match cli.command {
        Command::Run(options) => ExitCode::from(run::run(&options)),
        Command::Image(options) => conclude(image::command::run(&options)),
        Command::Test(options) => conclude(test::run(&options)),
        Command::Check(options) => conclude(check::run(&options)),
        Command::Bench(options) => conclude(bench::run(&options)),
        Command::Profile(options) => conclude(profile::run(&options)),
        Command::Gdb(options) => conclude(gdb::run(&options)),
        Command::Launch(options) => machine::launch::run(&options),
    }
}

/// Exit code of a command that passes or fails: 0, 1, or 125 when it could not be carried out.
fn conclude(passed: anyhow::Result<bool>) -> ExitCode {
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::say(&format!("xtask: setup: {error:#}"));
            ExitCode::from(SETUP_FAILED)
        }
    }
}
