//! No frame has two owners, whatever is done in whatever order.

use crate::ids::{DomainId, Frame};
use crate::ledger::{Account, FrameKind, FrameWord, Ledger, MemoryRange};

/// One call, with numbers taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Which call.
    pub(crate) call: u8,
    /// The frame.
    pub(crate) frame: u32,
    /// The domain that calls.
    pub(crate) domain: u8,
    /// The domain that receives.
    pub(crate) other: u8,
}

const FRAMES: usize = 16;
const DOMAINS: usize = 3;

/// What a frame's owner and use should be, kept apart from the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Expected {
    owner: DomainId,
    kind: FrameKind,
}

/// A ledger with a plain array beside it that says what should be in it.
struct Bench<'a> {
    ledger: Ledger<'a>,
    accounts: [Account; DOMAINS],
    expected: [Expected; FRAMES],
}

impl Bench<'_> {
    fn take(&mut self, step: Step) {
        let frame = Frame(step.frame % (FRAMES as u32 + 1));
        let index = usize::from(step.domain) % DOMAINS;
        let domain = self.accounts[index].domain();
        let other = self.accounts[usize::from(step.other) % DOMAINS].domain();
        let account = &mut self.accounts[index];
        match step.call % 7 {
            0 => {
                if let Ok(()) = self.ledger.assign(frame, domain) {
                    let free = self.expect(frame, DomainId::NONE, FrameKind::Free);
                    (free.owner, free.kind) = (domain, FrameKind::User);
                }
            }
            1 => {
                if let Ok(()) = self.ledger.give(account, frame) {
                    self.expect(frame, domain, FrameKind::User).kind = FrameKind::Funded;
                }
            }
            call @ 2..=3 => {
                let kind = [FrameKind::PageTable, FrameKind::Object][usize::from(call) - 2];
                if let Some(frame) = self.ledger.take(account, kind) {
                    self.expect(frame, domain, FrameKind::Funded).kind = kind;
                }
            }
            4 => {
                if let Ok(()) = self.ledger.put_back(account, frame) {
                    assert!(self.expected[frame.0 as usize].kind.is_taken());
                    let kind = self.expected[frame.0 as usize].kind;
                    self.expect(frame, domain, kind).kind = FrameKind::Funded;
                }
            }
            5 => {
                if let Some(frame) = self.ledger.withdraw(account) {
                    self.expect(frame, domain, FrameKind::Funded).kind = FrameKind::User;
                }
            }
            _ => {
                if let Ok(()) = self.ledger.transfer(frame, domain, other) {
                    self.expect(frame, domain, FrameKind::User).owner = other;
                }
            }
        }
    }

    /// The frame that a call succeeded with: it must have been the caller's, used so.
    fn expect(&mut self, frame: Frame, owner: DomainId, kind: FrameKind) -> &mut Expected {
        let expected = &mut self.expected[frame.0 as usize];
        assert_eq!(*expected, Expected { owner, kind });
        expected
    }

    fn check(&self) {
        let accounts: [&Account; DOMAINS] = core::array::from_fn(|i| &self.accounts[i]);
        assert_eq!(self.ledger.check(&accounts), 0);
        for (index, expected) in self.expected.iter().enumerate() {
            let word = self.ledger.word(Frame(index as u32)).expect("inside");
            let found = Expected { owner: word.owner(), kind: word.kind() };
            assert_eq!(found, *expected);
        }
    }
}

/// After each of any sequence of calls, each frame is whose it should be, and the invariant walk finds nothing.
pub(crate) fn one_owner(steps: &[Step]) {
    let mut words = [FrameWord::ABSENT; FRAMES];
    let ranges = [
        MemoryRange { base: Frame(1), count: 15, kind: FrameKind::Free },
        MemoryRange { base: Frame(2), count: 1, kind: FrameKind::Kernel },
    ];
    let ledger = Ledger::new(ranges.into_iter(), &mut words);
    let accounts = core::array::from_fn(|i| Account::new(DomainId(i as u32 + 1)));
    let kind = |i| match i {
        0 => FrameKind::Absent,
        2 => FrameKind::Kernel,
        _ => FrameKind::Free,
    };
    let expected = core::array::from_fn(|i| Expected { owner: DomainId::NONE, kind: kind(i) });
    let mut bench = Bench { ledger, accounts, expected };
    for step in steps {
        bench.take(*step);
        bench.check();
    }
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::ledger::LedgerError;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn any_steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (any::<u8>(), any::<u32>(), any::<u8>(), any::<u8>())
            .prop_map(|(call, frame, domain, other)| Step { call, frame, domain, other });
        let assigned = (0..FRAMES as u32, any::<u8>()).prop_map(|(frame, domain)| Step {
            call: 0,
            frame,
            domain,
            other: 0,
        });
        (proptest::collection::vec(assigned, 0..20), proptest::collection::vec(step, 0..200))
            .prop_map(|(first, rest)| [first, rest].concat())
    }

    proptest! {
        #![proptest_config(crate::properties::config())]

        #[test]
        fn any_order(steps in any_steps()) {
            one_owner(&steps);
        }
    }

    const A: DomainId = DomainId(1);
    const B: DomainId = DomainId(2);

    fn with_ledger(test: impl FnOnce(&mut Ledger<'_>)) {
        let mut words = [FrameWord::ABSENT; 100];
        let free = MemoryRange { base: Frame(10), count: 1000, kind: FrameKind::Free };
        let device = MemoryRange { base: Frame(10), count: 2, kind: FrameKind::Device };
        let beyond = MemoryRange { base: Frame(5000), count: u32::MAX, kind: FrameKind::Free };
        test(&mut Ledger::new([device, free, beyond].into_iter(), &mut words));
    }

    #[test]
    fn the_map_is_read_with_use_before_free() {
        with_ledger(|ledger| {
            let kind = |ledger: &Ledger<'_>, frame| ledger.word(Frame(frame)).map(|w| w.kind());
            assert_eq!(kind(ledger, 9), Some(FrameKind::Absent));
            assert_eq!(kind(ledger, 11), Some(FrameKind::Device));
            assert_eq!(kind(ledger, 99), Some(FrameKind::Free));
            assert_eq!(kind(ledger, 100), None);
            assert_eq!(ledger.assign(Frame(11), A), Err(LedgerError::WrongKind));
            assert_eq!(ledger.assign(Frame(14), DomainId::NONE), Err(LedgerError::NotOwner));
            assert_eq!(ledger.assign(Frame(100), A), Err(LedgerError::Absent));
        });
    }

    #[test]
    fn refusals() {
        with_ledger(|ledger| {
            let (mut a, mut b) = (Account::new(A), Account::new(B));
            ledger.assign(Frame(20), A).expect("free");
            assert_eq!(ledger.give(&mut b, Frame(20)), Err(LedgerError::NotOwner));
            assert_eq!(ledger.transfer(Frame(20), A, DomainId::NONE), Err(LedgerError::NotOwner));
            assert_eq!(ledger.give(&mut a, Frame(20)), Ok(()));
            assert_eq!(ledger.give(&mut a, Frame(20)), Err(LedgerError::WrongKind));
            assert!(!ledger.is_mappable_by(Frame(20), A));
            assert_eq!(ledger.take(&mut a, FrameKind::User), None);
            assert_eq!(ledger.take(&mut a, FrameKind::PageTable), Some(Frame(20)));
            assert_eq!(ledger.take(&mut a, FrameKind::PageTable), None);
            assert_eq!(ledger.put_back(&mut b, Frame(20)), Err(LedgerError::NotOwner));
            assert_eq!(ledger.put_back(&mut a, Frame(20)), Ok(()));
            assert_eq!(ledger.put_back(&mut a, Frame(20)), Err(LedgerError::WrongKind));
            assert_eq!(ledger.withdraw(&mut a), Some(Frame(20)));
            assert!(ledger.is_mappable_by(Frame(20), A));
            assert_eq!(ledger.check(&[&a, &b]), 0);
        });
    }

    #[test]
    fn the_walk_finds_what_is_wrong() {
        with_ledger(|ledger| {
            let mut account = Account::new(A);
            for frame in 20..30 {
                ledger.assign(Frame(frame), A).expect("free");
                ledger.give(&mut account, Frame(frame)).expect("at hand");
            }
            assert_eq!(ledger.check(&[&account]), 0);
            assert_eq!(ledger.check(&[&Account::new(A)]), 1, "a lost list");
            assert_eq!(ledger.check(&[&Account::new(B)]), 0, "another domain's is no error");
            let mut walk = crate::ledger::AccountWalk::new(&account);
            assert_eq!(walk.step(ledger, &account, 4), None);
            ledger.take(&mut account, FrameKind::Object).expect("funded");
            assert_eq!(walk.step(ledger, &account, 100), Some(false), "changed meanwhile");
        });
    }
}

/// Harnesses for Kani: four calls, three of them any.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;

    fn any_step() -> Step {
        Step { call: kani::any(), frame: kani::any(), domain: kani::any(), other: kani::any() }
    }

    /// Four calls on a ledger of sixteen frames.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(20))]
    pub fn no_frame_has_two_owners() {
        one_owner(&[Step { call: 0, ..any_step() }, any_step(), any_step(), any_step()]);
    }
}
