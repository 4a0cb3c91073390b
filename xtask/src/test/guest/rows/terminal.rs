//! Row 14: what one does at the terminal, through a pseudo-terminal of the host.

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::super::bench::Bench;
use super::super::super::pty::Pty;
use super::super::Test;
use super::programs::{add, compile_c};

pub(super) const TESTS: &[Test] = &[
    Test { name: "14-as-on-linux", seconds: 240, body: as_on_linux },
    Test { name: "14-jobs", seconds: 120, body: jobs },
    Test { name: "14-line-editing", seconds: 120, body: line_editing },
    Test { name: "14-window", seconds: 120, body: window },
    Test { name: "14-vi", seconds: 120, body: vi },
    Test { name: "14-less-and-top", seconds: 120, body: less_and_top },
    Test { name: "14-paste", seconds: 240, body: paste },
    Test { name: "14-raw-and-utf8", seconds: 120, body: raw_and_utf8 },
    Test { name: "14-left-as-it-was", seconds: 120, body: left_as_it_was },
    Test { name: "14-no-terminal", seconds: 120, body: no_terminal },
];

/// For anything that the guest shows; machines share the host's cores.
const LIMIT: Duration = Duration::from_secs(60);
/// Put together by the shell, so that its echo is not taken for it.
const PROMPT: &str = "ready> ";

/// A shell of the guest at a terminal, and its first prompt.
fn shell(bench: &Bench, rows: u16, columns: u16) -> Result<Pty> {
    let command = bench.command(&[], &["sh", "-i"]);
    let mut pty = Pty::start(&command, rows, columns)?;
    // The shell asks where its cursor is: the answer is that it does not matter.
    pty.expect("# ", LIMIT)?;
    pty.keys("PS1=rea'dy> '\r")?;
    pty.expect(PROMPT, LIMIT)?;
    Ok(pty)
}

/// Types a command and waits for the next prompt; what was shown in between, without the echo of the command.
fn command(pty: &mut Pty, line: &str) -> Result<String> {
    pty.keys(format!("{line}\r"))?;
    pty.expect("\r\n", LIMIT)?;
    let shown = pty.expect(PROMPT, LIMIT)?;
    Ok(shown.trim_end_matches(PROMPT).replace("\r\n", "\n"))
}

fn expect(pty: &mut Pty, line: &str, text: &str) -> Result<()> {
    let shown = command(pty, line)?;
    // The shell asks for the cursor's place after each prompt.
    let shown = shown.replace("\x1b[6n", "");
    ensure!(shown == text, "{line}: expected {text:?}, shown {shown:?}");
    Ok(())
}

/// Random settings and bytes, job control and hang-ups over pairs of guest and host.
fn as_on_linux(bench: Bench) -> Result<()> {
    let program = compile_c(&bench, "terminals", include_str!("../programs/terminals.c"))?;
    let host = bench.host(&program, &[] as &[&OsStr])?;
    ensure!(host.output.len() > 10_000, "the transcript is short\n{host}");
    let guest = bench.run(&["--add", &add(&program)?], &["/bin/terminals"], b"")?;
    for (guest, host) in guest.text().lines().zip(host.text().lines()) {
        ensure!(guest == host, "Linux: {host}\nSerix: {guest}");
    }
    guest.expect_same(&host)
}

fn jobs(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    expect(&mut pty, "tty; test -t 0 -a -t 1 -a -t 2; echo $?", "/dev/console\n0\n")?;
    interrupt(&mut pty, "sleep 100", "\x03")?;
    expect(&mut pty, "echo $?", "130\n")?;
    interrupt(&mut pty, "while true; do :; done", "\x03")?;
    expect(&mut pty, "echo $?", "130\n")?;
    expect(&mut pty, "yes | head -5", "y\ny\ny\ny\ny\n")?;
    interrupt(&mut pty, "sleep 50", "\x1a")?;
    ensure!(command(&mut pty, "jobs")?.contains("Stopped"), "no stopped job");
    ensure!(command(&mut pty, "bg")?.contains("sleep 50"), "no bg");
    ensure!(command(&mut pty, "jobs")?.contains("Running"), "no running job");
    interrupt(&mut pty, "fg", "\x03")?;
    expect(&mut pty, "jobs", "")?;
    ensure!(command(&mut pty, "sleep 1 & jobs")?.contains("Running"), "no background job");
    ensure!(command(&mut pty, "wait; echo over")?.contains("over"), "no end of the job");
    // Ctrl-D ends a program's input, and then the shell.
    pty.keys("cat; exit 5\r")?;
    pty.expect("exit 5\r\n", LIMIT)?;
    // What is typed ahead is not echoed, because the shell has turned that off.
    std::thread::sleep(Duration::from_millis(700));
    pty.keys("one\r")?;
    pty.expect("one\r\none\r\n", LIMIT)?;
    pty.keys("\x04")?;
    ensure!(pty.end(LIMIT)? == Some(5), "{}", pty.rest());
    Ok(())
}

/// Starts something that does not end, and presses a key once it runs.
fn interrupt(pty: &mut Pty, line: &str, key: &str) -> Result<()> {
    pty.keys(format!("{line}\r"))?;
    pty.expect("\r\n", LIMIT)?;
    std::thread::sleep(Duration::from_millis(700));
    pty.keys(key)?;
    pty.expect(PROMPT, LIMIT).map(drop)
}

/// History, the cursor keys, Ctrl-A: all of it reaches the shell.
fn line_editing(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    expect(&mut pty, "echo first", "first\n")?;
    for (keys, shown) in [
        ("\x1b[A\r", "first\r\n"),
        ("cho back\x01e\r", "back\r\n"),
        ("echo left\x1b[D\x1b[D\x1b[D\x1b[DX\r", "Xleft\r\n"),
        ("echo gone\x15echo new\r", "new\r\n"),
        ("echo wrong\x7f\x7f\x7f\x7f\x7fright\r", "right\r\n"),
    ] {
        pty.keys(keys)?;
        pty.expect(&format!("\r\n{shown}"), LIMIT)?;
        pty.expect(PROMPT, LIMIT)?;
    }
    Ok(())
}

fn window(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    expect(&mut pty, "stty size", "24 80\n")?;
    command(
        &mut pty,
        "mkdir /tmp/many; cd /tmp/many; for i in 1 2 3 4 5 6 7 8; do >a-long-name-$i; done",
    )?;
    let lines = |shown: String| shown.lines().count();
    let wide = lines(command(&mut pty, "ls -x")?);
    pty.resize(10, 40)?;
    expect(&mut pty, "sleep 1; stty size", "10 40\n")?;
    let narrow = lines(command(&mut pty, "ls -x")?);
    ensure!((wide, narrow) == (2, 4), "columns: {wide} lines of 80, {narrow} of 40");
    pty.keys("sh -c 'trap \"echo told\" WINCH; sleep 3; :'\r")?;
    pty.expect("\r\n", LIMIT)?;
    std::thread::sleep(Duration::from_millis(500));
    pty.resize(30, 100)?;
    pty.expect("told\r\n", LIMIT)?;
    pty.expect(PROMPT, LIMIT)?;
    expect(&mut pty, "stty size", "30 100\n")
}

fn vi(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    pty.keys("vi /tmp/text\r")?;
    pty.expect("/tmp/text", LIMIT)?;
    // Escape alone is told from the escape sequence of a key by the time that passes.
    for keys in ["ihello\rwrld", "\x1b", "0lio", "\x1b", ":wq\r"] {
        pty.keys(keys)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    pty.expect(PROMPT, LIMIT)?;
    expect(&mut pty, "cat /tmp/text", "hello\nworld\n")
}

fn less_and_top(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    pty.keys("seq 1000 >/tmp/n; less /tmp/n\r")?;
    pty.expect("23\r\n", LIMIT)?;
    pty.keys(" ")?;
    pty.expect("46\r\n", LIMIT)?;
    pty.keys("G")?;
    pty.expect("1000\r\n", LIMIT)?;
    pty.keys("q")?;
    pty.expect(PROMPT, LIMIT)?;
    pty.keys("top\r")?;
    pty.expect("Load average", LIMIT)?;
    pty.expect("top", LIMIT)?;
    pty.keys("q")?;
    pty.expect(PROMPT, LIMIT)?;
    let shown = command(&mut pty, "ps; ps -o pid,tty,comm")?;
    ensure!(shown.contains("sh -i") && shown.contains("5,1"), "ps shows {shown}");
    Ok(())
}

/// 100 KiB at once: everything arrives, in order.
fn paste(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    let text: String = (0..2048).map(|line| format!("{line:05} {}\n", "x".repeat(43))).collect();
    let file = bench.file("pasted");
    std::fs::write(&file, &text)?;
    let sum = bench.host("md5sum", &[file.as_os_str()])?.text();
    let sum = sum.split(' ').next().context("no sum")?.to_owned();
    pty.keys("stty -echo; cat >/tmp/pasted; stty echo\r")?;
    pty.expect("stty echo\r\n", LIMIT)?;
    std::thread::sleep(Duration::from_millis(700));
    pty.keys(&text)?;
    pty.keys("\x04")?;
    pty.expect(PROMPT, LIMIT)?;
    let shown = command(&mut pty, "wc -c </tmp/pasted; md5sum /tmp/pasted")?;
    ensure!(shown.contains(&format!("{}\n{sum}", text.len())), "expected {sum}: {shown}");
    Ok(())
}

fn raw_and_utf8(bench: Bench) -> Result<()> {
    let mut pty = shell(&bench, 24, 80)?;
    // A character of two bytes is erased as one.
    pty.keys("cat >/tmp/u\r")?;
    pty.expect("/tmp/u\r\n", LIMIT)?;
    std::thread::sleep(Duration::from_millis(700));
    pty.keys("aä€\x7f\x7f€\r\x04")?;
    pty.expect(PROMPT, LIMIT)?;
    expect(&mut pty, "cat /tmp/u", "a€\n")?;
    pty.keys("stty raw -echo; head -c 5 | od -An -tx1; stty sane\r")?;
    pty.expect("sane\r\n", LIMIT)?;
    std::thread::sleep(Duration::from_millis(700));
    pty.keys(b"\x03\r\x04\x1a\xff")?;
    pty.expect("03 0d 04 1a ff", LIMIT)?;
    pty.expect(PROMPT, LIMIT).map(drop)
}

/// The host's terminal is as before after an exit and after SIGTERM.
fn left_as_it_was(bench: Bench) -> Result<()> {
    let before = Pty::start(&std::process::Command::new("true"), 24, 80)?.settings()?;
    let mut pty = shell(&bench, 24, 80)?;
    ensure!(pty.settings()? != before, "no raw mode");
    pty.keys("exit 3\r")?;
    ensure!(pty.end(LIMIT)? == Some(3), "{}", pty.rest());
    ensure!(pty.settings()? == before, "after exit: {}, not {before}", pty.settings()?);
    let mut pty = shell(&bench, 24, 80)?;
    bench.send("TERM", pty.id())?;
    ensure!(pty.end(LIMIT)? == Some(143), "{}", pty.rest());
    ensure!(pty.settings()? == before, "after SIGTERM: {}, not {before}", pty.settings()?);
    Ok(())
}

fn no_terminal(bench: Bench) -> Result<()> {
    let script = "tty; test -t 0 || echo no; echo x >/dev/tty";
    let ran = bench.script(&[], script)?;
    ensure!(ran.text() == "not a tty\nno\n", "{ran}");
    let ran = bench.run(&["--tty"], &["sh", "-c", "stty size; tty"], b"")?;
    ran.expect("24 80\r\n/dev/console\r\n", 0)
}
