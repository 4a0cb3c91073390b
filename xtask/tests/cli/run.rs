//! `cargo xtask run` from outside, with a stand-in for QEMU and the guest that runs the program on
//! the host: streams, statuses, last lines, limits, and that nothing outlives xtask.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{Bench, finish, random_bytes, send, wait_until};

#[test]
fn pipes_carry_bytes_and_the_status_is_the_programs() {
    let bench = Bench::new("pipes");
    let output = bench.run(&["--", "wc", "-l"], b"a\nb\n");
    assert_eq!(output.text(), ("2\n", "", Some(0)));
    let output = bench.run(&["--", "sh", "-c", "echo out; echo err >&2; exit 7"], b"");
    assert_eq!(output.text(), ("out\n", "err\n", Some(7)));
    let output = bench.run(&["--", "sh", "-c", "kill -9 $$"], b"");
    assert_eq!(output.text(), ("", "", Some(137)));
    let output = bench.run(&[], b"echo a shell\n");
    assert_eq!(output.text(), ("a shell\n", "", Some(0)));
}

#[test]
fn thirty_two_mebibytes_come_back_identical() {
    let bench = Bench::new("bytes");
    let bytes = random_bytes(32 << 20);
    let output = bench.run(&["--", "cat"], &bytes);
    assert_eq!(output.status, Some(0), "{}", output.errors);
    assert!(output.bytes == bytes, "{} bytes came back", output.bytes.len());
}

#[test]
fn small_frames_to_a_slow_reader_lose_nothing() {
    let bench = Bench::new("drip");
    let manifest = bench.file("manifest");
    let text = "[session main]\nlibos = libos-posix\nmemory = rest\noption = piece=3\nprogram = \
                \"sh\" \"-c\" \"yes 0123456789 | head -c 600000\"\n";
    std::fs::write(&manifest, text).unwrap();
    let mut command = bench.command(&["--manifest", manifest.to_str().unwrap()]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    // Until now nothing was read: all credit is in the pipes.
    std::thread::sleep(Duration::from_secs(1));
    let mut bytes = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut bytes).unwrap();
    let output = finish(child);
    assert_eq!((bytes.len(), output.status), (600_000, Some(0)), "{}", output.errors);
}

#[test]
fn each_kind_of_end_has_its_status_and_last_line() {
    // The log's path is in its header, and is no message.
    let bench = Bench::new("ends");
    let cases: [(&[&str], i32, &str); 11] = [
        (&["--", "panic"], 121, "xtask: panic: kernel: PANIC: the sky fell (log: "),
        (&["--", "triple-fault"], 121, "xtask: panic: the machine reset itself"),
        (&["--timeout", "0.5", "--", "hang"], 124, "xtask: timeout: no end after 0.5 s"),
        (&["--", "no-kernel"], 125, "xtask: setup: loader: no kernel"),
        (&["--", "broken-qemu"], 125, "xtask: setup: QEMU failed with status 1: qemu: something"),
        (&["--", "silent-end"], 125, "xtask: setup: the machine ended without a status"),
        (&["--", "garbage"], 125, "xtask: setup: the link to the guest: unknown frame kind 255"),
        (&["--", "setup"], 125, "xtask: setup: no root disk"),
        (&["--", "/etc/passwd"], 126, "xtask: not-executable: "),
        (&["--", "/no/such/program"], 127, "xtask: not-found: "),
        (&["--mem", "1K", "--", "true"], 125, "xtask: setup: the command line is wrong"),
    ];
    for (words, status, line) in cases {
        let (file, log) = (bench.file("status"), bench.file("PANIC: loader: init: log"));
        let (file, log) = (file.to_str().unwrap(), log.to_str().unwrap());
        let all = [&["--status-file", file, "--log", log], words].concat();
        let output = bench.run(&all, b"");
        assert_eq!(output.status, Some(status), "{words:?}: {}", output.errors);
        let last = output.errors.lines().last().unwrap_or_default();
        assert!(last.starts_with(line), "{words:?}: {last}");
        // A command line that is wrong names no file either.
        if !line.ends_with("is wrong") {
            assert_eq!(std::fs::read_to_string(file).unwrap(), format!("{last}\n"));
        }
    }
    let file = bench.file("status");
    bench.run(&["--status-file", file.to_str().unwrap(), "--", "sh", "-c", "exit 126"], b"");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "xtask: exited: 126\n");
}

#[test]
fn each_command_has_help_and_a_version() {
    let xtask = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(words).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let help = xtask(&["--help"]);
    for command in ["run", "test", "check", "bench"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
        let usage = xtask(&[command, "--help"]);
        assert!(usage.contains(&format!("Usage: cargo xtask {command} ")), "{usage}");
        let version = format!("cargo xtask {command} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(xtask(&[command, "--version"]), version);
    }
}

#[test]
fn the_timeout_counts_from_the_start_of_qemu() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new("late");
    let (qemu, fake) = (bench.file("bin/qemu-system-x86_64"), env!("CARGO_BIN_EXE_fake-qemu"));
    let script = format!("#!/bin/sh\n[ \"$1\" != --version ] || sleep 2\nexec {fake} \"$@\"\n");
    std::fs::remove_file(&qemu).unwrap();
    std::fs::write(&qemu, script).unwrap();
    std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = bench.run(&["--timeout", "1.5", "--", "sh", "-c", "exit 3"], b"");
    assert_eq!(output.text(), ("", "", Some(3)));
    let output = bench.run(&["--timeout", "0.5", "--", "hang"], b"");
    assert_eq!(output.status, Some(124), "{}", output.errors);
}

#[test]
fn an_output_that_nobody_reads_ends_the_run() {
    let bench = Bench::new("unread");
    for program in ["yes", "deaf"] {
        let start = Instant::now();
        let mut child = bench.command(&["--", program]).stdin(Stdio::null()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 2]).unwrap();
        drop(stdout);
        let output = finish(child);
        assert_eq!(output.status, Some(141), "{program}: {}", output.errors);
        assert!(start.elapsed() < Duration::from_secs(5), "{program}: {:?}", start.elapsed());
    }
    // A program that writes no more is not ended.
    let script = "trap '' PIPE; echo a; sleep 2; exit 3";
    let mut child =
        bench.command(&["--", "sh", "-c", script]).stdin(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child).status, Some(3));
}

#[test]
fn nothing_outlives_xtask() {
    let bench = Bench::new("outlive");
    for (signal, status) in [("KILL", None), ("TERM", Some(143)), ("INT", Some(130))] {
        let child = bench.command(&["--", "hang"]).stdin(Stdio::piped()).spawn().unwrap();
        wait_until("QEMU is there", || bench.machines() == 1);
        send(signal, child.id());
        let output = finish(child);
        assert_eq!(output.status, status, "{signal}: {}", output.errors);
        wait_until("QEMU is gone", || bench.machines() == 0);
    }
}

#[test]
fn two_runs_go_at_the_same_time() {
    let bench = Bench::new("two");
    let start = || {
        let mut command = bench.command(&["--", "cat"]);
        command.stdin(Stdio::piped()).spawn().unwrap()
    };
    let mut both = [start(), start()];
    wait_until("both machines are there", || bench.machines() == 2);
    for (child, word) in both.iter_mut().zip(["one", "two"]) {
        child.stdin.take().unwrap().write_all(word.as_bytes()).unwrap();
    }
    for (child, word) in both.into_iter().zip(["one", "two"]) {
        assert_eq!(finish(child).text(), (word, "", Some(0)));
    }
}

#[test]
fn the_log_begins_with_version_commit_and_arguments() {
    let bench = Bench::new("log");
    let log = bench.file("kernel.log");
    let path = log.to_str().unwrap();
    let output = bench.run(&["--log", path, "--verbose", "--", "true"], b"");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("serix ") && lines[0].contains(" commit "), "{text}");
    assert!(lines[1].starts_with("QEMU emulator version "), "{text}");
    assert!(lines[2].contains("-M q35") && lines[2].contains("-initrd"), "{text}");
    assert_eq!(lines[3], "fake kernel up");
    assert!(output.errors.contains("[1/5] tools …\n"), "stages: {}", output.errors);
    assert!(output.errors.contains("fake kernel up\n"), "the log: {}", output.errors);
}

#[test]
fn the_trace_and_the_environment_arrive() {
    let bench = Bench::new("trace");
    let output = bench.run(&["--strace", "--", "true"], b"");
    assert_eq!(output.text(), ("", "execve() = 0\n", Some(0)));
    let words = ["--env", "A=1", "--env", "A=2 x", "--", "sh", "-c", "echo $A $HOME"];
    let output = bench.run(&words, b"");
    assert_eq!(output.text(), ("2 x /root\n", "", Some(0)));
}

#[test]
fn manifest_errors_name_file_and_line() {
    let bench = Bench::new("manifest");
    let manifest = bench.file("bad");
    std::fs::write(&manifest, "[session main]\nlibos = libos-posix\nmemory = lots\n").unwrap();
    let output = bench.run(&["--manifest", manifest.to_str().unwrap()], b"");
    assert_eq!(output.status, Some(125));
    let expected = "bad: line 3: expected `rest` or a size like 48M, found `lots`";
    assert!(output.errors.contains(expected), "{}", output.errors);
    let output = bench.run(&["--manifest", "/no/such/file"], b"");
    assert!(output.errors.contains("--manifest: cannot read"), "{}", output.errors);
    std::fs::write(&manifest, "[session main]\nlibos = other\nmemory = rest\n").unwrap();
    let output = bench.run(&["--manifest", manifest.to_str().unwrap()], b"");
    assert!(
        output.errors.contains("names a libOS `other`, and there is no such program"),
        "{}",
        output.errors
    );
}
