//! Arguments: mostly almost right.

use core::sync::atomic::Ordering::SeqCst;
use serix_abi::map::MapFlags;
use serix_abi::token::Rights;
use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::raw::{NOWHERE, call, now_ns};
use serix_kernel_tests::{Random, arena};

use crate::{FRAMES, PLAYERS, SHARED, is_kept, neighbours, own};

/// Slots remembered.
const SLOTS: usize = 64;
/// Frames that the session's own account may get: they do not come back.
const FUNDED_MAX: u64 = 192;
/// Calls of `Grant` for one delegation.
const GRANTS: usize = 100;
/// A short while, in nanoseconds.
const SHORT_NS: u64 = 50_000;
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
    pub(crate) player: usize,
    /// Slots that were made, and by which call, the latest in the place of the oldest.
    slots: [(u64, Call); SLOTS],
    used: usize,
    /// Domain, environment and frames of the player's child.
    child: [u64; 3],
}

/// Frames from unit `first` on go to a domain; the delegation.
pub(crate) fn give_frames(
    player: usize,
    first: u64,
    count: u64,
    domain: u64,
    rights: Rights,
) -> Option<u64> {
    let at = base(player) + SCRATCH;
    let parameters = arena::put_words(at, &[first, count, u64::from(rights.0) | domain << 32]);
    // Another player's delegation gives back what this one has moved so far, and the other way round.
    for _ in 0..GRANTS {
        match call(Call::Grant, &[own(0), parameters, arena::address(at + 64)]) {
            Err(Error::Again) => {}
            other => return other.ok(),
        }
    }
    None
}

/// Whether a call would end what the run stands on: the session's own slots, environments beside the players', and frames that
/// are not the players' and hold the program.
pub(crate) fn is_forbidden(what: Call, values: &[u64; 6]) -> bool {
    let [a, _, c, d, ..] = *values;
    let own_account = [NO_SLOT.into(), own(0)].contains(&a);
    match what {
        Call::Unbind
        | Call::Revoke
        | Call::EnvironmentDestroy
        | Call::SubtreeDestroy
        | Call::DomainDestroy
        | Call::RingDestroy => is_kept(a),
        // What a call answers may go to any page of the players.
        Call::MapRange => d < SHARED.unit.load(SeqCst),
        Call::Fund => {
            c < SHARED.unit.load(SeqCst)
                || own_account && SHARED.funded.load(SeqCst) + d > FUNDED_MAX
        }
        _ => false,
    }
}

impl Arguments {
    pub(crate) fn new(random: Random, player: usize) -> Self {
        Self { random, player, slots: [(0, Call::Null); SLOTS], used: 0, child: [0; 3] }
    }

    /// Remembers a slot that a call made, and frames that are gone.
    pub(crate) fn learn(&mut self, what: Call, values: &[u64; 6], value: u64) {
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
            self.slots[self.used % SLOTS] = (value, what);
            self.used += 1;
        }
        if what == Call::Fund && values[0] == NO_SLOT.into() {
            SHARED.funded.fetch_add(value, SeqCst);
        }
    }

    /// Remembers a slot of the player's child.
    pub(crate) fn know(&mut self, slot: u64) {
        self.child.rotate_left(1);
        self.child[2] = slot;
    }

    /// Forgets the child.
    pub(crate) fn forget_child(&mut self) {
        self.child = [0; 3];
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
            Call::EventWait if self.random.below(8) == 0 => values[2] = now_ns() + SHORT_NS,
            Call::EventWait => values[2] = self.random.of(&[0, 1, 1000]),
            Call::Map | Call::Grant | Call::DispatcherCreate | Call::DispatcherEntries => {
                self.write_structures(what);
            }
            Call::YieldTo => (values[0], values[1]) = self.whom_to_yield_to(),
            // Others than these would run code that is not there, when they are yielded to, started or called through a gate.
            Call::DispatcherStart => match self.random.below(4) {
                0 => {
                    (values[0], values[1]) =
                        (own(1), self.random.below(SHARED.count.load(SeqCst) + 1))
                }
                1 => (values[0], values[1]) = (neighbours::environment(values[1], 0), 0),
                _ => values[1] = 16 + self.random.below(100),
            },
            Call::GateCall if self.random.below(2) == 0 => {
                values[0] = neighbours::gate(self.random.word());
                values[5] = now_ns() + self.random.of(&[0, 1_000, 1_000_000]);
            }
            Call::GateCall => values[5] = 0,
            Call::Revoke if self.random.below(4) == 0 => values[1] = now_ns() + SHORT_NS,
            _ => {}
        }
        values
    }

    /// A dispatcher: the caller's own, one that yields back, another player's, which goes on when the session's first one
    /// sees to it, or none.
    fn whom_to_yield_to(&mut self) -> (u64, u64) {
        let number = self.player as u64 + 1;
        match self.random.below(64) {
            0 => (own(1), self.random.below(SHARED.count.load(SeqCst) + 1)),
            1..=16 => (neighbours::environment(self.random.word(), number), 0),
            17..=40 => (own(1), number),
            _ => (1000 + self.random.below(100), self.random.below(3)),
        }
    }

    fn edge(&mut self) -> u64 {
        if self.random.below(4) == 0 { self.random.word() } else { self.random.of(&EDGES) }
    }

    /// A value for an argument of this name.
    fn named(&mut self, name: &str) -> u64 {
        match name {
            "address" => self.address(),
            "token" => arena::address(tokens(self.player) + 48 * self.random.below(5) as usize),
            "length" => self.random.of(&[48, 48, 80, 176, 0]),
            "requests" | "parameters" => arena::address(base(self.player) + STRUCTURES),
            "count" => self.random.of(&[1, 1, 2, 16, 64, 300]),
            "first" | "unit" => SHARED.unit.load(SeqCst) + self.random.below(FRAMES),
            "flags" => self.flags(),
            "top_slot" | "window_slot" => self.random.of(&[5, 6, 7, 250, 256, u64::from(NO_SLOT)]),
            "writable" | "number" => self.random.below(3),
            "bits" | "mask" => 1 << self.random.below(64),
            "deadline" | "status" => 0,
            "share" => self.random.of(&[0, 0, 1, 16, 1 << 20]),
            _ if self.random.below(2) == 0 => self.fitting(name),
            _ => self.slot(),
        }
    }

    /// A slot of the kind that an argument of this name wants, if there is one.
    fn fitting(&mut self, name: &str) -> u64 {
        let neighbour = neighbours::environment(self.random.word(), 0);
        let (makers, known): (&[Call], [u64; 3]) = match name {
            "frames" => (&[Call::Grant], [own(0), own(0), self.child[2]]),
            "space" | "environment" | "source" | "target" => (
                &[Call::EnvironmentCreate, Call::SubtreeCreate],
                [own(1), neighbour, self.child[1]],
            ),
            "domain" => (&[Call::DomainCreate], [self.child[0], self.child[0], NO_SLOT.into()]),
            "event" => (&[Call::EventCreate], [own(4), own(4), NO_SLOT.into()]),
            "subtree" => (&[Call::SubtreeCreate], [own(2), own(2), NO_SLOT.into()]),
            "delegation" => (&[Call::Grant], [self.child[2]; 3]),
            "ring" => (&[Call::RingCreate], [0; 3]),
            "gate" => (&[Call::GateCreate], [neighbours::gate(0), neighbours::gate(1), 0]),
            "slices" => (&[], [own(5), own(6), own(7)]),
            "console" => (&[], [own(3); 3]),
            _ => return self.slot(),
        };
        let start = self.random.below(SLOTS as u64) as usize;
        let made = (0..SLOTS).map(|step| self.slots[(start + step) % SLOTS]);
        let made = made.into_iter().find(|(_, maker)| makers.contains(maker));
        match made {
            Some((slot, _)) if self.random.below(2) == 0 => slot,
            _ => self.random.of(&known),
        }
    }

    fn slot(&mut self) -> u64 {
        match self.random.below(8) {
            0 => self.random.below(1100),
            1 => NO_SLOT.into(),
            2 => self.random.of(&self.child.clone()),
            3..=4 if self.used > 0 => {
                let known = self.used.min(SLOTS) as u64;
                self.slots[self.random.below(known) as usize].0
            }
            5 => neighbours::environment(self.random.word(), 0),
            _ => own(self.random.below(9) as usize),
        }
    }

    fn address(&mut self) -> u64 {
        match self.random.below(4) {
            0 => self.random.of(&ADDRESSES),
            1 => arena::address(base(self.player) + ANSWERS),
            _ => SHARED.space.load(SeqCst) + self.random.below(FRAMES) * 4096,
        }
    }

    fn flags(&mut self) -> u64 {
        let all = [MapFlags::WRITE, MapFlags::SHARED, MapFlags::COPY, MapFlags::NO_EXECUTE];
        let some = all.map(|flag| if self.random.below(2) == 0 { flag.0 } else { 0 });
        some.iter().fold(0, |set, flag| set | flag)
    }

    /// Puts structures that a call reads into the arena.
    fn write_structures(&mut self, what: Call) {
        let at = base(self.player) + STRUCTURES;
        if what == Call::Map {
            for index in 0..64 {
                let frames = self.slot() & 0xFFFF_FFFF;
                let unit = SHARED.unit.load(SeqCst) + self.random.below(FRAMES);
                let words = [self.address(), self.flags(), frames | unit << 32];
                arena::put_words(at + index * 24, &words);
            }
            return;
        }
        let rights = self.random.below(1 << 11);
        let domain = self.slot() & 0xFFFF_FFFF;
        let first = SHARED.unit.load(SeqCst) + self.random.below(FRAMES);
        let count = self.random.of(&[1, 2, 64]);
        let words = if what == Call::Grant {
            [first, count, rights | domain << 32]
        } else {
            [own(0) | first << 32, self.address(), self.random.of(&ADDRESSES)]
        };
        arena::put_words(at, &[0; 16]);
        arena::put_words(at, &words);
    }
}

/// A player's part of the arena: what one is about to name, another must not change.
const fn base(player: usize) -> usize {
    player * (arena::SIZE / PLAYERS)
}

/// Where genuine tokens are, and after them what `Grant` wrote last.
pub(crate) const fn tokens(player: usize) -> usize {
    base(player)
}

/// Where calls put their answers.
const ANSWERS: usize = 1024;
/// Structures that calls read.
const STRUCTURES: usize = 4096;
/// What [`give_frames`] needs.
const SCRATCH: usize = 8192;
