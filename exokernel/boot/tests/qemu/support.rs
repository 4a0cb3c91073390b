//! Runs the loader in QEMU: builds the guest programs once, gives each run its own folder and a
//! time limit.

use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const QEMU: &str = "qemu-system-x86_64";
/// A run takes less than a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// QEMU's exit status when the test kernel is content.
pub(crate) const CONTENT: i32 = 33;
/// QEMU's exit status when the loader refuses.
pub(crate) const REFUSED: i32 = 37;

/// Tells whether QEMU can be run. Without it, tests are skipped, but not in CI.
pub(crate) fn qemu_is_there(test: &str) -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let probe = || Command::new(QEMU).arg("--version").stdout(Stdio::null()).status().is_ok();
    let there = *THERE.get_or_init(probe);
    if !there {
        assert!(env::var_os("CI").is_none(), "{QEMU} is missing, and this is CI");
        println!("SKIP {test}: {QEMU} is missing");
    }
    there
}

/// Builds this package's programs for `target`; gives the folder that they are in.
fn build(target: &str, arguments: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--package", "serix-boot", "--profile", "guest"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .args(["--target", target, "--target-dir"])
        .arg(&folder)
        .args(arguments)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the guest programs do not build for {target}");
    folder.join(target).join("guest")
}

/// The folder of the multiboot loader and the test kernels.
pub(crate) fn guest() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("x86_64-unknown-none", &["--features", "test-kernel"]))
}

/// The UEFI loader.
pub(crate) fn uefi_loader() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| build("x86_64-unknown-uefi", &[]).join("serix-boot.efi"))
}

/// A new, empty folder for one run.
pub(crate) fn run_folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("run-{}-{number}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a run folder");
    folder
}

/// How a run ended.
pub(crate) struct Outcome {
    /// QEMU's exit status.
    pub(crate) status: i32,
    /// What came over COM1.
    pub(crate) log: String,
}

impl Outcome {
    /// The rest of the only line that starts with `start`.
    pub(crate) fn line(&self, start: &str) -> &str {
        let mut lines = self.log.lines().filter_map(|line| line.strip_prefix(start));
        let found = lines.next().unwrap_or_else(|| panic!("no line {start:?} in:\n{}", self.log));
        assert!(lines.next().is_none(), "several lines {start:?} in:\n{}", self.log);
        found.trim()
    }

    /// Fails unless the test kernel is content.
    pub(crate) fn expect_content(self, what: &str) -> Outcome {
        let ok = self.status == CONTENT && self.log.contains("boot-test: ok");
        assert!(ok, "{what}: status {}, log:\n{}", self.status, self.log);
        self
    }
}

/// Runs QEMU with `arguments` and a COM1 that is read.
pub(crate) fn qemu(arguments: &[&str]) -> Outcome {
    let mut child = Command::new(QEMU)
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
        .args(["-monitor", "none", "-serial", "stdio", "-accel", "tcg"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("QEMU starts");
    let mut output = child.stdout.take().expect("stdout is piped");
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = output.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("QEMU can be waited for") {
            Some(status) => break status.code(),
            None if start.elapsed() < LIMIT => thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let log = reader.join().expect("the reader ends with QEMU");
    let status = status.unwrap_or_else(|| panic!("no end within {LIMIT:?}, log:\n{log}"));
    Outcome { status, log }
}
