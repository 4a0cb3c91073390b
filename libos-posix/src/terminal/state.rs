//! One terminal: its state, its lock, who is told of changes.
use super::{Size, devices, session};
use crate::file::waiters::{Waiters, wake};
use crate::sched::{self, WaitError};
use crate::signal::set::SIGWINCH;
use crate::signal::{SignalInfo, send_to_group};
use alloc::collections::VecDeque;
use core::task::Waker;
use serix_chroma::{DeviceNumber, Events};
use serix_terminal::{Discipline, Settings};
use spin::Mutex;

/// Bytes that the master's side may write ahead of what the discipline takes.
const ARRIVING_MAX: usize = 8192;
/// Output that the master's side of a pair has as soon as it is written: Linux's buffer of its reads.
const DELIVERED: usize = 4095;
/// Room with which a terminal counts as writable: no byte becomes more than a tab's spaces.
pub(super) const ROOM_LEAST: usize = 8;

/// Which end of a terminal a description is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The terminal, for programs.
    Program,
    /// Whoever plays the screen and the keyboard.
    Master,
}

/// A terminal.
pub struct Terminal {
    /// The number of its device.
    pub device: DeviceNumber,
    state: Mutex<State>,
}

/// What only a pseudo-terminal has.
pub(super) struct Pair {
    /// Nobody may open the program's side yet (`TIOCSPTLCK`).
    pub(super) is_locked: bool,
    /// The master's reads begin with a byte that says what they are (`TIOCPKT`).
    pub(super) has_packets: bool,
    /// Typed, and not yet taken by the discipline.
    pub(super) arriving: VecDeque<u8>,
}

pub(super) struct State {
    pub(super) discipline: Discipline,
    pub(super) size: Size,
    /// The session whose terminal it is, or 0.
    pub(super) session: u32,
    /// The process group that signals and input go to, or 0.
    pub(super) foreground: u32,
    /// The other side is gone for good.
    pub(super) is_hung_up: bool,
    /// Only the privileged may open it again (`TIOCEXCL`).
    pub(super) is_exclusive: bool,
    /// Descriptions of the program's side, now and ever.
    pub(super) opens: u32,
    pub(super) was_opened: bool,
    /// Owner, group and permissions of the device's node.
    pub(super) owner: (u32, u32),
    pub(super) mode: u32,
    pub(super) pair: Option<Pair>,
    waiters: Waiters,
}

impl Terminal {
    pub(super) fn new(device: DeviceNumber, settings: Settings, is_pair: bool) -> Self {
        let pair = Pair { is_locked: true, has_packets: false, arriving: VecDeque::new() };
        let state = State {
            discipline: Discipline::new(settings, if is_pair { DELIVERED } else { 0 }),
            size: Size::default(),
            session: 0,
            foreground: 0,
            is_hung_up: false,
            is_exclusive: false,
            opens: 0,
            was_opened: false,
            owner: (0, 0),
            mode: 0o620,
            pair: is_pair.then_some(pair),
            waiters: Waiters::new(),
        };
        Self { device, state: Mutex::new(state) }
    }

    /// Looks at the state.
    pub(super) fn look<R>(&self, work: impl FnOnce(&State) -> R) -> R {
        work(&self.state.lock())
    }

    /// Changes the state; then sends the signals that came of it, and wakes who waits.
    pub(super) fn change<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let (answer, signals, group, waiters) = {
            let mut state = self.state.lock();
            let answer = work(&mut state);
            state.take_arriving();
            (answer, state.discipline.take_signals(), state.foreground, state.waiters.take())
        };
        if group != 0 {
            for signal in signals.iter() {
                send_to_group(group, SignalInfo::kernel(signal));
            }
        }
        wake(waiters);
        answer
    }

    /// Answers `condition` now, and has the waker woken when that may change.
    pub(super) fn poll_for<T>(
        &self,
        waker: &Waker,
        condition: impl FnOnce(&State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.state.lock();
        state.waiters.add(waker);
        condition(&state)
    }

    /// Blocks until `condition` holds.
    pub(super) fn wait_for(
        &self,
        deadline_ns: Option<u64>,
        condition: impl Fn(&State) -> bool,
    ) -> Result<(), WaitError> {
        sched::wait_until(deadline_ns, |waker| {
            self.poll_for(waker, |state| condition(state).then_some(()))
        })
    }

    /// A description of the program's side more.
    pub(super) fn open(&self) {
        self.change(|state| {
            state.opens += 1;
            state.was_opened = true;
        });
    }

    /// A description less.
    pub fn close(&self, side: Side) {
        match side {
            Side::Program => self.change(|state| {
                state.opens -= 1;
                state.is_exclusive &= state.opens > 0;
            }),
            Side::Master => {
                self.hang_up();
                devices::remove(self.device);
            }
        }
    }

    /// The other side is gone: end of file for readers, SIGHUP for the session's leader.
    pub(super) fn hang_up(&self) {
        let session = self.change(|state| {
            state.is_hung_up = true;
            state.foreground = 0;
            core::mem::take(&mut state.session)
        });
        if session != 0 {
            session::lost(session);
        }
    }

    /// Its number as programs have it in 32 bits.
    #[must_use]
    pub fn packed_number(&self) -> u32 {
        let DeviceNumber { major, minor } = self.device;
        major << 8 | minor & 0xFF | (minor & !0xFF) << 12
    }

    /// The foreground group, or 0.
    #[must_use]
    pub fn foreground_group(&self) -> u32 {
        self.look(|state| state.foreground)
    }

    /// The size of its window.
    #[must_use]
    pub fn size(&self) -> Size {
        self.look(|state| state.size)
    }

    /// Gives its window a size, and tells the foreground group if that is another one.
    pub fn set_size(&self, size: Size) {
        let group = self.change(|state| {
            let old = core::mem::replace(&mut state.size, size);
            if old == size { 0 } else { state.foreground }
        });
        if group != 0 {
            send_to_group(group, SignalInfo::kernel(SIGWINCH));
        }
    }

    /// Which of `interest`, and of errors and hang-up, hold. A waker is woken when that may have changed.
    pub fn poll(&self, side: Side, interest: Events, waker: Option<&Waker>) -> Events {
        let mut state = self.state.lock();
        if let Some(waker) = waker {
            state.waiters.add(waker);
        }
        let events = match side {
            Side::Program => state.program_events(),
            Side::Master => state.master_events(),
        };
        events & (interest | Events::ERROR | Events::HANG_UP)
    }
}

impl State {
    fn program_events(&self) -> Events {
        if self.is_hung_up {
            return Events::IN | Events::OUT | Events::ERROR | Events::HANG_UP;
        }
        let mut events = Events::empty();
        let least = program::least_of(self.discipline.settings());
        events.set(Events::IN, self.discipline.is_readable(least));
        events.set(Events::OUT, self.discipline.output_room() >= ROOM_LEAST);
        events
    }

    fn master_events(&self) -> Events {
        let has_events = self.packet_events() != 0;
        let mut events = Events::empty();
        events.set(Events::IN, has_events || self.discipline.output_len() > 0);
        events.set(Events::PRIORITY, has_events);
        events.set(Events::OUT, self.arriving_room() > 0);
        events.set(Events::HANG_UP, self.is_abandoned());
        events
    }

    /// No program has it open any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.was_opened && self.opens == 0
    }

    /// Events for the master's side in packet mode.
    pub(super) fn packet_events(&self) -> u8 {
        let has_packets = self.pair.as_ref().is_some_and(|pair| pair.has_packets);
        if has_packets { self.discipline.packet_events().0 } else { 0 }
    }

    pub(super) fn arriving_room(&self) -> usize {
        self.pair.as_ref().map_or(0, |pair| ARRIVING_MAX - pair.arriving.len())
    }

    /// Passes on what was typed, as far as there is room.
    fn take_arriving(&mut self) {
        let Some(pair) = &mut self.pair else { return };
        let bytes = pair.arriving.make_contiguous();
        let taken = self.discipline.receive(bytes);
        pair.arriving.drain(..taken);
    }
}

use super::program;
