//! The way of a byte from the other side: to the program, to the screen, or to a signal.
use crate::classes::to_lower;
use crate::{DISABLED, Discipline, INPUT_MAX};
use linux_raw_sys::general as linux;

/// What `PARMRK` doubles, so that it cannot be taken for a mark.
const MARK: u8 = 0xFF;

impl Discipline {
    /// Takes bytes that the other side typed, and tells how many. The others are to be passed in again once something
    /// was read.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        let delivered = self.output.len().min(self.delivered_max);
        while !rest.is_empty() {
            let count = self.input_room().min(rest.len());
            if count == 0 {
                break;
            }
            if self.queue.len() == INPUT_MAX {
                self.queue.pop_edited();
            }
            let (chunk, later) = rest.split_at(count);
            self.receive_chunk(chunk, delivered);
            rest = later;
        }
        bytes.len() - rest.len()
    }

    fn receive_chunk(&mut self, bytes: &[u8], delivered: usize) {
        if self.is_raw {
            bytes.iter().for_each(|&byte| self.queue.push(byte));
            return;
        }
        for &byte in bytes {
            let byte = self.translate(byte);
            if core::mem::take(&mut self.is_literal_next) || !self.special[usize::from(byte)] {
                self.receive_data(byte);
            } else {
                self.receive_special(byte, delivered);
            }
        }
        if self.settings.has_local(linux::ECHO | linux::ECHONL) {
            self.process_echoes();
        }
    }

    fn translate(&self, byte: u8) -> u8 {
        let byte = if self.settings.has_input(linux::ISTRIP) { byte & 0x7F } else { byte };
        let lowers =
            self.settings.has_input(linux::IUCLC) && self.settings.has_local(linux::IEXTEN);
        if lowers { to_lower(byte) } else { byte }
    }

    /// A byte that means nothing to the terminal.
    fn receive_data(&mut self, byte: u8) {
        if self.starts_by_any() {
            self.start();
            self.process_echoes();
        }
        if self.settings.has_local(linux::ECHO) {
            self.echo_input(byte);
        }
        self.enqueue(byte);
    }

    fn enqueue(&mut self, byte: u8) {
        self.double_mark(byte);
        self.queue.push(byte);
    }

    fn double_mark(&mut self, byte: u8) {
        if byte == MARK && self.settings.has_input(linux::PARMRK) {
            self.queue.push(byte);
        }
    }

    fn echo_input(&mut self, byte: u8) {
        self.finish_erasing();
        if !self.queue.has_edited() {
            self.echo.remember_column();
        }
        self.echo_shown(byte);
        self.commit_echoes();
    }

    fn is_character(&self, byte: u8, number: u32) -> bool {
        byte == self.settings.character(number)
    }

    fn receive_special(&mut self, byte: u8, delivered: usize) {
        if self.control_flow(byte) || self.raise_signal(byte, delivered) {
            return;
        }
        if self.starts_by_any() {
            self.start();
            self.process_echoes();
        }
        let byte = match byte {
            b'\r' if self.settings.has_input(linux::IGNCR) => return,
            b'\r' if self.settings.has_input(linux::ICRNL) => b'\n',
            b'\n' if self.settings.has_input(linux::INLCR) => b'\r',
            other => other,
        };
        if self.is_canonical() && self.edit(byte) {
            return;
        }
        if self.settings.has_local(linux::ECHO) {
            match byte {
                b'\n' => {
                    self.finish_erasing();
                    self.echo.raw(b'\n');
                    self.commit_echoes();
                }
                _ => self.echo_input(byte),
            }
        }
        self.enqueue(byte);
    }

    fn control_flow(&mut self, byte: u8) -> bool {
        if !self.settings.has_input(linux::IXON) {
            return false;
        }
        if self.is_character(byte, linux::VSTART) {
            self.start();
            self.process_echoes();
        } else if self.is_character(byte, linux::VSTOP) {
            self.stop();
        } else {
            return false;
        }
        true
    }

    fn raise_signal(&mut self, byte: u8, delivered: usize) -> bool {
        let characters = [
            (linux::VINTR, linux::SIGINT),
            (linux::VQUIT, linux::SIGQUIT),
            (linux::VSUSP, linux::SIGTSTP),
        ];
        let found = characters.into_iter().find(|&(number, _)| self.is_character(byte, number));
        let Some((_, signal)) = found.filter(|_| self.settings.has_local(linux::ISIG)) else {
            return false;
        };
        self.signals.add(signal);
        if !self.settings.has_local(linux::NOFLSH) {
            self.echo.clear();
            self.flush_output_behind(delivered);
            self.flush_input();
        }
        if self.settings.has_input(linux::IXON) {
            self.start();
        }
        if self.settings.has_local(linux::ECHO) {
            self.echo_shown(byte);
            self.commit_echoes();
        } else {
            self.process_echoes();
        }
        true
    }

    /// What a byte does to the line; false if it is one more byte of it.
    fn edit(&mut self, byte: u8) -> bool {
        let extended = self.settings.has_local(linux::IEXTEN);
        let is = |number| self.settings.character(number) == byte;
        if is(linux::VERASE) || is(linux::VKILL) || extended && is(linux::VWERASE) {
            self.erase(byte);
            self.commit_echoes();
        } else if extended && is(linux::VLNEXT) {
            self.begin_literal();
        } else if extended && is(linux::VREPRINT) && self.settings.has_local(linux::ECHO) {
            self.reprint(byte);
        } else if byte == b'\n' {
            if self.settings.has_local(linux::ECHO | linux::ECHONL) {
                self.echo.raw(b'\n');
                self.commit_echoes();
            }
            self.queue.end_line(byte);
        } else if is(linux::VEOF) {
            self.queue.end_line(DISABLED);
        } else if is(linux::VEOL) || extended && is(linux::VEOL2) {
            self.end_line_with(byte);
        } else {
            return false;
        }
        true
    }

    fn end_line_with(&mut self, byte: u8) {
        if self.settings.has_local(linux::ECHO) {
            if !self.queue.has_edited() {
                self.echo.remember_column();
            }
            self.echo_shown(byte);
            self.commit_echoes();
        }
        self.double_mark(byte);
        self.queue.end_line(byte);
    }

    fn begin_literal(&mut self) {
        self.is_literal_next = true;
        if self.settings.has_local(linux::ECHO) {
            self.finish_erasing();
            if self.settings.has_local(linux::ECHOCTL) {
                self.echo.raw(b'^');
                self.echo.raw(b'\x08');
                self.commit_echoes();
            }
        }
    }

    fn reprint(&mut self, byte: u8) {
        self.finish_erasing();
        self.echo_shown(byte);
        self.echo.raw(b'\n');
        let shows = self.settings.has_local(linux::ECHOCTL);
        self.queue.edited().for_each(|byte| self.echo.shown(byte, shows));
        self.commit_echoes();
    }
}
