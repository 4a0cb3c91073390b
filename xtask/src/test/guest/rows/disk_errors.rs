//! Row 7: requests that the disk fails, by QEMU's blkdebug.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::super::super::bench::{Bench, Ran};
use super::super::Test;
use super::keep::partition;

pub(super) const TESTS: &[Test] = &[
    Test { name: "7-disk-errors-virtio", seconds: 120, body: |bench| errors(bench.on(VIRTIO)) },
    Test { name: "7-disk-errors-ata", seconds: 120, body: |bench| errors(bench.on(ATA)) },
];

const VIRTIO: &[&str] = &["--machine", "pc", "--disk-bus", "virtio"];
const ATA: &[&str] = &["--machine", "pc", "--disk-bus", "ata"];
/// Bytes of the file that cannot be read whole.
const LENGTH: usize = 64 << 10;
/// The journal's inode.
const JOURNAL: &str = "<8>";

/// The program gets EIO, the system goes on, and what was committed stays.
fn errors(bench: Bench) -> Result<()> {
    let bench = bench.with_own_target()?;
    let data = bench.file("data");
    std::fs::write(&data, [b'x'; LENGTH])?;
    let add = format!("{}:/data", data.to_str().context("a path in UTF-8")?);
    let run = |fresh: bool, rules: Option<&Path>, script: &str| {
        let mut options = vec!["--keep", "--add", &add];
        options.extend(fresh.then_some("--fresh"));
        let rules = rules.map(|rules| rules.to_str().context("a path in UTF-8")).transpose()?;
        rules.iter().for_each(|rules| options.extend(["--disk-errors", *rules]));
        bench.script(&options, script)
    };
    run(true, None, "true")?.expect("", 0)?;
    reading(&bench, |rules, script| run(true, Some(rules), script))?;
    writing(&bench, |rules, script| run(true, Some(rules), script))?;
    run(false, None, "cat /s0; echo x >/new; cat /new")?.expect("0\nx\n", 0)?;
    flushing(&bench, |rules, script| run(true, Some(rules), script))
}

/// The file's blocks before and after the bad one are read, and other files too.
fn reading(bench: &Bench, run: impl Fn(&Path, &str) -> Result<Ran>) -> Result<()> {
    let bad = rules(bench, "read_aio", Some(block(bench, "/data", 8)?), true)?;
    let script = "cat /data | wc -c; dd if=/data bs=4096 skip=9 2>/dev/null | wc -c; \
                  cat /etc/hostname; echo x >/x; sync; cat /x";
    let ran = run(&bad, script)?;
    ran.expect(&format!("{}\n{}\nserix\nx\n", 8 * 4096, LENGTH - 9 * 4096), 0)?;
    ran.expect_error("Input/output error")
}

/// The first commit is whole, a later one is not: from there on nothing is written, and the log says why.
fn writing(bench: &Bench, run: impl Fn(&Path, &str) -> Result<Ran>) -> Result<()> {
    let bad = rules(bench, "write_aio", Some(block(bench, JOURNAL, 12)?), true)?;
    let script = "i=0; while [ $i -lt 60 ]; do echo $i | dd of=/s$i conv=fsync 2>/e || break; \
                  i=$((i+1)); done; [ $i -gt 0 ] && [ $i -lt 60 ] && echo some; \
                  touch /t; echo $?; cat /s0";
    let ran = run(&bad, script)?;
    ran.expect("some\n1\n0\n", 0)?;
    ran.expect_error("touch: /t: Read-only file system")?;
    ensure!(ran.log.contains("read-only since an error: device error Io"), "no reason: {ran}");
    Ok(())
}

/// What could not be made durable is told, once; the file system takes no more.
fn flushing(bench: &Bench, run: impl Fn(&Path, &str) -> Result<Ran>) -> Result<()> {
    let bad = rules(bench, "flush_to_disk", None, false)?;
    let script = "echo x | dd of=/f conv=fsync 2>/dev/null; echo $?; touch /t; echo $?; cat /f";
    let ran = run(&bad, script)?;
    ran.expect("1\n1\nx\n", 0)?;
    ran.expect_error("touch: /t: Read-only file system")
}

/// Number `index` of a file's blocks.
fn block(bench: &Bench, file: &str, index: usize) -> Result<u64> {
    let image = bench.file("target/serix/root.img");
    let request = format!("blocks {file}");
    let words =
        ["-R".as_ref(), request.as_ref(), partition(&image).as_os_str()].map(ToOwned::to_owned);
    let words: Vec<_> = words.iter().map(std::ffi::OsString::as_os_str).collect();
    let ran = bench.host("/usr/sbin/debugfs", &words)?;
    ran.expect_status(0)?;
    let text = ran.text();
    let block = text.split_whitespace().nth(index).with_context(|| format!("{file}: {ran}"))?;
    block.parse().with_context(|| ran.to_string())
}

/// A file of rules: such requests fail, of one block of the root partition if `block` is given, always or once.
fn rules(bench: &Bench, event: &str, block: Option<u64>, always: bool) -> Result<PathBuf> {
    // Sectors are the disk's; the partition begins at 1 MiB.
    let sector = block.map(|block| format!("sector = \"{}\"\n", 2048 + block * 8));
    let once = if always { "off" } else { "on" };
    let text = format!(
        "[inject-error]\nevent = \"{event}\"\nerrno = \"5\"\nonce = \"{once}\"\n{}",
        sector.unwrap_or_default()
    );
    let file = bench.file(event);
    std::fs::write(&file, text)?;
    Ok(file)
}
