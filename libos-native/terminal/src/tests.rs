//! What a terminal does, case by case; `tests/linux.rs` has the comparison with Linux.
use crate::{Discipline, INPUT_MAX, OUTPUT_MAX, PacketEvents, Settings};
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

fn terminal() -> Discipline {
    Discipline::new(Settings::fresh(), 0)
}

fn shown(terminal: &mut Discipline) -> String {
    String::from_utf8(terminal.take_output(usize::MAX)).expect("text")
}

fn changed(change: impl FnOnce(&mut Settings)) -> Discipline {
    let mut settings = Settings::fresh();
    change(&mut settings);
    Discipline::new(settings, 0)
}

#[test]
fn a_line_is_edited_shown_and_read() {
    let mut terminal = terminal();
    assert_eq!(terminal.receive(b"axy\x7f\x7fb"), 6);
    assert!(!terminal.is_readable(1));
    assert_eq!(shown(&mut terminal), "axy\x08 \x08\x08 \x08b");
    terminal.receive(b"\r");
    assert_eq!(shown(&mut terminal), "\r\n");
    assert_eq!((terminal.readable_len(), terminal.read(99)), (3, b"ab\n".to_vec()));
    assert!(!terminal.is_readable(1));
}

#[test]
fn an_end_of_file_is_an_empty_line() {
    let mut terminal = terminal();
    terminal.receive(b"ab\x04cd\n\x04");
    assert_eq!(terminal.read(2), b"ab", "the end after a full buffer is not read as one");
    assert_eq!(terminal.read(99), b"cd\n");
    assert!(terminal.is_readable(1));
    assert_eq!(terminal.read(99), b"");
    assert!(!terminal.is_readable(1));
}

#[test]
fn control_characters_signal_and_flush() {
    let mut terminal = terminal();
    terminal.receive(b"lost\n");
    terminal.write(b"lost too");
    terminal.receive(b"\x03");
    assert_eq!(shown(&mut terminal), "^C");
    assert_eq!(terminal.take_signals().iter().collect::<Vec<_>>(), [linux::SIGINT]);
    assert!(!terminal.is_readable(1));
    terminal.receive(b"\x1a\x1c");
    let signals: Vec<_> = terminal.take_signals().iter().collect();
    assert_eq!(signals, [linux::SIGQUIT, linux::SIGTSTP]);
    assert_eq!(terminal.take_signals().iter().count(), 0);
    let mut quiet = changed(|settings| settings.local |= linux::NOFLSH);
    quiet.receive(b"kept\n\x03");
    assert_eq!(quiet.read(9), b"kept\n");
}

#[test]
fn a_flush_leaves_what_was_delivered() {
    let mut terminal = Discipline::new(Settings::fresh(), 4);
    terminal.write(b"before");
    terminal.receive(b"lost\x11\x03");
    assert_eq!(shown(&mut terminal), "befo^C");
    terminal.write(b"again");
    terminal.flush_output();
    assert_eq!(shown(&mut terminal), "agai");
}

#[test]
fn output_stops_and_goes_on() {
    let mut terminal = terminal();
    terminal.receive(b"\x13");
    assert_eq!((terminal.write(b"x"), terminal.output_room()), (0, 0));
    terminal.receive(b"echo later");
    assert_eq!(shown(&mut terminal), "");
    assert_eq!(terminal.packet_events().0, PacketEvents::STOP);
    terminal.receive(b"\x11");
    assert_eq!(shown(&mut terminal), "echo later");
    terminal.stop_by_program();
    terminal.receive(b"\x11");
    assert_eq!(terminal.write(b"x"), 0, "what the program stopped only the program starts");
    terminal.start_by_program();
    assert_eq!(terminal.write(b"x"), 1);
}

#[test]
fn erasing_knows_words_tabs_and_utf8() {
    let mut terminal = changed(|settings| settings.input |= linux::IUTF8);
    terminal.receive("ä".as_bytes());
    terminal.receive(b"\x7f");
    assert_eq!(shown(&mut terminal), "ä\x08 \x08");
    terminal.receive(b"one two\x17\x17");
    assert_eq!(shown(&mut terminal), ["one two", &"\x08 \x08".repeat(7)].concat());
    terminal.write(b"$ ");
    terminal.receive(b"a\t\x7f");
    assert_eq!(shown(&mut terminal), "$ a\t\x08\x08\x08\x08\x08", "back to where the tab began");
    terminal.receive(b"bc\x15");
    assert_eq!(shown(&mut terminal), ["bc", &"\x08 \x08".repeat(3)].concat());
    terminal.receive(b"\n");
    assert_eq!(terminal.read(9), b"\n");
}

#[test]
fn a_literal_byte_is_data() {
    let mut terminal = terminal();
    terminal.receive(b"\x16\x03\n");
    assert_eq!(shown(&mut terminal), "^\x08^C\r\n");
    assert_eq!(terminal.read(9), b"\x03\n");
    assert_eq!(terminal.take_signals().iter().count(), 0);
}

#[test]
fn input_is_bounded_and_a_long_line_can_be_erased() {
    let mut terminal = changed(|settings| settings.local &= !linux::ECHO);
    let long = alloc::vec![b'x'; 3 * INPUT_MAX];
    assert_eq!(terminal.receive(&long), long.len(), "a line without an end is cut");
    assert_eq!(terminal.receive(b"\n"), 1);
    assert_eq!(terminal.read(usize::MAX).len(), INPUT_MAX);
    assert_eq!(terminal.receive(b"a\n"), 2);
    let taken = terminal.receive(&long);
    assert_eq!(taken, INPUT_MAX - 3, "behind a whole line the rest waits");
    assert_eq!(terminal.receive(b"\x03"), 0);
}

#[test]
fn output_is_bounded() {
    let mut terminal = terminal();
    let lines = alloc::vec![b'\n'; OUTPUT_MAX];
    assert_eq!(terminal.write(&lines), OUTPUT_MAX / 2);
    terminal.receive(b"echo");
    assert_eq!(terminal.take_output(2).len(), 2);
    assert_eq!(terminal.take_output(usize::MAX).len(), OUTPUT_MAX);
    assert_eq!(shown(&mut terminal), "ho");
}

#[test]
fn what_was_typed_survives_a_change_of_mode() {
    let mut terminal = terminal();
    terminal.receive(b"half");
    let mut raw = *terminal.settings();
    raw.local &= !linux::ICANON;
    terminal.set(raw);
    assert!(terminal.is_readable(4) && !terminal.is_readable(5));
    terminal.set(Settings::fresh());
    assert_eq!(terminal.read(99), b"half", "it counts as a line");
}

#[test]
fn settings_survive_their_bytes() {
    let mut settings = Settings::fresh();
    settings.characters[3] = 9;
    settings.speeds = [1, 2];
    assert_eq!(Settings::plain().with_termios2(&settings.to_termios2()), settings);
    let odd = Settings { control: linux::CS5 | linux::PARENB, ..settings };
    assert_eq!(settings.with_termios(&odd.to_termios()).control, linux::CS8 | linux::CREAD);
}
