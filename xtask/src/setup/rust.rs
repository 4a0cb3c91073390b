//! Parts of the Rust toolchain that the pinned version needs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};

use super::Policy;
use super::tool::find_in_path;
use crate::report::Progress;

/// A part of a toolchain that rustup can add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RustPart {
    /// `core` and `alloc` for programs without an operating system.
    GuestTarget,
    /// A C library for static Linux programs.
    LinuxTarget,
    /// The same for the loader's UEFI front end.
    UefiTarget,
    /// `cargo clippy`.
    Clippy,
    /// `cargo fmt`.
    Rustfmt,
}

impl RustPart {
    /// The target of static Linux programs.
    pub(crate) const LINUX_TARGET: &str = "x86_64-unknown-linux-musl";

    /// The target of programs for UEFI firmware.
    pub(crate) const UEFI_TARGET: &str = "x86_64-unknown-uefi";

    const fn rustup_words(self) -> &'static [&'static str] {
        match self {
            Self::GuestTarget => &["target", "add", "x86_64-unknown-none"],
            Self::LinuxTarget => &["target", "add", Self::LINUX_TARGET],
            Self::UefiTarget => &["target", "add", Self::UEFI_TARGET],
            Self::Clippy => &["component", "add", "clippy"],
            Self::Rustfmt => &["component", "add", "rustfmt"],
        }
    }

    fn is_in(self, sysroot: &Path) -> bool {
        match self {
            Self::GuestTarget => sysroot.join("lib/rustlib/x86_64-unknown-none/lib").is_dir(),
            Self::LinuxTarget => {
                sysroot.join("lib/rustlib").join(Self::LINUX_TARGET).join("lib").is_dir()
            }
            Self::UefiTarget => {
                sysroot.join("lib/rustlib").join(Self::UEFI_TARGET).join("lib").is_dir()
            }
            Self::Clippy => sysroot.join("bin/cargo-clippy").exists(),
            Self::Rustfmt => sysroot.join("bin/rustfmt").exists(),
        }
    }
}

/// Makes sure that the toolchain which builds the checkout at `source` has these parts.
///
/// # Errors
/// One line that names the rustup command.
pub(crate) fn ensure_rust(
    parts: &[RustPart],
    source: &Path,
    policy: Policy,
    progress: &mut Progress,
) -> Result<()> {
    let sysroot = sysroot(source)?;
    for part in parts.iter().filter(|part| !part.is_in(&sysroot)) {
        let words = part.rustup_words();
        let line = format!("rustup {}", words.join(" "));
        ensure!(
            policy == Policy::Install,
            "the Rust toolchain is incomplete; complete with: {line}"
        );
        let rustup = find_in_path("rustup").with_context(|| {
            format!("the Rust toolchain is incomplete and there is no rustup to {line}")
        })?;
        progress.note(&format!("xtask: Rust toolchain: {line} (about 10 MB)"));
        let status = Command::new(rustup)
            .args(words)
            .current_dir(source)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        ensure!(status.is_ok_and(|status| status.success()), "`{line}` failed");
        ensure!(part.is_in(&sysroot), "`{line}` did not give what is needed");
    }
    Ok(())
}

/// Whether the toolchain which builds the checkout at `source` has a part.
pub(crate) fn has_rust(part: RustPart, source: &Path) -> bool {
    sysroot(source).is_ok_and(|sysroot| part.is_in(&sysroot))
}

fn sysroot(source: &Path) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // Also the working folder may be why a program cannot be started.
    std::fs::read_dir(source)
        .with_context(|| format!("the checkout {} cannot be entered", source.display()))?;
    let output = Command::new(&rustc).args(["--print", "sysroot"]).current_dir(source).output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("no rustc in PATH; install Rust with rustup"),
        _ => anyhow!("cannot start {}: {error}", rustc.display()),
    })?;
    ensure!(output.status.success(), "rustc does not say where it is");
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
