//! The terminal.
use crate::{Canvas, Font, Pixels};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use os_terminal::Terminal;
use spin::Mutex;

/// Most bytes of answers that wait to be taken: a program that asks and never reads cannot fill the memory.
const ANSWERS_MAX: usize = 4096;
/// Lines that can be scrolled back to (Ctrl-Shift with up, down or the page keys).
const HISTORY: usize = 500;

/// A terminal: screen and keyboard.
pub struct Screen<P: Pixels> {
    terminal: Terminal<Canvas<P>>,
    answers: Arc<Mutex<Vec<u8>>>,
}

impl<P: Pixels> Screen<P> {
    /// Clears the canvas.
    pub fn new(canvas: Canvas<P>) -> Self {
        let mut terminal = Terminal::new(canvas, Box::<Font>::default());
        let answers = Arc::new(Mutex::new(Vec::new()));
        let queue = answers.clone();
        terminal.set_pty_writer(Box::new(move |text| {
            let mut queue = queue.lock();
            if queue.len() + text.len() <= ANSWERS_MAX {
                queue.extend_from_slice(text.as_bytes());
            }
        }));
        terminal.set_history_size(HISTORY);
        terminal.set_auto_flush(false);
        Self { terminal, answers }
    }

    /// Rows and columns of characters.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.terminal.rows(), self.terminal.columns())
    }

    /// Shows what a program wrote.
    pub fn write(&mut self, bytes: &[u8]) {
        self.terminal.process(bytes);
        self.terminal.flush();
    }

    /// Takes a byte of the keyboard (scan code set 1).
    pub fn key(&mut self, code: u8) {
        // What is left over are wishes for another font or for a clipboard, of which there is none.
        let _ = self.terminal.handle_keyboard(code);
        self.terminal.flush();
    }

    /// What was typed, and what the terminal answers to programs' questions, since the last time.
    #[must_use]
    pub fn take_answers(&mut self) -> Vec<u8> {
        core::mem::take(&mut *self.answers.lock())
    }
}
