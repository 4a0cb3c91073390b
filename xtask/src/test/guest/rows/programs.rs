//! Row 4: static programs of other makes than busybox.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::{Skip, Test};

pub(super) const TESTS: &[Test] = &[
    Test { name: "4-rust-std", seconds: 120, body: rust_std },
    Test { name: "4-musl-c", seconds: 120, body: musl_c },
    Test { name: "4-linux-calls", seconds: 120, body: linux_calls },
    Test { name: "4-vdso", seconds: 120, body: vdso },
];

/// Compiles a C program against musl, statically.
pub(super) fn compile_c(bench: &Bench, name: &str, text: &str) -> Result<PathBuf> {
    let (source, program) = (bench.file(&format!("{name}.c")), bench.file(name));
    std::fs::write(&source, text)?;
    let words = ["-static", "-O2", "-Wall", "-o"].map(OsStr::new);
    let arguments = [words.as_slice(), &[program.as_os_str(), source.as_os_str()]].concat();
    let compiled = bench.host("musl-gcc", &arguments);
    compiled.map_err(|_| Skip("no musl-gcc".to_owned()))?.expect("", 0)?;
    Ok(program)
}

/// `--add` for a program at `/bin/NAME`.
pub(super) fn add(program: &Path) -> Result<String> {
    let name = program.file_name().and_then(OsStr::to_str).context("a name in UTF-8")?;
    Ok(format!("{}:/bin/{name}", program.to_str().context("a path in UTF-8")?))
}

fn rust_std(bench: Bench) -> Result<()> {
    let (source, program) = (bench.file("hello.rs"), bench.file("hello-rust"));
    std::fs::write(&source, include_str!("../programs/hello.rs"))?;
    let words = ["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-o"].map(OsStr::new);
    let arguments = [words.as_slice(), &[program.as_os_str(), source.as_os_str()]].concat();
    bench.host("rustc", &arguments)?.expect("", 0)?;
    let host = bench.host(&program, &["one", "two words"].map(OsStr::new))?;
    let words = ["/bin/hello-rust", "one", "two words"];
    bench.run(&["--add", &add(&program)?], &words, b"")?.expect_same(&host)
}

fn musl_c(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "hello-c", include_str!("../programs/hello.c"))?;
    let host = bench.host(&program, &["one", "two words"].map(OsStr::new))?;
    bench
        .run(&["--add", &add(&program)?], &["/bin/hello-c", "one", "two words"], b"")?
        .expect_same(&host)
}

/// Each call that the libOS promises, with Linux as the judge; and an unknown one is logged once.
fn linux_calls(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "calls", include_str!("../programs/calls.c"))?;
    let host = bench.host(&program, &[])?;
    host.expect_status(0)?;
    let ran = bench.run(&["--add", &add(&program)?], &["/bin/calls"], b"")?;
    ran.expect_same(&host)?;
    let told = ran.log.lines().filter(|line| line.contains("no system call 999 ")).count();
    ensure!(told == 1, "an unknown call is logged {told} times\n{ran}");
    Ok(())
}

fn vdso(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "vdso", include_str!("../programs/vdso.c"))?;
    bench.run(&["--add", &add(&program)?], &["/bin/vdso"], b"")?.expect("same time\n", 0)
}
