//! Row 7: bad input ends in one clear error each.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::super::super::bench::Bench;
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[
    Test { name: "7-no-disk", seconds: 60, body: no_disk },
    Test { name: "7-truncated-image", seconds: 60, body: truncated_image },
    Test { name: "7-random-elf", seconds: 60, body: random_elf },
    Test { name: "7-absurd-elf", seconds: 120, body: absurd_elf },
    Test { name: "7-null-dereference", seconds: 60, body: null_dereference },
    Test { name: "7-fork-bomb", seconds: 120, body: fork_bomb },
    Test { name: "7-full-disk", seconds: 300, body: full_disk },
];

fn no_disk(bench: Bench) -> Result<()> {
    let manifest = bench.file("manifest");
    let text = "[session main]\nlibos = libos-posix\nmemory = rest\nconsole = link log\n\
                disk root = disk7:serix-root rw\nprogram = \"true\"\n";
    std::fs::write(&manifest, text)?;
    let ran =
        bench.run(&["--manifest", manifest.to_str().context("a path in UTF-8")?], &[], b"")?;
    ran.expect_status(125)?;
    ran.expect_error("xtask: setup: ")?;
    ran.expect_error("disk7")
}

fn truncated_image(bench: Bench) -> Result<()> {
    let keeper = bench.with_own_target()?;
    keeper.run(&["--keep"], &["true"], b"")?.expect("", 0)?;
    let image = keeper.file("target/serix/root.img");
    // The partition table is whole, the file system's end is not there.
    std::fs::File::options().write(true).open(&image)?.set_len(20 << 20)?;
    let image = image.to_str().context("a path in UTF-8")?;
    let ran = keeper.run(&["--rootfs", image], &["true"], b"")?;
    ran.expect_status(125)?;
    ran.expect_error("xtask: setup: ")
}

/// A file of the host that the guest may execute.
fn executable(bench: &Bench, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = bench.file(name);
    std::fs::write(&path, bytes)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn random_elf(bench: Bench) -> Result<()> {
    let mut bytes: Vec<u8> =
        (0_u32..9000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let plain = executable(&bench, "noise", &bytes)?;
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let elf = executable(&bench, "noise-elf", &bytes)?;
    for program in [plain, elf] {
        let guest = add(&program)?;
        let name = guest.rsplit(':').next().unwrap_or_default().to_owned();
        let ran = bench.run(&["--add", &guest], &[&name], b"")?;
        ran.expect_status(126)?;
        ran.expect_error("xtask: not-executable: ")?;
    }
    Ok(())
}

/// Each field of a good program's headers, set to what no program has. What is refused as no ELF file
/// at all the shell takes for a script, and finds no syntax in: status 2.
fn absurd_elf(bench: Bench) -> Result<()> {
    let good = compile_c(&bench, "good", "int main(void) { return 5; }\n")?;
    let bytes = std::fs::read(&good)?;
    let folder = bench.file("absurd");
    std::fs::create_dir(&folder)?;
    // Entry, program headers' place, their size and number; then offset, address, sizes, alignment of
    // the first one.
    let fields = [(24, 8), (32, 8), (54, 2), (56, 2), (64, 4), (72, 8), (80, 8), (96, 8), (104, 8)];
    for (at, length) in fields {
        for value in [0xff_u8, 0x7f] {
            let mut bad = bytes.clone();
            bad[at..at + length].fill(value);
            executable(&bench, &format!("absurd/{at}-{value}"), &bad)?;
        }
    }
    let script = "n=0; for f in /absurd/*; do $f 2>/dev/null; s=$?; \
                  case $s in 2|5|126|127|13[0-9]) n=$((n+1));; *) echo $f: $s;; esac; done; echo $n; \
                  /bin/good; echo $?";
    let absurd = format!("{}:/absurd", folder.to_str().context("a path in UTF-8")?);
    let ran = bench.script(&["--add", &absurd, "--add", &add(&good)?], script)?;
    ran.expect(&format!("{}\n5\n", fields.len() * 2), 0)
}

fn null_dereference(bench: Bench) -> Result<()> {
    let text = "int main(void) { *(volatile int *)0 = 1; return 0; }\n";
    let program = compile_c(&bench, "null", text)?;
    let added = add(&program)?;
    bench.run(&["--add", &added], &["/bin/null"], b"")?.expect_status(139)?;
    bench.script(&["--add", &added], "/bin/null; echo $?")?.expect("139\n", 0)
}

/// The bomb is refused with EAGAIN or ENOMEM, and the shell lives on. It uses what is built into it:
/// until the bomb's processes are gone nobody can fork.
fn fork_bomb(bench: Bench) -> Result<()> {
    let script = "b() { sleep 30 & b; }; (b) 2>/tmp/e; kill -9 -1; wait; \
                  while read l; do case $l in *fork*|*memory*) echo refused; break;; esac; done < /tmp/e; \
                  echo alive; ls /tmp";
    bench.script(&["--mem", "64M"], script)?.expect("refused\nalive\ne\n", 0)
}

fn full_disk(bench: Bench) -> Result<()> {
    let script = "dd if=/dev/zero of=/full bs=1M count=100000 2>/tmp/e; echo $?; \
                  grep -c 'No space left on device' /tmp/e; rm /full; echo ok > /after; cat /after";
    bench.script(&[], script)?.expect("1\n1\nok\n", 0)
}
