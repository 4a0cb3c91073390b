//! Erasing what is being edited: a character, a word, the line.
use crate::Discipline;
use crate::classes::{is_control, is_word};
use crate::echo::Step;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Character,
    Word,
    Line,
}

impl Discipline {
    /// A later byte of a character of UTF-8.
    pub(crate) const fn is_continuation(&self, byte: u8) -> bool {
        self.settings.has_input(linux::IUTF8) && byte & 0xC0 == 0x80
    }

    /// Ends the `\…/` around what was erased.
    pub(crate) fn finish_erasing(&mut self) {
        if core::mem::take(&mut self.is_erasing) {
            self.echo.raw(b'/');
        }
    }

    /// `VERASE`, `VWERASE` or `VKILL` came.
    pub(crate) fn erase(&mut self, byte: u8) {
        if !self.queue.has_edited() {
            return;
        }
        let extent = if byte == self.settings.character(linux::VERASE) {
            Extent::Character
        } else if byte == self.settings.character(linux::VWERASE) {
            Extent::Word
        } else if self.kill_line() {
            return;
        } else {
            Extent::Line
        };
        self.erase_extent(extent);
        if !self.queue.has_edited() && self.settings.has_local(linux::ECHO) {
            self.finish_erasing();
        }
    }

    /// Drops the line without showing how; false if it is to be shown byte by byte.
    fn kill_line(&mut self) -> bool {
        let local = self.settings.local;
        let shown = linux::ECHOK | linux::ECHOKE | linux::ECHOE;
        if local & linux::ECHO != 0 && local & shown == shown {
            return false;
        }
        self.queue.drop_edited();
        if local & linux::ECHO != 0 {
            self.finish_erasing();
            self.echo_shown(self.settings.character(linux::VKILL));
            if local & linux::ECHOK != 0 {
                self.echo.raw(b'\n');
            }
        }
        true
    }

    fn erase_extent(&mut self, extent: Extent) {
        let mut seen_word = false;
        while let Some(character) = self.last_character() {
            let first = character[0];
            if self.is_continuation(first) {
                // A part of a character is left alone.
                return;
            }
            if extent == Extent::Word {
                match is_word(first) {
                    true => seen_word = true,
                    false if seen_word => return,
                    false => {}
                }
            }
            for _ in &character {
                self.queue.pop_edited();
            }
            if self.settings.has_local(linux::ECHO) {
                self.echo_erased(extent, &character);
            }
            if extent == Extent::Character {
                return;
            }
        }
    }

    /// The bytes of the last character that is being edited.
    fn last_character(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for byte in self.queue.edited().rev() {
            bytes.push(byte);
            if !self.is_continuation(byte) {
                break;
            }
        }
        bytes.reverse();
        (!bytes.is_empty()).then_some(bytes)
    }

    fn echo_erased(&mut self, extent: Extent, character: &[u8]) {
        let first = character[0];
        if self.settings.has_local(linux::ECHOPRT) {
            self.print_erased(character);
        } else if extent == Extent::Character && !self.settings.has_local(linux::ECHOE) {
            self.echo_shown(self.settings.character(linux::VERASE));
        } else if first == b'\t' {
            let (columns, after_tab) = self.columns_before_tab();
            self.echo.push(Step::EraseTab { columns, after_tab });
        } else {
            let shows_control = self.settings.has_local(linux::ECHOCTL);
            let width = match is_control(first) {
                true if shows_control => 2,
                true => 0,
                false => 1,
            };
            for _ in 0..width {
                b"\x08 \x08".iter().for_each(|&byte| self.echo.raw(byte));
            }
        }
    }

    fn print_erased(&mut self, character: &[u8]) {
        if !core::mem::replace(&mut self.is_erasing, true) {
            self.echo.raw(b'\\');
        }
        self.echo_shown(character[0]);
        for &byte in &character[1..] {
            self.echo.raw(byte);
            self.echo.push(Step::ColumnBack);
        }
    }

    /// Columns used in front of a tab that was just erased, modulo 8, and whether another tab is in front of them.
    fn columns_before_tab(&self) -> (u8, bool) {
        let shows_control = self.settings.has_local(linux::ECHOCTL);
        let mut columns = 0u32;
        for byte in self.queue.edited().rev() {
            if byte == b'\t' {
                return ((columns & 7) as u8, true);
            }
            columns += match byte {
                byte if is_control(byte) => 2 * u32::from(shows_control),
                byte => u32::from(!self.is_continuation(byte)),
            };
        }
        ((columns & 7) as u8, false)
    }
}
