//! Row 3, at length: QEMU is killed in the midst of writes, renames and syncs, again and again on one
//! image, and everybody looks at what is left.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, qemu_of, wait};
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[Test { name: "3-power-loss", seconds: 60, body: power_loss }];

/// Power failures in a long run, and otherwise.
const LONG_ROUNDS: u64 = 100;
const ROUNDS: u64 = 3;
/// With how many failures between Linux looks too, where there is one.
const LINUX_PERIOD: u64 = 10;
/// Bytes of the disk that tells Linux what to do.
const SCRIPT_SIZE: usize = 1 << 16;

fn power_loss(bench: Bench) -> Result<()> {
    let bench = bench.with_own_target()?;
    let program = compile_c(&bench, "power_loss", include_str!("../programs/power_loss.c"))?;
    let add = add(&program)?;
    let options = ["--keep", "--add", &add];
    let mut last = -1;
    for round in 0..if bench.is_long() { LONG_ROUNDS } else { ROUNDS } {
        // At any point of a step, and now and then after a commit that the work did not ask for.
        let time = Duration::from_millis(50 + round * 7919 % 1500);
        last = work_until_killed(&bench, &options, time)?.unwrap_or(last);
        let said = format!("after round {round}, step {last}");
        check_by_e2fsck(&bench).context(said.clone())?;
        if round % LINUX_PERIOD == 0 {
            check_by_linux(&bench, last).context(said.clone())?;
        }
        let words = ["/bin/power_loss", "check", "/work", &last.to_string()];
        let ran = bench.run(&options, &words, b"")?;
        ran.expect("sound\n", 0).context(said)?;
    }
    ensure!(last > 10, "only {last} steps in all");
    Ok(())
}

/// Lets the program work for a while after its first step; answers its last step that was durable.
fn work_until_killed(bench: &Bench, options: &[&str], time: Duration) -> Result<Option<i64>> {
    let mut child = bench.command(options, &["/bin/power_loss", "work", "/work"]).spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut first = String::new();
    stdout.read_line(&mut first)?;
    std::thread::sleep(time);
    let qemu = qemu_of(child.id())?;
    bench.send("KILL", qemu)?;
    // A last line without its end is not told.
    let rest = stdout.lines().map_while(Result::ok).filter_map(|line| line.parse().ok());
    let last = rest.last().or_else(|| first.trim().parse().ok());
    let ran = wait(child, Duration::from_secs(60))?;
    ensure!(!first.is_empty(), "no step: {ran}");
    ran.expect_status(125)?;
    Ok(last)
}

fn image(bench: &Bench) -> PathBuf {
    bench.file("target/serix/root.img")
}

/// A copy of the partition alone: e2fsck does not find it again behind an offset, once it has
/// replayed the journal.
fn copy_of(bench: &Bench) -> Result<PathBuf> {
    let copy = bench.file("copy.img");
    let mut from = OsString::from("if=");
    from.push(image(bench));
    let mut to = OsString::from("of=");
    to.push(&copy);
    let words = ["bs=1M", "skip=1", "conv=sparse", "status=none"].map(OsStr::new);
    let arguments = [&words[..], &[&from, &to]].concat();
    bench.host("dd", &arguments)?.expect_status(0)?;
    Ok(copy)
}

/// Replay and orphans are all that a check may find.
fn check_by_e2fsck(bench: &Bench) -> Result<()> {
    let copy = copy_of(bench)?;
    let check =
        bench.host("/usr/sbin/e2fsck", &["-f".as_ref(), "-y".as_ref(), copy.as_os_str()])?;
    let complains = ["Fix?", "UNEXPECTED", "multiply-claimed"];
    let is_sound = matches!(check.status, Some(0 | 1))
        && !complains.into_iter().any(|word| check.text().contains(word));
    ensure!(is_sound, "{check}");
    Ok(())
}

/// Lets Linux replay the journal of a copy and look at the work, where there is one.
fn check_by_linux(bench: &Bench, last: i64) -> Result<()> {
    let Some(folder) = bench.linux() else { return Ok(()) };
    let (copy, script) = (copy_of(bench)?, bench.file("script.img"));
    let mut commands = format!(
        "mount -t ext4 /dev/vda /m && /m/bin/power_loss check /m/work {last}; umount /m; dmesg | grep EXT4\n"
    )
    .into_bytes();
    commands.resize(SCRIPT_SIZE, b'\n');
    std::fs::write(&script, commands)?;
    let drive = |path: &Path| format!("file={},format=raw,if=virtio", path.display());
    let mut linux = Command::new("qemu-system-x86_64");
    linux
        .args(["-accel", "tcg", "-m", "512", "-display", "none", "-no-reboot", "-nic", "none"])
        .args(["-serial", "stdio", "-monitor", "none", "-append", "console=ttyS0 panic=-1 quiet"])
        .arg("-kernel")
        .arg(folder.join("vmlinuz"))
        .arg("-initrd")
        .arg(folder.join("initrd"))
        .args(["-drive", &drive(&copy), "-drive", &drive(&script)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = wait(linux.spawn()?, Duration::from_secs(120))?;
    ensure!(ran.text().contains("sound") && !ran.text().contains("EXT4-fs error"), "Linux: {ran}");
    Ok(())
}
