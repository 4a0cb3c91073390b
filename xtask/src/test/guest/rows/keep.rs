//! Row 3: what is synced stays, and the file system is whole after a power-off.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, qemu_of, wait};
use super::super::Test;

pub(super) const TESTS: &[Test] = &[
    Test { name: "3-kill-after-sync", seconds: 120, body: kill_after_sync },
    Test { name: "3-kill-after-time", seconds: 120, body: kill_after_time },
    Test { name: "3-power-off-is-clean", seconds: 120, body: power_off },
];

pub(super) fn kill_after_sync(bench: Bench) -> Result<()> {
    kill_after(bench, "mkdir /d && echo data > /d/f && sync && echo synced && sleep 1000")
}

/// Nobody asks for a sync: five seconds and a little for the disk are enough.
fn kill_after_time(bench: Bench) -> Result<()> {
    kill_after(bench, "mkdir /d && echo data > /d/f && sleep 8 && echo synced && sleep 1000")
}

/// Kills the machine once a script has said `synced`.
fn kill_after(bench: Bench, script: &str) -> Result<()> {
    let bench = bench.with_own_target()?;
    let mut child = bench.command(&["--keep"], &["sh", "-c", script]).spawn()?;
    let mut stdout = child.stdout.take().context("no standard output")?;
    let mut line = [0; 7];
    let read = stdout.read_exact(&mut line);
    if read.is_ok() {
        let qemu = qemu_of(child.id())?;
        bench.send("KILL", qemu)?;
    }
    let ran = wait(child, Duration::from_secs(60))?;
    ensure!(read.is_ok() && &line == b"synced\n", "no `synced`: {line:?}\n{ran}");
    ran.expect_status(125)?;
    ran.expect_error("xtask: setup: QEMU was ended by signal 9")?;
    bench.run(&["--keep"], &["cat", "/d/f"], b"")?.expect("data\n", 0)
}

pub(super) fn power_off(bench: Bench) -> Result<()> {
    let bench = bench.with_own_target()?;
    let script = "seq 1 50000 > /f; mkdir -p /a/b/c; cp -r /etc /a/b/; rm /a/b/etc/group; ln -s f /l; \
                  mv /a/b /g";
    bench.script(&["--keep"], script)?.expect("", 0)?;
    let image = bench.file("target/serix/root.img");
    let tool = |name: &str, words: &[&str]| {
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        arguments.push(partition(&image));
        let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
        bench.host(Path::new("/usr/sbin").join(name), &arguments)
    };
    let journal = tool("e2fsck", &["-p", "-E", "journal_only"])?;
    ensure!(matches!(journal.status, Some(0 | 1)), "the journal's replay: {journal}");
    let check = tool("e2fsck", &["-f", "-n"])?;
    check.expect_status(0)?;
    ensure!(!check.text().contains("recovery"), "the journal was not replayed: {check}");
    let expected: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    tool("debugfs", &["-R", "cat /f"])?.expect(&expected, 0)
}

/// The root partition of a disk image, as e2fsprogs wants it named.
pub(super) fn partition(image: &Path) -> OsString {
    let mut name = OsString::from(image);
    name.push("?offset=1048576");
    name
}
