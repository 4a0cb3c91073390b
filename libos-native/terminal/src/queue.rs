//! The input that waits to be read, and where its lines end.
use crate::{DISABLED, INPUT_MAX};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A byte, and whether a line ends with it. A line that ends with [`DISABLED`] was ended by `VEOF`, which nobody reads.
#[derive(Clone, Copy)]
struct Cell {
    byte: u8,
    ends_line: bool,
}

/// Input, oldest first. The first `complete` bytes are whole lines, the others are being edited.
#[derive(Default)]
pub(crate) struct Queue {
    cells: VecDeque<Cell>,
    complete: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// Bytes in whole lines.
    pub(crate) fn complete(&self) -> usize {
        self.complete
    }

    /// Bytes in whole lines that somebody will read: `VEOF` is none.
    pub(crate) fn readable(&self) -> usize {
        let whole = self.cells.iter().take(self.complete);
        whole.filter(|cell| !cell.ends_line || cell.byte != DISABLED).count()
    }

    /// Whether something is being edited.
    pub(crate) fn has_edited(&self) -> bool {
        self.cells.len() > self.complete
    }

    /// What is being edited, from `at` on (0 is its first byte).
    pub(crate) fn edited(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        self.cells.iter().skip(self.complete).map(|cell| cell.byte)
    }

    pub(crate) fn push(&mut self, byte: u8) {
        // Whoever pushes has seen that there is room; a marked byte may take its place twice.
        if self.cells.len() < INPUT_MAX {
            self.cells.push_back(Cell { byte, ends_line: false });
        }
    }

    /// Ends the line with `byte`.
    pub(crate) fn end_line(&mut self, byte: u8) {
        if self.cells.len() == INPUT_MAX {
            self.cells.pop_back();
        }
        self.cells.push_back(Cell { byte, ends_line: true });
        self.complete = self.cells.len();
    }

    /// Removes the last byte that is being edited.
    pub(crate) fn pop_edited(&mut self) -> Option<u8> {
        if !self.has_edited() {
            return None;
        }
        self.cells.pop_back().map(|cell| cell.byte)
    }

    pub(crate) fn drop_edited(&mut self) {
        self.cells.truncate(self.complete);
    }

    pub(crate) fn clear(&mut self) {
        (self.cells, self.complete) = (VecDeque::new(), 0);
    }

    /// Lines begin to count: what is there is one.
    pub(crate) fn begin_lines(&mut self) {
        self.end_lines();
        if let Some(last) = self.cells.back_mut() {
            last.ends_line = true;
            self.complete = self.cells.len();
        }
    }

    /// Lines count no longer.
    pub(crate) fn end_lines(&mut self) {
        self.cells.iter_mut().for_each(|cell| cell.ends_line = false);
        self.complete = 0;
    }

    /// Takes bytes whether or not they are lines.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<u8> {
        let count = limit.min(self.cells.len());
        self.complete = self.complete.saturating_sub(count);
        self.cells.drain(..count).map(|cell| cell.byte).collect()
    }

    /// Takes a line, or so much of it as `limit` allows. An empty answer is an end of file.
    pub(crate) fn take_line(&mut self, limit: usize) -> Vec<u8> {
        let count = limit.min(self.complete);
        let end = self.cells.iter().take(count).position(|cell| cell.ends_line);
        let mut bytes = self.take(end.map_or(count, |at| at + 1));
        match end {
            Some(_) if bytes.last() == Some(&DISABLED) => {
                bytes.pop();
            }
            Some(_) => {}
            None => self.skip_end_of_file(),
        }
        bytes
    }

    /// A full buffer right before `VEOF` is no reason to report an end of file next time.
    fn skip_end_of_file(&mut self) {
        let next = self.cells.front().filter(|_| self.complete > 0);
        if next.is_some_and(|cell| cell.ends_line && cell.byte == DISABLED) {
            self.take(1);
        }
    }
}
