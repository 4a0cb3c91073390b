//! The state of a terminal, and everything but the way of a byte.
use crate::echo::Echo;
use crate::queue::Queue;
use crate::{DISABLED, INPUT_MAX, OUTPUT_MAX, Settings};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Signals that the foreground group is to get, all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(pub(crate) u8);

impl Signals {
    pub(crate) const ALL: [u32; 3] = [linux::SIGINT, linux::SIGQUIT, linux::SIGTSTP];

    pub(crate) fn add(&mut self, signal: u32) {
        let place = Self::ALL.iter().position(|&other| other == signal);
        self.0 |= place.map_or(0, |place| 1 << place);
    }

    /// The numbers.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        Self::ALL
            .into_iter()
            .enumerate()
            .filter(move |(at, _)| self.0 & 1 << at != 0)
            .map(|(_, s)| s)
    }
}

/// Events that the other side of a pair reads in packet mode (`TIOCPKT_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketEvents(pub u8);

impl PacketEvents {
    /// Input was thrown away.
    pub const FLUSH_READ: u8 = 1;
    /// Output was thrown away.
    pub const FLUSH_WRITE: u8 = 2;
    /// Output stopped.
    pub const STOP: u8 = 4;
    /// Output goes on.
    pub const START: u8 = 8;
    /// `^S` and `^Q` are not flow control any more.
    pub const NO_STOP: u8 = 16;
    /// They are.
    pub const DO_STOP: u8 = 32;

    /// Adds one, which takes the place of its contrary.
    pub fn add(&mut self, event: u8) {
        let contrary = match event {
            Self::STOP => Self::START,
            Self::START => Self::STOP,
            Self::NO_STOP => Self::DO_STOP,
            Self::DO_STOP => Self::NO_STOP,
            _ => 0,
        };
        self.0 = self.0 & !contrary | event;
    }
}

/// A terminal without anybody at its ends.
pub struct Discipline {
    pub(crate) settings: Settings,
    /// So much output counts as taken by the other side as soon as the call is over that made it.
    pub(crate) delivered_max: usize,
    /// Bytes that are looked at; the others are data whatever they are.
    pub(crate) special: [bool; 256],
    /// No byte is looked at, none is echoed.
    pub(crate) is_raw: bool,
    pub(crate) queue: Queue,
    pub(crate) output: VecDeque<u8>,
    pub(crate) echo: Echo,
    /// Where the cursor is, as far as that can be known.
    pub(crate) column: u32,
    /// Where it was when the line began.
    pub(crate) line_column: u32,
    /// Erased characters are being shown between `\` and `/`.
    pub(crate) is_erasing: bool,
    /// The next byte is data, whatever it is.
    pub(crate) is_literal_next: bool,
    /// Output is stopped by `VSTOP`, or by the program.
    pub(crate) is_stopped: bool,
    /// By the program; `VSTART` does not end it.
    is_stopped_by_program: bool,
    pub(crate) signals: Signals,
    pub(crate) packet: PacketEvents,
}

impl Discipline {
    /// A terminal with these settings. The first `delivered_max` bytes of output that the other side did not take count
    /// as taken once the call is over that made them: no flush undoes them.
    #[must_use]
    pub fn new(settings: Settings, delivered_max: usize) -> Self {
        let mut discipline = Self {
            settings,
            delivered_max,
            special: [false; 256],
            is_raw: false,
            queue: Queue::default(),
            output: VecDeque::new(),
            echo: Echo::default(),
            column: 0,
            line_column: 0,
            is_erasing: false,
            is_literal_next: false,
            is_stopped: false,
            is_stopped_by_program: false,
            signals: Signals::default(),
            packet: PacketEvents::default(),
        };
        discipline.find_special();
        discipline
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether input is read in lines.
    #[must_use]
    pub const fn is_canonical(&self) -> bool {
        self.settings.has_local(linux::ICANON)
    }

    /// Sets the settings.
    pub fn set(&mut self, settings: Settings) {
        let old = core::mem::replace(&mut self.settings, settings);
        if (old.local ^ settings.local) & linux::ICANON != 0 {
            match self.is_canonical() {
                true => self.queue.begin_lines(),
                false => self.queue.end_lines(),
            }
            (self.is_erasing, self.is_literal_next) = (false, false);
        }
        self.find_special();
        if old.has_usual_flow() != settings.has_usual_flow() {
            let event = match settings.has_usual_flow() {
                true => PacketEvents::DO_STOP,
                false => PacketEvents::NO_STOP,
            };
            self.packet.add(event);
        }
        if old.has_input(linux::IXON) && !settings.has_input(linux::IXON) {
            self.start();
            self.process_echoes();
        }
    }

    fn find_special(&mut self) {
        const LOOKS: u32 = linux::ISTRIP
            | linux::IUCLC
            | linux::IGNCR
            | linux::ICRNL
            | linux::INLCR
            | linux::IXON
            | linux::PARMRK;
        let settings = self.settings;
        self.special = [false; 256];
        self.is_raw = settings.input & LOOKS == 0
            && settings.local & (linux::ICANON | linux::ISIG | linux::ECHO) == 0;
        if self.is_raw {
            return;
        }
        let mut mark = |condition: bool, numbers: &[u32]| {
            for &number in numbers.iter().filter(|_| condition) {
                self.special[usize::from(settings.character(number))] = true;
            }
        };
        let (canonical, extended) =
            (settings.has_local(linux::ICANON), settings.has_local(linux::IEXTEN));
        mark(canonical, &[linux::VERASE, linux::VKILL, linux::VEOF, linux::VEOL]);
        mark(canonical && extended, &[linux::VWERASE, linux::VLNEXT, linux::VEOL2]);
        let reprints = canonical && extended && settings.has_local(linux::ECHO);
        mark(reprints, &[linux::VREPRINT]);
        mark(settings.has_input(linux::IXON), &[linux::VSTART, linux::VSTOP]);
        mark(settings.has_local(linux::ISIG), &[linux::VINTR, linux::VQUIT, linux::VSUSP]);
        self.special[usize::from(b'\r')] |= settings.input & (linux::IGNCR | linux::ICRNL) != 0;
        self.special[usize::from(b'\n')] |= canonical || settings.has_input(linux::INLCR);
        self.special[usize::from(DISABLED)] = false;
    }

    /// Whether a read gets at least `least` bytes, or in canonical mode a line.
    #[must_use]
    pub fn is_readable(&self, least: usize) -> bool {
        match self.is_canonical() {
            true => self.queue.complete() > 0,
            false => self.queue.len() >= least.max(1),
        }
    }

    /// Bytes that a read could get (`FIONREAD`).
    #[must_use]
    pub fn readable_len(&self) -> usize {
        if self.is_canonical() { self.queue.readable() } else { self.queue.len() }
    }

    /// What a read gets: a line in canonical mode (empty at an end of file), else what is there.
    pub fn read(&mut self, limit: usize) -> Vec<u8> {
        match self.is_canonical() {
            true => self.queue.take_line(limit),
            false => self.queue.take(limit),
        }
    }

    /// Room for input; [`Self::receive`] takes at least one byte if it is not zero.
    #[must_use]
    pub fn input_room(&self) -> usize {
        let free = INPUT_MAX - self.queue.len();
        let marked = self.settings.has_input(linux::PARMRK);
        let room = if marked { free.div_ceil(3) } else { free }.saturating_sub(1);
        // A line without an end may still be erased, so more of it is looked at, and dropped.
        let is_editing = self.is_canonical() && self.queue.complete() == 0;
        if room == 0 { usize::from(is_editing) } else { room }
    }

    /// Bytes for the other side to take; none while output is stopped.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// Room for output.
    #[must_use]
    pub fn output_room(&self) -> usize {
        if self.is_stopped { 0 } else { OUTPUT_MAX - self.output.len() }
    }

    /// Takes output for the other side.
    pub fn take_output(&mut self, limit: usize) -> Vec<u8> {
        let count = limit.min(self.output.len());
        let bytes = self.output.drain(..count).collect();
        self.process_echoes();
        bytes
    }

    /// Throws away input that was not read.
    pub fn flush_input(&mut self) {
        self.queue.clear();
        self.is_erasing = false;
        self.packet.add(PacketEvents::FLUSH_READ);
    }

    /// Throws away output that the other side did not take.
    pub fn flush_output(&mut self) {
        self.flush_output_behind(self.delivered_max);
    }

    /// Throws away output but for the first bytes.
    pub(crate) fn flush_output_behind(&mut self, kept: usize) {
        self.output.truncate(kept);
        self.packet.add(PacketEvents::FLUSH_WRITE);
    }

    /// Stops output for the program (`TCOOFF`).
    pub fn stop_by_program(&mut self) {
        self.is_stopped_by_program = true;
        self.stop();
    }

    /// Lets output go on for the program (`TCOON`).
    pub fn start_by_program(&mut self) {
        self.is_stopped_by_program = false;
        self.start();
        self.process_echoes();
    }

    /// Tells the other side to stop or to go on, by the characters for it (`TCIOFF`, `TCION`).
    pub fn send_flow(&mut self, go_on: bool) {
        let number = if go_on { linux::VSTART } else { linux::VSTOP };
        let byte = self.settings.character(number);
        if byte != DISABLED && self.output.len() < OUTPUT_MAX {
            self.output.push_back(byte);
        }
    }

    pub(crate) fn stop(&mut self) {
        if !self.is_stopped {
            self.is_stopped = true;
            self.packet.add(PacketEvents::STOP);
        }
    }

    /// Lets output go on; the echo that waits is shown by whoever asks for it next.
    pub(crate) fn start(&mut self) {
        if self.is_stopped && !self.is_stopped_by_program {
            self.is_stopped = false;
            self.packet.add(PacketEvents::START);
        }
    }

    /// Whether any byte starts stopped output.
    pub(crate) fn starts_by_any(&self) -> bool {
        let both = linux::IXON | linux::IXANY;
        self.is_stopped && !self.is_stopped_by_program && self.settings.input & both == both
    }

    /// The signals since the last time.
    pub fn take_signals(&mut self) -> Signals {
        core::mem::take(&mut self.signals)
    }

    /// What packet mode reports, and has not reported.
    #[must_use]
    pub const fn packet_events(&self) -> PacketEvents {
        self.packet
    }

    /// Forgets the events of packet mode.
    pub fn clear_packet_events(&mut self) {
        self.packet = PacketEvents::default();
    }
}
