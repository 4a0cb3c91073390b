//! The Linux part of the benchmark: each row of the POSIX table, in one static program that runs unchanged on Linux
//! and on libos-posix.
//!
//! `bench-posix [FILTER]` measures the rows whose names hold the word. Each is a line of standard output: `BENCH name
//! min median p99 rounds rep`, in ticks of the TSC; `rep` are the iterations of string instructions among them, where they are many. With `as-init` before the filter it is the first process of a Linux that has
//! nothing else, and powers off at the end. `exit` is what the `exec` rows run. `repeat ROW` does what that row measures until it is
//! killed, for profilers.
#![no_main]

mod meter;
mod raw;
mod rows;

use meter::Meter;

/// Status of the program that the `exec` rows run.
const EXECUTED: i32 = 7;

/// The program, from the words of its command line.
fn run(words: &[&str]) -> i32 {
    match words {
        [_, "as-init", rest @ ..] => {
            let status = prepare_linux().and_then(|()| measure_in_child(rest));
            let status = status.unwrap_or_else(complain);
            raw::power_off();
            status
        }
        [_, "repeat", row] => repeat(row),
        [_, rest @ ..] => measure(rest),
        [] => complain("no name".to_owned()),
    }
}

fn complain(text: String) -> i32 {
    println!("FAIL {text}");
    1
}

/// What a distribution's init would have done.
fn prepare_linux() -> Result<(), String> {
    raw::mount(c"devtmpfs", c"/dev")?;
    raw::mount(c"proc", c"/proc")?;
    raw::open_console()?;
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    println!("SYSTEM Linux {}", version.map_err(|error| error.to_string())?.trim());
    Ok(())
}

/// Linux treats the signals of its first process as no other's.
fn measure_in_child(filter: &[&str]) -> Result<i32, String> {
    raw::Child::fork(|| measure(filter))?.wait().ok_or_else(|| "a signal ended the rows".to_owned())
}

/// Does what one row measures until it fails.
fn repeat(row: &str) -> i32 {
    if let Err(why) = raw::mount(c"tmpfs", c"/tmp") {
        return complain(why);
    }
    let Some((_, body)) = rows::ALL.into_iter().find(|(name, _)| *name == row) else {
        return complain(format!("no row {row}"));
    };
    let mut meter = Meter::new();
    println!("REPEAT {row}");
    loop {
        if let Err(why) = body(&mut meter) {
            return complain(why);
        }
    }
}

/// Measures the rows asked for; the number of those that failed. File rows have a RAM disk of their own.
fn measure(filter: &[&str]) -> i32 {
    if let Err(why) = raw::mount(c"tmpfs", c"/tmp") {
        return complain(why);
    }
    let wanted = |name: &str| filter.iter().all(|word| name.contains(word));
    let mut meter = Meter::new();
    println!("CLOCK {}", if meter.is_exact() { "instructions" } else { "time" });
    let mut failed = 0;
    for (name, body) in rows::ALL.into_iter().filter(|(name, _)| wanted(name)) {
        match body(&mut meter) {
            Ok(figures) => println!("BENCH {name} {figures} {}", rows::rep_iterations(name)),
            Err(why) => failed += complain(format!("{name}: {why}")),
        }
    }
    println!("DONE {failed} failed");
    failed
}
