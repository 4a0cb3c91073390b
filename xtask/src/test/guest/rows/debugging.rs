//! Row 16: debuggers, and what is told of fatal faults.

use anyhow::{Result, ensure};

use super::super::super::bench::{Bench, Ran};
use super::super::{Skip, Test};
use super::programs::{add, compile_c};
use crate::setup::Tool;

pub(super) const TESTS: &[Test] = &[
    Test { name: "16-gdb", seconds: 120, body: gdb },
    Test { name: "16-crash-of-a-program", seconds: 60, body: crash },
    Test { name: "16-crash-of-the-libos", seconds: 60, body: broken_libos },
];

/// Stops in the kernel, in the libOS, in the program; all have names and lines.
const COMMANDS: &str = "\
tbreak call_info_map
continue
info symbol $rip
tbreak execute_strings
continue
info symbol $rip
tbreak crash_here
continue
backtrace 3
kill
";

fn program(bench: &Bench) -> Result<String> {
    add(&compile_c(bench, "crash", include_str!("../programs/crash.c"))?)
}

fn gdb(bench: Bench) -> Result<()> {
    Tool::Gdb.check().map_err(|_| Skip("no gdb".to_owned()))?;
    let (program, commands) = (program(&bench)?, bench.file("commands.gdb"));
    std::fs::write(&commands, COMMANDS)?;
    let commands = commands.display().to_string();
    let ran = bench.gdb(&["--commands", &commands, "--add", &program, "--", "/bin/crash"])?;
    ran.expect_status(0)?;
    let expected = [
        "breakpoint 1, ",
        "serix_kernel::syscall::memory::",
        "::call_info_map::",
        "breakpoint 2, execute_strings",
        "serix_libos_posix::process::exec::execute_strings::",
        "libos-posix/src/process/exec.rs:",
        "breakpoint 3, ",
        "in crash_here",
        "in caller_of_crash",
        "in main",
    ];
    for part in expected {
        ensure!(ran.text().contains(part), "no `{part}`\n{ran}");
    }
    Ok(())
}

/// The kernel log, and standard error if it is the first process, have registers and the names of all callers.
fn crash(bench: Bench) -> Result<()> {
    let ran = bench.run(&["--add", &program(&bench)?], &["/bin/crash"], b"")?;
    ran.expect("", 128 + 11)?;
    let parts = [
        "libos: process 1 (/bin/crash) ended by SIGSEGV: address 0x10",
        "rdi 0x10\n",
        " crash_here+0x",
        " caller_of_crash+0x",
        " main+0x",
    ];
    expect(&ran.errors, &ran, &parts)?;
    expect(&ran.log, &ran, &parts)?;
    // Of a child the log tells; its parent says the rest.
    let ran =
        bench.run(&["--add", &program(&bench)?], &["sh", "-c", "/bin/crash; echo $?"], b"")?;
    ran.expect("139\n", 0)?;
    ensure!(!ran.errors.contains("libos:"), "a child's end concerns the whole run\n{ran}");
    expect(&ran.log, &ran, &[" (/bin/crash) ended by SIGSEGV: ", " caller_of_crash+0x"])
}

fn broken_libos(bench: Bench) -> Result<()> {
    for (option, parts) in [
        (
            "fault",
            ["libos: exception 14 (error 0x4, address 0x7f", " rflags 0x", "::fault_on_purpose+0x"],
        ),
        ("panic", ["libos: panicked at libos-posix/src/", ": the manifest asks for it", "::raw::"]),
    ] {
        let manifest = bench.file("manifest");
        let text = "[session main]\nlibos = libos-posix\nmemory = rest\nconsole = link log\n\
                    disk root = disk0:serix-root rw\nprogram = \"/bin/true\"\noption = ";
        std::fs::write(&manifest, format!("{text}{option}\n"))?;
        let ran = bench.run(&["--manifest", &manifest.display().to_string()], &[], b"")?;
        ran.expect_status(125)?;
        expect(&ran.errors, &ran, &parts)?;
        expect(&ran.log, &ran, &parts)?;
    }
    Ok(())
}

fn expect(text: &str, ran: &Ran, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "no `{part}`\n{ran}");
    }
    Ok(())
}
