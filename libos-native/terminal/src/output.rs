//! The way of a byte from the program to the screen.
use crate::Discipline;
use crate::classes::{is_control, to_upper};
use linux_raw_sys::general as linux;

impl Discipline {
    /// Takes bytes that the program writes, and tells how many there was room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.process_echoes();
        if !self.settings.has_output(linux::OPOST) {
            let count = self.output_room().min(bytes.len());
            self.output.extend(&bytes[..count]);
            return count;
        }
        bytes.iter().take_while(|&&byte| self.put_processed(byte)).count()
    }

    /// Puts what `OPOST` makes of a byte; false if there is no room.
    pub(crate) fn put_processed(&mut self, byte: u8) -> bool {
        let room = self.output_room();
        if room == 0 {
            return false;
        }
        match byte {
            b'\n' => return self.put_newline(room),
            b'\r' => return self.put_return(),
            b'\t' => return self.put_tab(room),
            b'\x08' => self.column = self.column.saturating_sub(1),
            byte if !is_control(byte) => return self.put_visible(byte),
            _ => {}
        }
        self.output.push_back(byte);
        true
    }

    fn put_newline(&mut self, room: usize) -> bool {
        if self.settings.has_output(linux::ONLRET) {
            self.column = 0;
        }
        if self.settings.has_output(linux::ONLCR) {
            if room < 2 {
                return false;
            }
            (self.column, self.line_column) = (0, 0);
            self.output.extend(b"\r\n");
            return true;
        }
        self.line_column = self.column;
        self.output.push_back(b'\n');
        true
    }

    fn put_return(&mut self) -> bool {
        if self.settings.has_output(linux::ONOCR) && self.column == 0 {
            return true;
        }
        let turns = self.settings.has_output(linux::OCRNL);
        if !turns || self.settings.has_output(linux::ONLRET) {
            (self.column, self.line_column) = (0, 0);
        }
        self.output.push_back(if turns { b'\n' } else { b'\r' });
        true
    }

    fn put_tab(&mut self, room: usize) -> bool {
        let spaces = 8 - (self.column & 7);
        let expands = self.settings.output & linux::TABDLY == linux::XTABS;
        if expands && room < spaces as usize {
            return false;
        }
        self.column += spaces;
        match expands {
            true => self.output.extend((0..spaces).map(|_| b' ')),
            false => self.output.push_back(b'\t'),
        }
        true
    }

    fn put_visible(&mut self, byte: u8) -> bool {
        let byte = if self.settings.has_output(linux::OLCUC) { to_upper(byte) } else { byte };
        self.column += u32::from(!self.is_continuation(byte));
        self.output.push_back(byte);
        true
    }
}
