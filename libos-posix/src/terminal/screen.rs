//! The machine's own screen and keyboard: a second terminal, `/dev/tty1`, with a shell of its own.
//!
//! Owns the emulated terminal. A background task draws what programs write; keys are looked at when a slice starts and when the
//! session was idle. The shell is no child of process 1, so that the session's program does not see it come and go.
use super::devices::SCREEN;
use super::{Size, Terminal, console};
use crate::file::table::Entry;
use crate::process::{self, Process, Strings};
use crate::raw::display::Keyboard;
use crate::raw::entry::TrapFrame;
use crate::raw::kernel;
use crate::session::{log_line, options};
use crate::{Errno, Result, io};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general::{AT_FDCWD, IUTF8};
use serix_screen::raw::Mapped;
use serix_screen::{Canvas, Screen};
use serix_terminal::Settings;
use spin::{Mutex, Once};

/// What programs are told to expect: the emulation does less than its name promises in others.
const TERM: &[u8] = b"TERM=vt100";
const SHELL: &[u8] = b"/bin/sh";
/// As `login` names it, so that it reads `/etc/profile`.
const SHELL_NAME: &[u8] = b"-sh";
/// A shell that ends sooner is not started again.
const SHORT_LIFE_NS: u64 = 1_000_000_000;
/// Status of a shell that could not be started, as shells have it.
const NOT_STARTED: u8 = 127;
/// Bytes drawn before others get their turn.
const PART: usize = 1024;

struct Display {
    screen: Mutex<Screen<Mapped>>,
    keyboard: Option<Keyboard>,
    terminal: Arc<Terminal>,
}

static DISPLAY: Once<Display> = Once::new();
/// The shell's process; 0: none, for no process has that number.
static SHELL_PID: AtomicU32 = AtomicU32::new(0);

/// The terminal of the machine's screen, if the session has that.
pub(super) fn terminal() -> Option<&'static Arc<Terminal>> {
    DISPLAY.get().map(|display| &display.terminal)
}

/// Keeps what the session was given, until [`start`].
pub(crate) fn adopt(canvas: Option<Canvas<Mapped>>, keyboard: Option<Keyboard>) {
    let Some(canvas) = canvas else { return };
    let screen = Screen::new(canvas);
    let (rows, columns) = screen.size();
    let mut settings = Settings::fresh();
    settings.input |= IUTF8;
    let terminal = Arc::new(Terminal::new(SCREEN, settings, false));
    terminal.set_size(Size::of_characters(rows as u16, columns as u16));
    DISPLAY.call_once(|| Display { screen: Mutex::new(screen), keyboard, terminal });
}

/// Starts to draw, if there is a screen; its terminal.
pub(crate) fn start() -> Option<Arc<Terminal>> {
    let display = DISPLAY.get()?;
    io::spawn(draw(display));
    Some(display.terminal.clone())
}

/// Draws what programs write.
async fn draw(display: &'static Display) {
    let terminal = &display.terminal;
    loop {
        console::until(terminal, |state| state.discipline.output_len() > 0).await;
        let bytes = terminal.change(|state| state.discipline.take_output(PART));
        display.screen.lock().write(&bytes);
        display.answer();
    }
}

impl Display {
    /// What was typed, and the terminal's answers to programs, arrive. What finds no room is lost, as with a real one.
    fn answer(&self) {
        let bytes = self.screen.lock().take_answers();
        if !bytes.is_empty() {
            self.terminal.change(|state| state.discipline.receive(&bytes));
        }
    }
}

/// Takes the keys that were pressed. To be called when a slice starts and after a wait for the session's event.
pub fn poll() {
    let Some(display) = DISPLAY.get() else { return };
    let Some(keyboard) = &display.keyboard else { return };
    keyboard.acknowledge();
    while let Some(code) = keyboard.read() {
        display.screen.lock().key(code);
        display.answer();
    }
}

/// A shell for the screen: a process without a program yet, whose thread goes on in [`first_steps`].
pub(crate) fn spawn_shell() {
    if let Err(errno) = process::spawn_alone(&TrapFrame::new(process::SCREEN_SHELL, 0)) {
        log_line(format_args!("libos: no shell for the screen: {}", errno.name()));
    }
}

/// Makes the running process, which is new, the screen's shell.
pub(crate) fn first_steps() -> TrapFrame {
    match begin() {
        Ok(frame) => frame,
        Err(errno) => {
            log_line(format_args!("libos: no shell for the screen: {}", errno.name()));
            process::exit_group(NOT_STARTED)
        }
    }
}

fn begin() -> Result<TrapFrame> {
    SHELL_PID.store(process::current_process().pid, Ordering::Relaxed);
    let display = DISPLAY.get().ok_or(Errno::ENXIO)?;
    let description = console::open(&display.terminal)?;
    for number in 0..3 {
        let entry = Entry { description: description.clone(), close_on_exec: false };
        crate::file::current::install(entry, number)?;
    }
    let environment = with_kind(&options().environment);
    let strings = Strings { arguments: alloc::vec![SHELL_NAME.to_vec()], environment };
    process::execute_strings(AT_FDCWD, SHELL.to_vec(), strings, 0)
}

/// An environment whose programs run on the screen.
pub(crate) fn with_kind(environment: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let others = environment.iter().filter(|entry| !entry.starts_with(b"TERM="));
    others.cloned().chain([TERM.to_vec()]).collect()
}

/// A process ended: after the shell comes the next.
pub(crate) fn ended(process: &Process) {
    if SHELL_PID.compare_exchange(process.pid, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let age = kernel::now_ns().saturating_sub(process.started_ns);
    if age < SHORT_LIFE_NS {
        return log_line(format_args!(
            "libos: the screen's shell ended at once; no other is started"
        ));
    }
    spawn_shell();
}
