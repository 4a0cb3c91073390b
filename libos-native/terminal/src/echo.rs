//! What is to be echoed: decided when a byte comes, shown when there is room and the column is known.
use crate::Discipline;
use crate::classes::is_control;
use alloc::collections::VecDeque;
use linux_raw_sys::general as linux;

/// So much echo is shown before the input that caused it is dealt with.
const WATERMARK: usize = 256;
/// Most operations that wait while output is stopped; the oldest are lost then.
const WAITING_MAX: usize = 4096;

/// A step of an echo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A byte, to be processed like output.
    Byte(u8),
    /// A byte as it is.
    Plain(u8),
    /// A control character, as `^X`.
    Control(u8),
    /// Back over a tab in front of which so many columns were used: since a tab, or since the line began.
    EraseTab { columns: u8, after_tab: bool },
    /// The line begins here.
    RememberColumn,
    /// What was counted as a column was none.
    ColumnBack,
}

impl Step {
    /// Bytes that it takes in Linux's echo buffer, whose watermark decides what a signal throws away.
    const fn weight(self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::EraseTab { .. } => 3,
            _ => 2,
        }
    }
}

/// Steps that wait.
#[derive(Default)]
pub(crate) struct Echo {
    steps: VecDeque<Step>,
    weight: usize,
}

impl Echo {
    pub(crate) fn clear(&mut self) {
        (self.steps, self.weight) = (VecDeque::new(), 0);
    }

    pub(crate) fn push(&mut self, step: Step) {
        if self.steps.len() == WAITING_MAX {
            self.pop();
        }
        self.weight += step.weight();
        self.steps.push_back(step);
    }

    fn first(&self) -> Option<Step> {
        self.steps.front().copied()
    }

    fn pop(&mut self) {
        if let Some(step) = self.steps.pop_front() {
            self.weight -= step.weight();
        }
    }

    /// A byte that is processed like output, 0xFF excepted.
    pub(crate) fn raw(&mut self, byte: u8) {
        self.push(if byte == 0xFF { Step::Plain(byte) } else { Step::Byte(byte) });
    }

    /// A byte, as `^X` if it is a control character and those are shown.
    pub(crate) fn shown(&mut self, byte: u8, shows_control: bool) {
        match shows_control && is_control(byte) && byte != b'\t' {
            true => self.push(Step::Control(byte)),
            false => self.raw(byte),
        }
    }

    pub(crate) fn remember_column(&mut self) {
        self.push(Step::RememberColumn);
    }
}

impl Discipline {
    pub(crate) fn echo_shown(&mut self, byte: u8) {
        let shows = self.settings.has_local(linux::ECHOCTL);
        self.echo.shown(byte, shows);
    }

    /// After each byte: a long echo is shown at once.
    pub(crate) fn commit_echoes(&mut self) {
        if self.echo.weight >= WATERMARK {
            self.process_echoes();
        }
    }

    /// Shows what there is room for.
    pub(crate) fn process_echoes(&mut self) {
        while let Some(step) = self.echo.first() {
            if !self.show(step) {
                return;
            }
            self.echo.pop();
        }
    }

    /// Does one step; false if there is no room.
    fn show(&mut self, step: Step) -> bool {
        let room = self.output_room();
        match step {
            Step::Byte(byte) if self.settings.has_output(linux::OPOST) => {
                return self.put_processed(byte);
            }
            Step::Byte(_) | Step::Plain(_) if room == 0 => return false,
            Step::Byte(byte) => self.output.push_back(byte),
            Step::Plain(byte) => {
                self.output.push_back(byte);
                self.column += 1;
            }
            Step::Control(_) if room < 2 => return false,
            Step::Control(byte) => {
                self.output.extend([b'^', byte ^ 0x40]);
                self.column += 2;
            }
            Step::EraseTab { columns, after_tab } => return self.erase_tab(columns, after_tab),
            Step::RememberColumn => self.line_column = self.column,
            Step::ColumnBack => self.column = self.column.saturating_sub(1),
        }
        true
    }

    fn erase_tab(&mut self, columns: u8, after_tab: bool) -> bool {
        let start = if after_tab { 0 } else { self.line_column };
        let back = 8 - ((u32::from(columns) + start) & 7);
        if self.output_room() < back as usize {
            return false;
        }
        self.output.extend((0..back).map(|_| b'\x08'));
        self.column = self.column.saturating_sub(back);
        true
    }
}
