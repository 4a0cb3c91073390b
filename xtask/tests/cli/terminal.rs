//! `run` at a terminal: who gets it, and that it is left as it was.

use std::time::Duration;

use crate::pty::Pty;
use crate::support::{Bench, send, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

/// A run at a terminal that is in raw mode already, and the settings before that.
fn at_terminal(bench: &Bench, words: &[&str]) -> (Pty, String) {
    // `sane` is what a fresh terminal is: known without a race against the run.
    let fresh = Pty::start(&std::process::Command::new("true"), 24, 80).unwrap();
    let before = fresh.settings().unwrap();
    let pty = Pty::start(&bench.command(words), 24, 80).unwrap();
    wait_until("raw mode", || pty.settings().unwrap() != before);
    (pty, before)
}

#[test]
fn the_terminal_is_as_before_after_every_kind_of_end() {
    let bench = Bench::new("terminal-ends");
    let ends: [(&[&str], i32); 3] =
        [(&["--", "sh", "-c", "exit 7"], 7), (&["--", "panic"], 121), (&["--", "silent-end"], 125)];
    for (words, status) in ends {
        let fresh = Pty::start(&std::process::Command::new("true"), 24, 80).unwrap();
        let before = fresh.settings().unwrap();
        let mut pty = Pty::start(&bench.command(words), 24, 80).unwrap();
        assert_eq!(pty.end(LIMIT).unwrap(), Some(status), "{words:?}: {}", pty.rest());
        assert_eq!(pty.settings().unwrap(), before, "{words:?}");
    }
    let (mut pty, before) = at_terminal(&bench, &["--timeout", "2", "--", "hang"]);
    assert_eq!(pty.end(LIMIT).unwrap(), Some(124));
    assert_eq!(pty.settings().unwrap(), before, "timeout");
    for (signal, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let (mut pty, before) = at_terminal(&bench, &["--", "hang"]);
        send(signal, pty.id());
        assert_eq!(pty.end(LIMIT).unwrap(), Some(status), "{signal}: {}", pty.rest());
        assert_eq!(pty.settings().unwrap(), before, "{signal}");
    }
    wait_until("all machines are gone", || bench.machines() == 0);
}

#[test]
fn one_chord_ends_the_machine_and_all_else_is_the_guests() {
    let bench = Bench::new("terminal-chord");
    let (mut pty, before) = at_terminal(&bench, &["--", "cat", "-v"]);
    pty.keys(b"\x01\x03\x1d\x1d\x1dx\n").unwrap();
    pty.expect("^A^C^]^]x\n", LIMIT).unwrap();
    pty.keys(b"\x1dq").unwrap();
    assert_eq!(pty.end(LIMIT).unwrap(), Some(143));
    pty.expect("xtask: ended: by Ctrl-] q", LIMIT).unwrap();
    assert_eq!(pty.settings().unwrap(), before);
    // Even one that reads nothing.
    let (mut pty, _) = at_terminal(&bench, &["--", "hang"]);
    pty.keys(b"\x1dq").unwrap();
    assert_eq!(pty.end(LIMIT).unwrap(), Some(143));
}

#[test]
fn the_guest_learns_the_size_and_its_changes() {
    let bench = Bench::new("terminal-size");
    let pty = Pty::start(&bench.command(&["--", "show-sizes"]), 24, 80).unwrap();
    pty.expect("terminal 24x80", LIMIT).unwrap();
    pty.resize(31, 99).unwrap();
    pty.expect("resized 31x99", LIMIT).unwrap();
    let pty = Pty::start(&bench.command(&["--no-tty", "--", "show-sizes"]), 24, 80).unwrap();
    pty.expect("pipes 24x80", LIMIT).unwrap();
}

#[test]
fn options_decide_who_has_a_terminal() {
    let bench = Bench::new("terminal-options");
    let fresh = Pty::start(&std::process::Command::new("true"), 24, 80).unwrap();
    let before = fresh.settings().unwrap();
    let pty = Pty::start(&bench.command(&["--no-tty", "--", "sh", "-c", "echo up; cat"]), 24, 80);
    let mut pty = pty.unwrap();
    pty.expect("up", LIMIT).unwrap();
    assert_eq!(pty.settings().unwrap(), before, "--no-tty leaves it alone");
    pty.keys(b"line\n\x04").unwrap();
    assert_eq!(pty.end(LIMIT).unwrap(), Some(0), "{}", pty.rest());
    // The end of input is Ctrl-D for a terminal that is forced.
    let words = ["--tty", "--", "head", "-c", "2"];
    assert_eq!(bench.run(&words, b"a").text(), ("a\x04", "", Some(0)));
    assert_eq!(bench.run(&["--", "sh", "-c", "echo $TERM"], b"").text(), ("dumb\n", "", Some(0)));
    let output = bench.run(&["--tty", "--no-tty", "--", "true"], b"");
    assert_eq!(output.status, Some(125), "{}", output.errors);
}
