//! The command line of `run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::image::Addition;
use crate::machine::{Board, Choice, DiskBus, Display};

/// Runs a Linux program on Serix, in QEMU, with this command's own standard streams
///
/// Without a program, a shell. The exit status is the program's (128 + n for a signal n); 121 kernel
/// panic, 124 --timeout, 125 set-up or QEMU failed, 126 not executable, 127 not found, 143 ended by the
/// chord. Standard input is read ahead by up to 128 KiB.
///
/// If standard input and output are a terminal, the program has a terminal too, and every key is the
/// guest's: Ctrl-C ends its foreground job, Ctrl-A goes to its shell. One chord is not: Ctrl-] and then
/// q ends the machine (Ctrl-] twice types one Ctrl-]). Otherwise the program has three pipes.
#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) system: System,
    /// Give the program a terminal even if standard input and output are not both one
    #[arg(long)]
    pub(super) tty: bool,
    /// Give it three pipes even if they are
    #[arg(long, conflicts_with = "tty")]
    pub(super) no_tty: bool,
    /// Number of cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) smp: u32,
    /// Memory of the machine, such as 64M or 1G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    pub(super) mem: u64,
    /// How much of it is below 4 GiB, which some devices do not reach beyond
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(super) low_memory: Option<u64>,
    /// Chip set of the machine
    #[arg(long, value_enum, default_value_t)]
    pub(super) machine: Board,
    /// How the kernel is started
    #[arg(long, value_enum, default_value_t)]
    pub(super) boot: BootBy,
    /// Let disks answer 100 requests and 200,000 bytes a second, for tests
    #[arg(long, hide = true)]
    pub(super) slow_disk: bool,
    /// Give the machine a screen and a keyboard, and the session another shell there; a manifest's sessions get them by
    /// `device = framebuffer` and `device = keyboard`
    #[arg(long, value_enum, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_missing_value = "window")]
    pub(super) display: Option<Display>,
    /// What executes the guest's instructions
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    pub(super) accel: Choice,
    /// Count instructions: one tick of the TSC each, the same on every machine
    #[arg(long)]
    pub(super) icount: bool,
    /// A further disk, written to: a raw image with a GUID partition table (repeatable)
    #[arg(long, value_name = "IMAGE")]
    pub(super) disk: Vec<PathBuf>,
    /// How the machine has its disks (default: virtio; on a microvm mmio)
    #[arg(long, value_enum, value_name = "BUS")]
    pub(super) disk_bus: Option<DiskBus>,
    /// Requests of the first disk that fail: a file of rules for QEMU's blkdebug
    #[arg(long, value_name = "FILE")]
    pub(super) disk_errors: Option<PathBuf>,
    /// End the machine so many seconds after its start, with status 124; builds do not count
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(super) timeout: Option<f64>,
    /// Keep what the guest writes in target/serix/root.img, and find it next time
    #[arg(long)]
    pub(super) keep: bool,
    /// With --keep: make the image anew, losing what it holds
    #[arg(long, requires = "keep")]
    pub(super) fresh: bool,
    /// Write the kernel log to this file (default: below target/serix/logs)
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    /// Write how the run ended to this file, as `xtask: KIND: …`
    #[arg(long, value_name = "FILE")]
    pub(super) status_file: Option<PathBuf>,
    /// Open QEMU's monitor at this socket, for `profile`
    #[arg(long, value_name = "SOCKET", hide = true)]
    pub(super) monitor: Option<PathBuf>,
    /// The processor that figures beside Linux are taken on, for `bench`
    #[arg(long, conflicts_with_all = ["icount", "accel"], hide = true)]
    pub(super) marked: bool,
    /// Give QEMU this plugin, for `bench`
    #[arg(long, value_name = "FILE,OPTIONS", hide = true)]
    pub(super) plugin: Option<OsString>,
    /// Let the machine stand still until a gdb at this socket lets it go, for `gdb`
    #[arg(long, value_name = "SOCKET", hide = true)]
    pub(super) gdb: Option<PathBuf>,
}

/// `--boot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BootBy {
    /// By our own loader, which QEMU starts
    #[default]
    Loader,
    /// By our own loader, from a disk that UEFI firmware boots
    Uefi,
    /// By the genuine Limine, from a disk that UEFI firmware boots
    Limine,
    /// By the genuine Limine, from a disk that a BIOS boots
    LimineBios,
}

impl BootBy {
    /// Whether the machine boots from a disk.
    pub(super) fn needs_image(self) -> bool {
        self != Self::Loader
    }

    /// Whether files of Limine's are needed.
    pub(super) fn is_limine(self) -> bool {
        matches!(self, Self::Limine | Self::LimineBios)
    }
}

/// What a machine or a disk image is to hold.
#[derive(Args, Debug)]
pub(crate) struct System {
    /// Bring a file or folder of the host into the root image (repeatable)
    #[arg(long, value_name = "HOST:GUEST")]
    pub(crate) add: Vec<Addition>,
    /// Set an environment variable of the program (repeatable)
    #[arg(long, value_name = "K=V", value_parser = variable)]
    pub(crate) env: Vec<OsString>,
    /// Root file system: a folder, an ext4 image, or a disk image with a partition serix-root
    #[arg(long, value_name = "DIR|IMAGE")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Folder of a Limine release: its BOOTX64.EFI takes the place of ours, and limine-bios.sys goes beside limine.conf
    #[arg(long, value_name = "DIR")]
    pub(crate) limine: Option<PathBuf>,
    /// Start the sessions of this manifest instead of one that is made up
    #[arg(long, value_name = "FILE", conflicts_with_all = ["env", "strace", "no_patch", "patch_after", "program"])]
    pub(crate) manifest: Option<PathBuf>,
    /// Show Linux calls on standard error, as strace(1) does. Behind the result, `trap` says that the kernel reflected the
    /// call and `direct` that it came without the kernel; +N are native calls made for it, `waited` that others ran meanwhile
    #[arg(long)]
    pub(crate) strace: bool,
    /// Leave the call sites of programs as they are: each system call enters the kernel
    #[arg(long)]
    pub(crate) no_patch: bool,
    /// Patch them after so many calls by the kernel (default: 256)
    #[arg(long, value_name = "N", conflicts_with = "no_patch", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) patch_after: Option<u16>,
    /// A word for the kernel: `check` walks the frame ledger at power-off, `histograms` keeps those of
    /// /proc/serix/counters, `panic` panics (repeatable)
    #[arg(long, value_name = "WORD", value_parser = ["check", "histograms", "panic"])]
    pub(crate) kernel_option: Vec<String>,
    /// Show stages, the compiler's words and, in `run`, the kernel log on standard error
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Install nothing; say what is missing
    #[arg(long)]
    pub(crate) no_install: bool,
    /// Build nothing; take the guest's programs from this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) binaries: Option<PathBuf>,
    /// Program of the guest and its arguments
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub(crate) program: Vec<OsString>,
}

impl System {
    /// The kernel's command line. A trace tells how often the libOS called the kernel, which histograms count.
    pub(crate) fn kernel_words(&self) -> Vec<String> {
        const COUNTING: &str = "histograms";
        let mut words = self.kernel_option.clone();
        if self.strace && !words.iter().any(|word| word == COUNTING) {
            words.push(COUNTING.to_owned());
        }
        words
    }
}

fn variable(text: &str) -> Result<OsString, String> {
    match text.find('=') {
        Some(at) if at > 0 => Ok(text.into()),
        _ => Err("expected K=V".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    let is_legal = seconds > 0.0 && seconds <= 1e9;
    if is_legal { Ok(seconds) } else { Err("expected a number of seconds above 0".to_owned()) }
}

/// Bytes, in whole MiB.
fn memory(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expected a size from 16M to 1024G, such as 64M or 1G";
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => return Err(EXPECTED.to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| EXPECTED.to_owned())?;
    let bytes = count.checked_mul(1 << shift);
    bytes.filter(|bytes| (16 << 20..=1 << 40).contains(bytes)).ok_or_else(|| EXPECTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read() {
        assert_eq!(memory("64M"), Ok(64 << 20));
        assert_eq!(memory("2g"), Ok(2 << 30));
        for bad in ["", "M", "64", "64K", "8M", "-1G", "99999999999999999G"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "nan", "inf", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(variable("A=").is_ok() && variable("=x").is_err() && variable("A").is_err());
    }
}
