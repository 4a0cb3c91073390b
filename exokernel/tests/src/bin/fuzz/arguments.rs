//! Arguments: mostly almost right.

use serix_abi::map::MapFlags;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::raw::NOWHERE;
use serix_kernel_tests::{Random, Session, arena};

/// Slots remembered.
const SLOTS: usize = 64;
/// Frames that the fuzzer plays with.
const FRAMES: u64 = 512;
/// Numbers at the edges of things.
const EDGES: [u64; 18] = [
    0,
    1,
    2,
    7,
    63,
    64,
    65,
    255,
    256,
    511,
    512,
    4095,
    4096,
    1 << 31,
    1 << 32,
    1 << 47,
    1 << 63,
    u64::MAX,
];
/// Addresses of all kinds.
const ADDRESSES: [u64; 10] = [
    0,
    0x1000,
    0x1001,
    NOWHERE,
    0x20_0100_0000,
    0x7FFF_FFFF_E000,
    0x7FFF_FFFF_F000,
    0x8000_0000_0000,
    0xFFFF_8000_0000_0000,
    0xFFFF_FFFF_FFFF_F000,
];

/// Where arguments come from.
pub(crate) struct Arguments {
    pub(crate) random: Random,
    slots: [u64; SLOTS],
    used: usize,
    own: [u64; 5],
    unit: u64,
    space: u64,
}

impl Arguments {
    pub(crate) fn new(random: Random, session: &mut Session) -> Result<Self, Error> {
        let unit = session.take_frames(FRAMES);
        let space = session.take_addresses(FRAMES);
        let own = [session.frames, session.environment, session.memory, session.log]
            .map(|slot| u64::from(slot.0));
        let slices = session.slices.map_or(own[0], |slot| slot.0.into());
        let own = [own[0], own[1], own[2], own[3], slices];
        let purposes = [
            serix_session::Purpose::Frames,
            serix_session::Purpose::Log,
            serix_session::Purpose::Environment,
            serix_session::Purpose::SessionMemory,
        ];
        for (index, purpose) in purposes.into_iter().enumerate() {
            let token = session.token(purpose).ok_or(Error::BadToken)?;
            arena::put(TOKENS + index * 48, &token);
        }
        Ok(Self { random, slots: [0; SLOTS], used: 0, own, unit, space })
    }

    /// Remembers a slot that a call made.
    pub(crate) fn learn(&mut self, what: Call, value: u64) {
        let makes = [
            Call::Bind,
            Call::Grant,
            Call::SubtreeCreate,
            Call::EnvironmentCreate,
            Call::DomainCreate,
            Call::EventCreate,
            Call::RingCreate,
            Call::GateCreate,
        ];
        if makes.contains(&what) {
            self.slots[self.used % SLOTS] = value;
            self.used += 1;
        }
    }

    /// Six arguments for a call.
    pub(crate) fn of(&mut self, what: Call) -> [u64; 6] {
        let (_, names) = what.signature();
        let mut values = [0; 6];
        for (place, name) in values.iter_mut().zip(names) {
            *place = if self.random.below(16) == 0 { self.edge() } else { self.named(name) };
        }
        match what {
            // The log is for people: nothing random is written to it.
            Call::Write => values[2] = self.random.of(&[0, 4097, 1 << 32, u64::MAX]),
            Call::EventWait => values[2] = self.random.of(&[0, 1, 1000]),
            Call::Map | Call::Grant | Call::DispatcherCreate | Call::DispatcherEntries => {
                self.write_structures(what);
            }
            // Only to itself: another environment would run code that is not there.
            // So would its other dispatchers, when they are yielded to, started, or called through a gate.
            Call::YieldTo if self.random.below(2) == 0 => {
                (values[0], values[1]) = (self.own[1], 0);
            }
            Call::YieldTo => values[0] = 1000 + self.random.below(100),
            Call::DispatcherStart => values[1] = 16 + self.random.below(100),
            Call::GateCall => values[5] = 0,
            Call::Yield => {}
            _ => {}
        }
        values
    }

    fn edge(&mut self) -> u64 {
        if self.random.below(4) == 0 { self.random.word() } else { self.random.of(&EDGES) }
    }

    /// A value for an argument of this name.
    fn named(&mut self, name: &str) -> u64 {
        match name {
            "address" => self.address(),
            "token" => arena::address(TOKENS + 48 * self.random.below(5) as usize),
            "length" => self.random.of(&[48, 48, 80, 176, 0]),
            "requests" | "parameters" => arena::address(STRUCTURES),
            "count" => self.random.of(&[1, 1, 2, 16, 64, 300]),
            "first" | "unit" => self.unit + self.random.below(FRAMES),
            "flags" => self.flags(),
            "top_slot" | "window_slot" => self.random.of(&[5, 6, 7, 250, 256, u64::from(NO_SLOT)]),
            "writable" | "number" => self.random.below(3),
            "bits" | "mask" => 1 << self.random.below(64),
            "deadline" | "status" => 0,
            _ => self.slot(),
        }
    }

    fn slot(&mut self) -> u64 {
        match self.random.below(8) {
            0 => self.random.below(1100),
            1 => NO_SLOT.into(),
            2..=4 if self.used > 0 => {
                let known = self.used.min(SLOTS) as u64;
                self.slots[self.random.below(known) as usize]
            }
            _ => self.random.of(&self.own.clone()),
        }
    }

    fn address(&mut self) -> u64 {
        match self.random.below(4) {
            0 => self.random.of(&ADDRESSES),
            1 => arena::address(ANSWERS),
            _ => self.space + self.random.below(FRAMES) * 4096,
        }
    }

    fn flags(&mut self) -> u64 {
        let all = [MapFlags::WRITE, MapFlags::SHARED, MapFlags::COPY, MapFlags::NO_EXECUTE];
        let some = all.map(|flag| if self.random.below(2) == 0 { flag.0 } else { 0 });
        some.iter().fold(0, |set, flag| set | flag)
    }

    /// Puts structures that a call reads into the arena.
    fn write_structures(&mut self, what: Call) {
        if what == Call::Map {
            for index in 0..64 {
                let frames = self.slot() & 0xFFFF_FFFF;
                let unit = self.unit + self.random.below(FRAMES);
                let words = [self.address(), self.flags(), frames | unit << 32];
                arena::put_words(STRUCTURES + index * 24, &words);
            }
            return;
        }
        let rights = self.random.below(1 << 11);
        let domain = self.slot() & 0xFFFF_FFFF;
        let first = self.unit + self.random.below(FRAMES);
        let count = self.random.of(&[1, 2, 64]);
        let words = if what == Call::Grant {
            [first, count, rights | domain << 32]
        } else {
            [self.own[0] | first << 32, self.address(), self.random.of(&ADDRESSES)]
        };
        arena::put_words(STRUCTURES, &[0; 16]);
        arena::put_words(STRUCTURES, &words);
    }
}

/// Genuine tokens, and after them what `Grant` wrote last.
const TOKENS: usize = 0;
/// Where calls put their answers.
const ANSWERS: usize = 1024;
/// Structures that calls read.
const STRUCTURES: usize = 4096;
