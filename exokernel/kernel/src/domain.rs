//! Domains: the unit of protection and authority, and the frames that pay for what the kernel keeps for them.
use crate::capability::{Granting, NodeChunk, Record, Revocation, Slots};
use crate::object::Table;
use serix_abi::Error;
use serix_abi::start::EndReason;
use serix_abi::token::Kind;
use serix_core::binding::BindingTable;
use serix_core::ids::Frame;
use serix_core::ledger::{Account, FrameKind, Ledger};
use serix_core::{DomainId, NodeId};
use serix_hal::FrameNumber;
use serix_hal::cpu::local::MAX_CORES;
use serix_hal::memory::frames::{FrameTable, OwnedFrame};
use serix_hal::memory::paging::TableSource;

/// Bits of a [`DomainId`] that are the index in the table, plus one. The others count reuse, so that no id is given twice.
const INDEX_BITS: u32 = 13;
/// Most domains at once.
pub(crate) const MAX_DOMAINS: u32 = (1 << INDEX_BITS) - 1;
/// Gates of one domain.
pub(crate) const MAX_GATES: usize = 16;
/// Node chunks that one domain can pay for.
pub(crate) const MAX_NODE_CHUNKS: usize = 64;

const _: () = assert!(MAX_CORES == u32::BITS as usize);

/// Whether a domain runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It may run.
    Running,
    /// It ended; its creator has not destroyed it yet.
    Ended(EndReason, u32),
}

/// Bits of an event to set later, if it is still the same event then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal {
    pub(crate) event: u32,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    pub(crate) bits: u64,
}

/// Room for a count of each kind of object.
const KINDS: usize = Kind::Ring as usize + 1;

/// A question that a domain was put: to let go of a delegation.
pub(crate) struct Asking {
    /// The delegation, by the generation that it was made with.
    pub(crate) generation: u64,
    /// When it is over.
    pub(crate) deadline: u64,
    /// Whom to tell that it did.
    pub(crate) answer: Option<Signal>,
    /// It did.
    pub(crate) answered: bool,
    /// The upcall has still to be made.
    pub(crate) upcall_due: bool,
}

/// A domain.
pub(crate) struct Domain {
    pub(crate) id: DomainId,
    pub(crate) state: State,
    /// Frames that it handed over for the kernel's use.
    pub(crate) account: Account,
    /// Binding table.
    pub(crate) table: BindingTable,
    pub(crate) slots: Slots,
    /// Grant nodes it paid for: indices of chunks.
    pub(crate) node_chunks: [u32; MAX_NODE_CHUNKS],
    pub(crate) node_chunk_count: usize,
    /// Whom to tell when it ends.
    pub(crate) end_signal: Option<Signal>,
    /// A delegation whose frames are changing owner step by step.
    pub(crate) granting: Option<Granting>,
    /// The dispatcher that gets its slices, by core.
    pub(crate) current: [Option<u32>; MAX_CORES],
    /// Cores on which it has slices, a bit each.
    pub(crate) cores: u32,
    /// Dispatchers that can run while others are current: first and last.
    pub(crate) ready: Option<(u32, u32)>,
    /// The revocation of its own that is under way.
    pub(crate) revocation: Option<Revocation>,
    /// What it is asked to give back.
    pub(crate) asking: Option<Asking>,
    /// Where it is told so.
    pub(crate) record: Option<Record>,
    /// Disks in whose queue it has a ring, a bit each.
    pub(crate) waits_at: u32,
    /// Objects that it and the domains it makes can have.
    pub(crate) share: u32,
    /// How many of them are still to be made.
    pub(crate) left: u32,
    /// Objects that it has, by kind.
    pub(crate) objects: [u32; KINDS],
    /// Where to look for the next of them.
    pub(crate) scan: u32,
    /// The youngest of the domains that end before it, when it ends.
    pub(crate) descent: Option<u32>,
    /// Its gates.
    pub(crate) gates: [Option<u32>; MAX_GATES],
    /// Its delegation-made grant node, which dies with it.
    pub(crate) node: NodeId,
}

impl Domain {
    pub(crate) fn new(id: DomainId, node: NodeId, end_signal: Option<Signal>, share: u32) -> Self {
        Self {
            id,
            state: State::Running,
            account: Account::new(id),
            table: BindingTable::new(),
            slots: Slots::new(),
            node_chunks: [0; MAX_NODE_CHUNKS],
            node_chunk_count: 0,
            end_signal,
            granting: None,
            current: [None; MAX_CORES],
            cores: 0,
            ready: None,
            gates: [None; MAX_GATES],
            revocation: None,
            asking: None,
            record: None,
            waits_at: 0,
            share,
            left: share,
            objects: [0; KINDS],
            scan: 0,
            descent: None,
            node,
        }
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&self) -> bool {
        self.state == State::Running
    }

    /// Whether it gets slices of a core. One that has none anywhere waits wherever it is.
    pub(crate) fn may_run_on(&self, core: usize) -> bool {
        self.cores == 0 || self.cores & 1 << core != 0
    }

    /// Whether none of its dispatchers can run.
    pub(crate) fn is_blocked(&self) -> bool {
        self.ready.is_none() && self.current.iter().all(Option::is_none)
    }
}

/// Frames, their owners, domains and grant nodes: what every resource stands on.
pub(crate) struct Resources {
    pub(crate) frames: FrameTable,
    pub(crate) ledger: Ledger<'static>,
    pub(crate) domains: Table<Domain>,
    pub(crate) node_chunks: Table<NodeChunk>,
    /// Counts changes of grant nodes, from 1 on: look-ups of bindings that were made before one are made anew.
    pub(crate) changes: u64,
    /// How often each index of `domains` was used.
    pub(crate) reuse: alloc::vec::Vec<u32>,
}

impl Resources {
    /// The id that a domain at `index` gets next; `None` after half a million reuses.
    pub(crate) fn next_id(&self, index: u32) -> Option<DomainId> {
        let reuse = self.reuse[index as usize];
        (reuse < 1 << (32 - INDEX_BITS)).then(|| DomainId(reuse << INDEX_BITS | (index + 1)))
    }

    /// Enters a domain with the id that [`Self::next_id`] gave, which is used up with it.
    pub(crate) fn insert_domain(&mut self, frame: OwnedFrame, domain: Domain) -> u32 {
        let index = self.domains.insert(frame, domain);
        const { assert!(size_of::<Domain>() <= 4096) };
        self.reuse[index as usize] += 1;
        index
    }

    /// Index of a domain that exists.
    #[inline]
    pub(crate) fn index_of(&self, id: DomainId) -> Option<u32> {
        let index = (id.0 & MAX_DOMAINS).checked_sub(1)?;
        (self.domains.get(index)?.id == id).then_some(index)
    }

    /// Where a frame has its entries in frame table and ledger: RAM's at its number, a device's behind them. What is neither is past
    /// the end of both.
    pub(crate) fn place(&self, kind: Kind, unit: u64) -> FrameNumber {
        let frame = FrameNumber(u32::try_from(unit).unwrap_or(u32::MAX));
        match kind {
            Kind::DeviceFrames => self.frames.place_of(frame).unwrap_or(FrameNumber(u32::MAX)),
            _ => frame,
        }
    }

    /// A frame of a domain's account, claimed for an object of the domain's share.
    pub(crate) fn take_object(&mut self, domain: u32) -> Result<OwnedFrame, Error> {
        let owner = self.domains.get_mut(domain).ok_or(Error::Dead)?;
        let left = owner.left.checked_sub(1).ok_or(Error::TableFull)?;
        let frame = self.ledger.take(&mut owner.account, FrameKind::Object);
        let frame = frame.ok_or(Error::NoFrames)?;
        owner.left = left;
        self.frames.claim(FrameNumber(frame.0)).ok_or(Error::NoFrames)
    }

    /// Takes a share for a new domain out of its maker's: so many objects, or, for zero, a sixteenth.
    pub(crate) fn take_share(&mut self, maker: u32, wanted: u32) -> Result<u32, Error> {
        let maker = self.domains.get_mut(maker).ok_or(Error::Dead)?;
        let share = if wanted == 0 { maker.left / 16 } else { wanted };
        maker.left = maker.left.checked_sub(share).ok_or(Error::TableFull)?;
        Ok(share)
    }

    /// Gives an object's frame back to the account, and the object to the share.
    pub(crate) fn put_object(&mut self, domain: u32, frame: OwnedFrame) {
        let number = frame.number();
        self.frames.release(frame);
        if let Some(owner) = self.domains.get_mut(domain) {
            owner.left += 1;
        }
        if let Some(mut source) = self.source(domain) {
            source.put_back(number);
        }
    }

    /// A domain's account as a source of page tables.
    pub(crate) fn source(&mut self, domain: u32) -> Option<AccountSource<'_>> {
        let account = &mut self.domains.get_mut(domain)?.account;
        Some(AccountSource { account, ledger: &mut self.ledger })
    }

    /// The frame table, and the account of a domain as a source of page tables, at once.
    pub(crate) fn tables(&mut self, domain: u32) -> Option<(&mut FrameTable, AccountSource<'_>)> {
        let account = &mut self.domains.get_mut(domain)?.account;
        Some((&mut self.frames, AccountSource { account, ledger: &mut self.ledger }))
    }
}

/// An account, as page tables are paid from it.
pub(crate) struct AccountSource<'a> {
    account: &'a mut Account,
    ledger: &'a mut Ledger<'static>,
}

impl TableSource for AccountSource<'_> {
    fn take(&mut self) -> Option<FrameNumber> {
        self.ledger.take(self.account, FrameKind::PageTable).map(|frame| FrameNumber(frame.0))
    }

    fn put_back(&mut self, frame: FrameNumber) {
        let kept = self.ledger.put_back(self.account, Frame(frame.0));
        debug_assert!(kept.is_ok(), "a frame that was not taken from this account");
    }
}
