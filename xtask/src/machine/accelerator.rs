//! What executes the guest's instructions.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

/// How long the probe guest may take.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// QEMU's status when the loader finds no kernel: `(0x12 << 1) | 1`.
const LOADER_FAILED: i32 = 37;

/// `--accel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// KVM where it works, else TCG
    Auto,
    /// QEMU's translator
    Tcg,
    /// Hardware virtualization
    Kvm,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// QEMU's translator.
    Tcg,
    /// The translator, counting instructions: one tick of the TSC each.
    Counted,
    /// The translator with the processor that figures beside Linux are taken on.
    Marked,
    /// Hardware.
    Kvm,
}

impl Accelerator {
    /// Decides, trying a guest where KVM is in question.
    ///
    /// # Errors
    /// KVM is asked for and does not work, or not together with counting.
    pub(crate) fn choose(
        choice: Choice,
        counted: bool,
        qemu: &Path,
        loader: &Path,
    ) -> Result<Self> {
        if counted {
            ensure!(choice != Choice::Kvm, "--icount counts under TCG only");
            return Ok(Self::Counted);
        }
        let kvm = || kvm_works(qemu, loader);
        match choice {
            Choice::Tcg => Ok(Self::Tcg),
            Choice::Auto => Ok(if kvm().is_ok() { Self::Kvm } else { Self::Tcg }),
            Choice::Kvm => kvm().map(|()| Self::Kvm),
        }
    }

    /// QEMU's words for it. A host with fewer cores than the guest runs them in turn in one thread: in threads of their own, whoever
    /// has the kernel's lock next would often be one that the host does not run.
    pub(crate) fn words(self, cores: u32) -> &'static str {
        let there = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match self {
            Self::Tcg if cores as usize > there => "-accel tcg,thread=single -cpu max",
            Self::Tcg => "-accel tcg -cpu max",
            Self::Counted => {
                "-accel tcg,thread=single -icount shift=0,sleep=off -seed 1 \
                 -rtc base=2026-01-01,clock=vm -cpu max,-erms"
            }
            Self::Marked => "-accel tcg,thread=single -cpu max,-erms",
            Self::Kvm => "-accel kvm -cpu host",
        }
    }
}

/// `/dev/kvm` may be there and hang: only a guest that comes up proves that it works.
fn kvm_works(qemu: &Path, loader: &Path) -> Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_virtualization = |line: &str| {
        line.starts_with("flags") && line.split(' ').any(|flag| flag == "vmx" || flag == "svm")
    };
    ensure!(cpu.lines().any(has_virtualization), "KVM: the processor shows neither vmx nor svm");
    let device = std::fs::File::options().read(true).write(true).open("/dev/kvm");
    ensure!(device.is_ok(), "KVM: /dev/kvm cannot be opened");
    probe(qemu, loader)
}

/// Starts the loader without a kernel, which it reports by its exit status.
fn probe(qemu: &Path, loader: &Path) -> Result<()> {
    let words = "-accel kvm -M q35 -cpu host -m 64M -nodefaults -no-user-config -no-reboot \
                 -display none -monitor none -device isa-debug-exit,iobase=0xf4,iosize=0x04";
    let mut command = Command::new(qemu);
    command.args(words.split_ascii_whitespace()).arg("-kernel").arg(loader);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut guest, start) = (command.spawn()?, Instant::now());
    while start.elapsed() < PROBE_LIMIT {
        if let Some(status) = guest.try_wait()? {
            ensure!(status.code() == Some(LOADER_FAILED), "KVM: a probe guest failed ({status})");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    guest.kill()?;
    guest.wait()?;
    bail!("KVM: a probe guest did not come up in {} s", PROBE_LIMIT.as_secs())
}
