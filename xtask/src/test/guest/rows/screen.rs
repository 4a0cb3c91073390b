//! Row 16: the machine's own screen and keyboard, seen through QEMU's monitor.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::super::super::bench::{Bench, wait};
use super::super::super::screenshot;
use super::super::Test;
use crate::machine::Monitor;

pub(super) const TESTS: &[Test] = &[
    Test { name: "16-shell-on-the-screen", seconds: 120, body: shell },
    Test { name: "16-kernel-text", seconds: 120, body: kernel_text },
];

/// For the machine's start, and for anything to be shown.
const LIMIT: Duration = Duration::from_secs(100);

const PROMPT: &str = "root@serix:~#";

/// What the machine shows.
struct Screen<'a> {
    bench: &'a Bench,
    monitor: Monitor,
}

impl Screen<'_> {
    /// The text on the screen.
    fn text(&mut self) -> Result<String> {
        let picture = self.bench.file("screen.ppm");
        self.monitor.ask(&format!("screendump {}", picture.display()))?;
        screenshot::text(&picture)
    }

    /// Waits until a line of the screen is `line`; what else is shown then.
    fn wait_for(&mut self, line: &str) -> Result<String> {
        let start = Instant::now();
        loop {
            let shown = self.text()?;
            if shown.lines().any(|shown| shown == line) {
                return Ok(shown);
            }
            if start.elapsed() > LIMIT {
                bail!("no line `{line}` on the screen:\n{}", shown.trim_end());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Presses keys by QEMU's names for them, one after the other.
    fn press(&mut self, keys: &str) -> Result<()> {
        for key in keys.split(' ') {
            self.monitor.ask(&format!("sendkey {key} 20"))?;
            // Longer than a key is held down.
            std::thread::sleep(Duration::from_millis(60));
        }
        Ok(())
    }
}

fn on_screen<R>(
    bench: &Bench,
    program: &[&str],
    options: &[&str],
    work: impl FnOnce(&mut Screen<'_>) -> Result<R>,
) -> Result<(R, Option<i32>)> {
    let socket = bench.file("monitor");
    let socket_text = socket.display().to_string();
    let mut all = vec!["--display=hidden", "--monitor", &socket_text];
    all.extend(options);
    let mut child = bench.command(&all, program).spawn()?;
    let worked = Monitor::connect(&socket, &mut child, LIMIT)
        .and_then(|monitor| work(&mut Screen { bench, monitor }));
    if worked.is_err() {
        let _ = child.kill();
    }
    let ran = wait(child, LIMIT);
    let worked = worked.map_err(|error| error.context(bench.log()))?;
    Ok((worked, ran?.status))
}

/// A prompt, keys, what they do, and that the shell is a terminal's: job control, and another shell after its end.
fn shell(bench: Bench) -> Result<()> {
    let ((), status) = on_screen(&bench, &["sleep", "1000"], &[], |screen| {
        let shown = screen.wait_for(PROMPT)?;
        screenshot::expect(&shown, "Serix")?;
        // tty
        screen.press("t t y ret")?;
        screen.wait_for("/dev/tty1")?;
        // Shift and control: echo A$((6*7)); a wrong word taken back; sleep interrupted.
        screen
            .press("e c h o spc shift-a shift-4 shift-9 shift-9 6 shift-8 7 shift-0 shift-0 ret")?;
        screen.wait_for("A42")?;
        screen.press("s l e e p spc 1 0 0 ret ctrl-c")?;
        screen.press("e c h o spc x y backspace shift-4 shift-slash ret")?;
        screen.wait_for("x130")?;
        // A shell that ends is followed by another.
        screen.press("c l e a r ret e x i t ret")?;
        screen.wait_for(PROMPT)?;
        screen.press("k i l l spc 1 ret")
    })?;
    // The session's program is process 1, which was ended from the screen.
    if status != Some(143) {
        bail!("status {status:?}, not that of SIGTERM");
    }
    Ok(())
}

/// Until a session takes the framebuffer, the kernel's own lines are on it.
fn kernel_text(bench: Bench) -> Result<()> {
    let manifest = bench.file("no-screen.manifest");
    std::fs::write(
        &manifest,
        "[session main]\nlibos = libos-posix\nmemory = rest\nconsole = link log\n\
         disk root = disk0:serix-root rw\nprogram = \"sleep\" \"8\"\n",
    )?;
    let manifest = manifest.display().to_string();
    let (shown, status) = on_screen(&bench, &[], &["--manifest", &manifest], |screen| {
        let start = Instant::now();
        loop {
            let shown = screen.text()?;
            if shown.contains("kernel: ") || start.elapsed() > LIMIT {
                return Ok(shown);
            }
        }
    })?;
    screenshot::expect(&shown, "kernel: ")?;
    // The same as in the log.
    let log = bench.log();
    let first =
        log.lines().find(|line| line.starts_with("kernel: ")).unwrap_or_default().to_owned();
    screenshot::expect(&shown, first.trim_end())?;
    if status != Some(0) {
        bail!("status {status:?}");
    }
    Ok(())
}
