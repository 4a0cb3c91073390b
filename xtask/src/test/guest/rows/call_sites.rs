//! Row 8: system calls without the kernel.

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[
    Test { name: "8-patch-as-on-linux", seconds: 120, body: as_on_linux },
    Test { name: "8-patch-off", seconds: 120, body: off },
    Test { name: "8-patch-at-once", seconds: 120, body: at_once },
    Test { name: "8-patch-shell", seconds: 120, body: shell },
];

const SITES: &str = include_str!("../programs/call_sites.c");

/// What the program says of its sites after all of them were called often.
const PATCHED: &str = "plain: before\npadded: padding\nearly: before\nother: before 6\nrelative: before 7\nloads: before 7\n\
     edges: before, as it was, as it was, as it was, before\n";

/// A number of `/proc/serix/call-sites`, which the run printed.
fn count(text: &str, name: &str) -> Result<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(lines.next().with_context(|| format!("no {name}"))?.parse()?)
}

/// All that a patch must not change, with Linux as the judge; and the sites are patched by the rules that fit them.
fn as_on_linux(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "call_sites", SITES)?;
    let host = bench.host(&program, &[])?;
    host.expect_status(0)?;
    let added = add(&program)?;
    bench.run(&["--add", &added], &["/bin/call_sites"], b"")?.expect_same(&host)?;
    let ran = bench.run(&["--add", &added], &["/bin/call_sites", "patched"], b"")?;
    ran.expect(&format!("{}{PATCHED}", host.text()), 0)?;
    let told = ran.log.lines().any(|line| {
        line.contains("call sites patched: ") && line.contains("; calls that trapped: ")
    });
    ensure!(told, "the log tells nothing of call sites\n{ran}");
    Ok(())
}

/// Without patches each call enters the kernel.
fn off(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "call_sites", SITES)?;
    let script = "/bin/call_sites patched | tail -7; cat /proc/serix/call-sites";
    let ran = bench.script(&["--add", &add(&program)?, "--no-patch"], script)?;
    ran.expect_status(0)?;
    let text = ran.text();
    ensure!(text.matches("as it was").count() == 11, "something is patched\n{ran}");
    ensure!(count(&text, "before")? + count(&text, "padding")? == 0, "{ran}");
    ensure!(count(&text, "trapped-calls")? > 50_000, "{ran}");
    Ok(())
}

/// Each site is patched when it first traps: the conformance program goes through all of its own.
fn at_once(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "calls", include_str!("../programs/calls.c"))?;
    let host = bench.host(&program, &[])?;
    host.expect_status(0)?;
    let options = ["--patch-after", "1", "--add", &add(&program)?];
    let ran = bench.run(&options, &["/bin/calls"], b"")?;
    ran.expect_same(&host)?;
    let words = ran.log.lines().find_map(|line| line.split_once("call sites patched: "));
    let number = words.and_then(|(_, words)| words.split(' ').next()?.parse::<u64>().ok());
    ensure!(number.is_some_and(|number| number > 30), "few sites are patched\n{ran}");
    Ok(())
}

/// busybox with every site patched at once, and as usual: the same work, and few calls by the kernel.
fn shell(bench: Bench) -> Result<()> {
    let script = "cd /tmp; i=0; while [ $i -lt 300 ]; do echo line $i >> f; i=$((i+1)); done; \
                  sort -r f | md5sum; (sleep 0.1; echo late) & wait; cp f g; tar c f g | tar t; grep -c 9 < f; \
                  dd if=/dev/zero bs=1 count=2000 2>/dev/null | wc -c; trap 'echo usr' USR1; kill -USR1 $$; exec 3<&-; \
                  find /tmp -type f | sort; expr 6 \\* 7; awk 'BEGIN { print 1 + 1 }'; ls /proc/self/fd | wc -l";
    let plain = bench.script(&["--no-patch"], script)?;
    plain.expect_status(0)?;
    bench.script(&[], script)?.expect_same(&plain)?;
    bench.script(&["--patch-after", "1"], script)?.expect_same(&plain)?;
    let script =
        "dd if=/dev/zero of=/dev/null bs=1 count=20000 2>/dev/null; cat /proc/serix/call-sites";
    let ran = bench.script(&[], script)?;
    let text = ran.text();
    ensure!(count(&text, "before")? >= 1, "{ran}");
    ensure!(count(&text, "trapped-calls")? < 3000, "{ran}");
    Ok(())
}
