//! Set-up on hosts that lack something: one line that says what, the command that installs it, and
//! status 125. The hosts are folders that stand for PATH; the user is an unprivileged one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::{Bench, Output, copy_program, finish};

const NOBODY: &str = "65534";

/// A PATH of its own, with only the programs put there.
struct Host {
    bench: Bench,
    xtask: PathBuf,
}

impl Host {
    /// A host with a package manager of this name.
    fn new(name: &str, manager: &str) -> Self {
        let bench = Bench::new(name);
        // The unprivileged user has to reach xtask, and to write what is below its target folder.
        let folder = bench.file("target/debug");
        std::fs::create_dir_all(&folder).unwrap();
        let xtask = folder.join("xtask");
        copy_program(Path::new(env!("CARGO_BIN_EXE_xtask")), &xtask);
        let host = Self { bench, xtask };
        std::fs::create_dir(host.bench.file("host")).unwrap();
        host.script(manager, "echo \"$0 $*\" >> \"$SERIX_TEST_BENCH/called\"; exit 1");
        host
    }

    /// Puts a program there.
    fn script(&self, name: &str, body: &str) -> &Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.bench.file("host").join(name);
        let text = self.bench.file("host").join(format!("{name}.text"));
        std::fs::write(&text, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(&text, &path);
        self
    }

    fn qemu(&self, version: &str) -> &Self {
        self.script("qemu-system-x86_64", &format!("echo 'QEMU emulator version {version}'"))
    }

    fn e2fsprogs(&self) -> &Self {
        self.script("mkfs.ext4", "exit 1").script("debugfs", "exit 1").script("e2fsck", "exit 1")
    }

    fn busybox(&self) -> &Self {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join("busybox"))
            .find(|file| file.exists())
            .expect("a busybox on the host of the tests");
        std::os::unix::fs::symlink(found, self.bench.file("host").join("busybox")).unwrap();
        self
    }

    /// `xtask run -- true` on that host.
    fn run(&self, options: &[&str]) -> Output {
        let own = |path: &PathBuf| {
            let changed = Command::new("chown").args(["-R", "-h", NOBODY]).arg(path).status();
            assert!(changed.unwrap().success());
        };
        let mut command = if is_root() {
            own(&self.bench.file(""));
            let mut command = Command::new(setpriv());
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&self.xtask);
            command
        } else {
            Command::new(&self.xtask)
        };
        command
            .arg("run")
            .args(options)
            .args(["--", "true"])
            .env("PATH", self.bench.file("host"))
            // Whatever is called, the machine's own toolchains are out of its reach.
            .env("HOME", self.bench.file("home"))
            .env("CARGO_HOME", self.bench.file("home"))
            .env("RUSTUP_HOME", self.bench.file("home"))
            .env("SERIX_TEST_BENCH", self.bench.file(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    }

    /// Runs, requires status 125, and gives the one line on standard error.
    fn complaint(&self, options: &[&str]) -> String {
        let output = self.run(options);
        let (text, errors, status) = output.text();
        assert_eq!((text, status), ("", Some(125)), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        let line = errors.trim_end();
        line.strip_prefix("xtask: setup: ").unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn was_called(&self) -> bool {
        self.bench.file("called").exists()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn setpriv() -> PathBuf {
    let all = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&all).map(|folder| folder.join("setpriv"));
    found.into_iter().find(|file| file.exists()).expect("setpriv, of util-linux")
}

#[test]
fn without_qemu_each_manager_has_its_command() {
    let cases = [
        ("apt-get", "sudo apt-get install --yes --no-install-recommends qemu-system-x86"),
        ("dnf", "sudo dnf install --assumeyes qemu-system-x86-core"),
        ("pacman", "sudo pacman -S --needed --noconfirm qemu-system-x86"),
        ("brew", "brew install qemu"),
    ];
    for (manager, command) in cases {
        let host = Host::new(&format!("no-qemu-{manager}"), manager);
        host.e2fsprogs().busybox();
        let expected = format!("no QEMU (qemu-system-x86_64) in PATH; install with: {command}");
        assert_eq!(host.complaint(&[]), expected);
        assert_eq!(host.complaint(&["--no-install"]), expected);
        assert!(!host.was_called(), "{manager} was called without a right to install");
    }
}

#[test]
fn an_old_qemu_is_refused() {
    let host = Host::new("old-qemu", "apt-get");
    host.qemu("7.1.0 (Debian)").e2fsprogs().busybox();
    let expected = "QEMU 7.1 is older than 7.2; install with: ";
    assert!(host.complaint(&[]).starts_with(expected));
}

#[test]
fn a_qemu_that_says_nothing_is_refused() {
    let host = Host::new("odd-qemu", "apt-get");
    host.script("qemu-system-x86_64", "exit 1").e2fsprogs().busybox();
    assert!(host.complaint(&[]).starts_with("qemu-system-x86_64 does not say its version"));
}

#[test]
fn without_busybox_there_is_no_root_image() {
    let host = Host::new("no-busybox", "apt-get");
    host.qemu("8.0.0").e2fsprogs();
    let expected = "no busybox in PATH; install with: \
                    sudo apt-get install --yes --no-install-recommends busybox-static";
    assert_eq!(host.complaint(&[]), expected);
    // One that needs shared libraries does not do.
    let host = Host::new("dynamic-busybox", "apt-get");
    host.qemu("8.0.0").e2fsprogs().script("busybox", "exit 0");
    assert!(host.complaint(&[]).contains("busybox is not a static x86-64 program; install with: "));
}

#[test]
fn all_that_is_missing_is_one_line() {
    let host = Host::new("nothing", "apt-get");
    let line = host.complaint(&[]);
    assert!(line.starts_with("no QEMU (qemu-system-x86_64) in PATH; "), "{line}");
    assert!(line.contains("no busybox in PATH; install with: sudo apt-get install"), "{line}");
    let host = Host::new("no-manager", "emerge");
    let line = host.complaint(&[]);
    assert!(line.contains("no apt, dnf, pacman or brew here: install QEMU 7.2 or newer"), "{line}");
}

#[test]
fn without_rust_it_says_so() {
    let host = Host::new("no-rust", "apt-get");
    host.qemu("8.0.0").e2fsprogs().busybox();
    assert_eq!(host.complaint(&[]), "no rustc in PATH; install Rust with rustup");
    host.script("rustc", "echo /nonexistent");
    let expected = "the Rust toolchain is incomplete and there is no rustup to \
                    rustup target add x86_64-unknown-none";
    assert_eq!(host.complaint(&[]), expected);
    let expected = "the Rust toolchain is incomplete; complete with: \
                    rustup target add x86_64-unknown-none";
    assert_eq!(host.complaint(&["--no-install"]), expected);
}

/// Needs the right to mount, in a namespace of its own; a user without it has it in a user namespace.
#[test]
fn too_little_disk_is_one_line() {
    let host = Host::new("no-space", "apt-get");
    host.qemu("8.0.0").e2fsprogs().busybox();
    let script = "mount -t tmpfs -o size=64m none \"$1/target\" && mkdir \"$1/target/debug\" && \
                  cp \"$2\" \"$1/target/debug/xtask\" && \
                  PATH=\"$1/host\" exec \"$1/target/debug/xtask\" run -- true";
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(host.bench.file("")).arg(env!("CARGO_BIN_EXE_xtask"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let errors = &output.errors;
    if errors.starts_with("unshare:") {
        assert!(std::env::var_os("CI").is_none(), "no namespaces: {errors}");
        println!("SKIP too_little_disk_is_one_line: {errors}");
        return;
    }
    assert_eq!(output.status, Some(125), "{errors}");
    let rest = errors.strip_prefix("xtask: setup: ").unwrap_or_default();
    let (free, rest) = rest.split_once(" MiB of disk are free at ").unwrap_or_default();
    assert!(free.parse::<u32>().is_ok_and(|free| free < 64), "{errors}");
    assert!(rest.contains("/target, and 2 GiB are needed; set CARGO_TARGET_DIR"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
