//! What the tests of xtask's command line share.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A place for one test: its own PATH and guest programs.
pub(crate) struct Bench {
    folder: PathBuf,
    xtask: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) errors: String,
    pub(crate) status: Option<i32>,
}

impl Output {
    /// Standard output, standard error and status.
    pub(crate) fn text(&self) -> (&str, &str, Option<i32>) {
        let text = std::str::from_utf8(&self.bytes).expect("text on standard output");
        (text, &self.errors, self.status)
    }
}

impl Bench {
    /// A bench with a stand-in for QEMU, first in PATH.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("serix-{name}-{}", std::process::id()));
        let (bin, guest) = (folder.join("bin"), folder.join("guest"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&guest).unwrap();
        let fake = env!("CARGO_BIN_EXE_fake-qemu");
        std::os::unix::fs::symlink(fake, bin.join("qemu-system-x86_64")).unwrap();
        for program in ["boot", "kernel", "init", "libos-posix"] {
            std::fs::write(guest.join(format!("serix-{program}")), program).unwrap();
        }
        Self { folder, xtask: env!("CARGO_BIN_EXE_xtask").into() }
    }

    /// One whose images are its own too: xtask writes to the target folder in which it lies.
    pub(crate) fn with_own_target(name: &str) -> Self {
        let mut bench = Self::new(name);
        let folder = bench.file("target/debug");
        std::fs::create_dir_all(&folder).unwrap();
        bench.xtask = folder.join("xtask");
        copy_program(Path::new(env!("CARGO_BIN_EXE_xtask")), &bench.xtask);
        bench
    }

    /// The path of a file of this bench.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `xtask run` with all but standard input decided. It installs nothing on the machine of the tests.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.xtask("run", words)
    }

    /// The same for another command of xtask's that builds nothing.
    pub(crate) fn xtask(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.xtask);
        let path = std::env::var("PATH").unwrap();
        command
            .args([name, "--no-install", "--binaries"])
            .arg(self.file("guest"))
            .args(words)
            .env("PATH", format!("{}:{path}", self.file("bin").display()))
            .env("SERIX_TEST_BENCH", &self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs with `input` to the end.
    pub(crate) fn run(&self, words: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        // A run that reads no input closes it.
        std::thread::spawn(move || stdin.write_all(&input));
        finish(child)
    }

    /// How many stand-ins for QEMU of this bench are running.
    pub(crate) fn machines(&self) -> usize {
        let mark = format!("SERIX_TEST_BENCH={}", self.folder.display());
        let fake = PathBuf::from(env!("CARGO_BIN_EXE_fake-qemu")).canonicalize().unwrap();
        let is_ours = |process: &PathBuf| {
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            let is_fake = std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == fake);
            is_fake && environment.split(|&byte| byte == 0).any(|one| one == mark.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        processes.filter(is_ours).count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What stays in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits for the end, with a limit.
pub(crate) fn finish(mut child: Child) -> Output {
    let read = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.map(|mut stream| stream.read_to_end(&mut bytes).unwrap());
            bytes
        })
    };
    let output = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let errors = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("no end after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let errors = String::from_utf8_lossy(&errors.join().unwrap()).into_owned();
    Output { bytes: output.join().unwrap(), errors, status: status.code() }
}

/// Waits for something that has to happen soon.
pub(crate) fn wait_until(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes without a pattern.
pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(count).collect()
}

/// Puts a copy of a program at `place`. Another process writes it: were it this one, a test that starts a program just then would
/// hand the open file down to it, and the copy could not be run ("text file busy").
pub(crate) fn copy_program(program: &Path, place: &Path) {
    let status = Command::new("cp").arg(program).arg(place).status().unwrap();
    assert!(status.success(), "cannot copy {} to {}", program.display(), place.display());
}

/// Sends a signal to a process, by the shell: a small machine has no program for it.
pub(crate) fn send(signal: &str, process: u32) {
    let words = ["-c", "kill -s \"$0\" \"$1\"", signal, &process.to_string()];
    assert!(Command::new("sh").args(words).status().unwrap().success(), "{signal} to {process}");
}
