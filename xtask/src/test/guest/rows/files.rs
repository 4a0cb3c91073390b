//! Row 2: files, trees and streams of some size, with the host's busybox as the judge.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[
    Test { name: "2-dd-sync-md5sum", seconds: 300, body: dd },
    Test { name: "2-tree-of-2000-files", seconds: 300, body: tree },
    Test { name: "2-busybox-is-the-packages", seconds: 60, body: busybox },
    Test { name: "2-big-file-small-memory", seconds: 300, body: big_file },
    Test { name: "2-file-calls", seconds: 120, body: file_calls },
    Test { name: "2-further-disk", seconds: 60, body: further_disk },
];

pub(super) fn dd(bench: Bench) -> Result<()> {
    let script = "dd if=/dev/urandom of=/big bs=1M count=32 2>/dev/null && sync && md5sum < /big >&2 \
                  && cat /big";
    let ran = bench.script(&[], script)?;
    ran.expect_status(0)?;
    ensure!(ran.output.len() == 32 << 20, "{} bytes\n{}", ran.output.len(), ran.errors);
    let copy = bench.file("copy");
    std::fs::write(&copy, &ran.output)?;
    let host = bench.host_script("md5sum < \"$COPY\"", &[("COPY", copy.as_os_str())])?;
    ensure!(host.text() == ran.errors, "guest {}host {}", ran.errors, host.text());
    Ok(())
}

/// Files in 40 folders, with words that repeat.
fn make_tree(folder: &Path) -> Result<()> {
    for one in 0..40 {
        let below = folder.join(format!("folder {one}"));
        std::fs::create_dir_all(&below)?;
        for file in 0..50 {
            let number = one * 50 + file;
            let mut text = format!("file {number}\nneedle{}\n", number % 17);
            for line in 0..number % 40 {
                text += &format!("{}:{line}:{}\n", number * 7919 % 1000, "x".repeat(line));
            }
            std::fs::write(below.join(format!("f{file:02}.txt")), text)?;
        }
    }
    Ok(())
}

pub(super) fn tree(bench: Bench) -> Result<()> {
    let folder = bench.file("tree");
    make_tree(&folder)?;
    let work = bench.file("work");
    std::fs::create_dir(&work)?;
    let add = format!("{}:/t", folder.to_str().context("a path in UTF-8")?);
    let commands = [
        "cd $T; find . -type f | sort",
        "cd $T; find . -name 'f*3.txt' -size +1 | sort | wc",
        "cd $T; grep -r needle3 . | sort",
        "cd $T; grep -rc : . | sort | tail -n 100",
        "cd $T; cat */f07.txt | sed -n 's/^\\([0-9]*\\):\\([0-9]*\\):/\\2-\\1 /p'",
        "cd $T; cat */* | awk -F: '{n[$1] += length($3)} END {for (k in n) print k, n[k]}' | sort",
        "cd $T; cat */* | sort -t: -k1,1n -k2,2nr | md5sum",
        "cd $T; tar c . | tar t | sort | md5sum",
        "cd $T; tar c . | tar x -C $W; cd $W; find . -type f | sort | tr '\\n' '\\0' | xargs -0 md5sum \
         | md5sum",
        "cd $T; cat */* | gzip -c | gunzip -c | md5sum",
        "cd $W; for f in */*; do mv \"$f\" \"$f.new\"; done; find . | sort | md5sum; rm -r ./*; ls -a",
    ];
    let script = commands.join("\n");
    let guest = format!("T=/t; W=/tmp/w; mkdir $W; {script}");
    let guest = bench.script(&["--add", &add], &guest)?;
    let environment = [("T", folder.as_os_str()), ("W", work.as_os_str())];
    guest.expect_same(&bench.host_script(&script, &environment)?)?;
    ensure!(guest.output.len() > 50_000, "little output: {guest}");
    Ok(())
}

fn busybox(bench: Bench) -> Result<()> {
    let guest = bench.run(&[], &["sha256sum", "/bin/busybox"], b"")?;
    let host = bench.host_script("sha256sum < $(readlink -f $(which busybox))", &[])?;
    let first = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    ensure!(
        !guest.text().is_empty() && first(guest.text()) == first(host.text()),
        "{guest}\n{host}"
    );
    Ok(())
}

fn big_file(bench: Bench) -> Result<()> {
    let big = bench.file("big");
    let make = bench.host_script(
        "dd if=/dev/urandom of=\"$BIG\" bs=1M count=128 2>/dev/null; md5sum < \"$BIG\"",
        &[("BIG", big.as_os_str())],
    )?;
    let add = format!("{}:/big", big.to_str().context("a path in UTF-8")?);
    let ran = bench.script(&["--mem", "64M", "--add", &add], "md5sum < /big")?;
    ran.expect(&make.text(), 0)
}

/// The program knows what Linux on ext4 answers.
pub(super) fn file_calls(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "file_calls", include_str!("../programs/file_calls.c"))?;
    let ran = bench.run(&["--add", &add(&program)?], &["/bin/file_calls", "/"], b"")?;
    ran.expect_status(0)?;
    ensure!(ran.text().ends_with(" tried, 0 failed\n"), "{ran}");
    Ok(())
}

/// `--disk`: what the guest writes to a further disk is on it afterwards, for the next run and for the host.
pub(super) fn further_disk(bench: Bench) -> Result<()> {
    let bench = bench.with_own_target()?;
    bench.run(&["--keep"], &["true"], b"")?.expect("", 0)?;
    let image = bench.file("further.img");
    std::fs::copy(bench.file("target/serix/root.img"), &image)?;
    let options = ["--disk", image.to_str().context("a path in UTF-8")?];
    let script = "mkdir /d && mount -t ext4 /dev/disk1-serix-root /d && echo data > /d/f || exit 1; \
                  mount -t ext4 /dev/disk1-serix-root /d 2>&1 | grep -c busy; \
                  umount /d && ls /d; mount /dev/disk1-serix-root /d && cat /d/f; \
                  grep -c disk1-serix-root /proc/partitions";
    bench.script(&options, script)?.expect("1\ndata\n1\n", 0)?;
    let script =
        "mkdir /d && mount -t ext4 -o ro /dev/disk1-serix-root /d && cat /d/f; echo x > /d/g";
    let again = bench.script(&options, script)?;
    again.expect("data\n", 1)?;
    again.expect_error("Read-only file system")?;
    let words = ["-R", "cat /f"].map(OsStr::new);
    let mut partition = image.into_os_string();
    partition.push("?offset=1048576");
    bench.host("/usr/sbin/debugfs", &[&words[..], &[&partition]].concat())?.expect("data\n", 0)
}
