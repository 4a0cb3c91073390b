//! The session of a test program: its slots, its frames, its options.

use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_abi::{Call, Error};
use serix_session::{MAX_TOKENS, NamedToken, Purpose, SessionStart};
use serix_sys::{Slot, call as sys};

use crate::raw::{self, call};

/// Frames handed to the account at the start.
const ACCOUNT: u64 = 256;
/// Start of the range of private addresses that tests map at.
const TEST_ADDRESS: u64 = 0x20_0000_0000;

/// Cores that tests use.
pub const CORES: usize = 4;
/// Bits of a slice's unit below its core.
const CORE_SHIFT: u32 = 40;

/// What a session has.
pub struct Session {
    /// The start block.
    pub start: &'static SessionStart,
    /// Its frames, the first token.
    pub frames: Slot,
    /// How many.
    pub frame_count: u64,
    /// Its environment.
    pub environment: Slot,
    /// The subtree of session memory.
    pub memory: Slot,
    /// The kernel log.
    pub log: Slot,
    /// The link, if the manifest gave it.
    pub link: Option<Slot>,
    /// The first disk, with its sectors.
    pub disk: Option<(Slot, u64)>,
    /// Its slices of the first core.
    pub slices: Option<Slot>,
    next_frame: u64,
    next_address: u64,
}

/// How data is mapped.
pub const DATA: MapFlags = MapFlags(MapFlags::WRITE.0 | MapFlags::NO_EXECUTE.0);

impl Session {
    /// Binds all tokens of the start block.
    ///
    /// # Errors
    /// What the kernel answered to a bind, or `BadToken` if one is missing.
    pub fn open(start: &'static SessionStart) -> Result<Self, Error> {
        let tokens = &start.tokens[..(start.token_count as usize).min(MAX_TOKENS)];
        let find = |purpose: Purpose| tokens.iter().find(|token| token.purpose == purpose as u32);
        let bind = |token: &NamedToken| sys::bind(&token.token);
        let must = |purpose| find(purpose).ok_or(Error::BadToken).and_then(bind);
        let log = must(Purpose::Log)?;
        crate::log::set(log);
        let disk = find(Purpose::Disk);
        let mut session = Self {
            start,
            frames: must(Purpose::Frames)?,
            frame_count: find(Purpose::Frames).map_or(0, |token| token.count),
            environment: must(Purpose::Environment)?,
            memory: must(Purpose::SessionMemory)?,
            log,
            link: find(Purpose::Link).map(bind).transpose()?,
            disk: disk.map(|token| Ok((bind(token)?, token.count))).transpose()?,
            slices: find(Purpose::Slices).map(bind).transpose()?,
            next_frame: start.frames_used,
            next_address: TEST_ADDRESS,
        };
        raw::open(&session)?;
        let first = session.take_frames(ACCOUNT);
        session.fund(Slot::NONE, session.frames, first, ACCOUNT)?;
        Ok(session)
    }

    /// The token of a purpose, as bytes.
    #[must_use]
    pub fn token(&self, purpose: Purpose) -> Option<[u8; 48]> {
        let tokens = &self.start.tokens[..(self.start.token_count as usize).min(MAX_TOKENS)];
        tokens.iter().find(|token| token.purpose == purpose as u32).map(|token| token.token)
    }

    /// Its slices of each core, bound anew: slot, core and count.
    ///
    /// # Errors
    /// As bind and query.
    pub fn slices_by_core(&self) -> Result<[Option<(Slot, u64)>; CORES], Error> {
        let tokens = &self.start.tokens[..(self.start.token_count as usize).min(MAX_TOKENS)];
        let mut found = [None; CORES];
        for token in tokens.iter().filter(|token| token.purpose == Purpose::Slices as u32) {
            let slot = sys::bind(&token.token)?;
            let info = sys::slot_query(slot)?;
            // The upper part of a slice's unit is its core.
            if let Some(place) = found.get_mut((info.base >> CORE_SHIFT) as usize) {
                *place = Some((slot, info.count));
            }
        }
        Ok(found)
    }

    /// Consecutive frames that nothing used yet; the first unit.
    ///
    /// # Panics
    /// When there are none left: the manifest gives too little memory.
    pub fn take_frames(&mut self, count: u64) -> u64 {
        let first = self.next_frame;
        self.next_frame += count;
        assert!(self.next_frame <= self.frame_count, "the session has too few frames");
        first
    }

    /// The units of frames that nothing used yet.
    #[must_use]
    pub fn next_frames(&self) -> core::ops::Range<u64> {
        self.next_frame..self.frame_count
    }

    /// Frames left.
    #[must_use]
    pub fn frames_left(&self) -> u64 {
        self.frame_count - self.next_frame
    }

    /// Addresses that nothing is mapped at, with a page free on either side.
    pub fn take_addresses(&mut self, pages: u64) -> u64 {
        let address = self.next_address;
        self.next_address += (pages + 2) * PAGE_SIZE as u64;
        address + PAGE_SIZE as u64
    }

    /// A page of its own: the unit of its frame and its address.
    ///
    /// # Errors
    /// As the kernel's map.
    pub fn take_page(&mut self) -> Result<(u64, u64), Error> {
        let (unit, address) = (self.take_frames(1), self.take_addresses(1));
        self.map(self.environment, address, unit, 1, DATA)?;
        Ok((unit, address))
    }

    /// Maps frames of the session.
    ///
    /// # Errors
    /// As the kernel's map; all are mapped or the test should fail.
    pub fn map(
        &self,
        space: Slot,
        address: u64,
        unit: u64,
        count: u64,
        flags: MapFlags,
    ) -> Result<(), Error> {
        let mut done = 0;
        while done < count {
            let at = address + done * PAGE_SIZE as u64;
            let rest = [at, self.frames.0.into(), unit + done, count - done, flags.0];
            done += call(
                Call::MapRange,
                &[space.0.into(), rest[0], rest[1], rest[2], rest[3], rest[4]],
            )?;
        }
        Ok(())
    }

    /// Removes mappings.
    ///
    /// # Errors
    /// As the kernel's unmap.
    pub fn unmap(&self, space: Slot, address: u64, count: u64) -> Result<(), Error> {
        let mut done = 0;
        while done < count {
            let at = address + done * PAGE_SIZE as u64;
            done += call(Call::Unmap, &[space.0.into(), at, count - done])?;
        }
        Ok(())
    }

    /// Hands frames over to an account.
    ///
    /// # Errors
    /// As the kernel's fund.
    pub fn fund(&self, domain: Slot, frames: Slot, first: u64, count: u64) -> Result<(), Error> {
        let mut done = 0;
        while done < count {
            let rest = [domain.0.into(), frames.0.into(), first + done, count - done];
            done += call(Call::Fund, &rest)?;
        }
        Ok(())
    }

    /// Hands `count` fresh frames to the own account.
    ///
    /// # Errors
    /// As the kernel's fund.
    pub fn fund_self(&mut self, count: u64) -> Result<(), Error> {
        let first = self.take_frames(count);
        self.fund(Slot::NONE, self.frames, first, count)
    }

    /// Addresses of the start block: its frames are of a delegation without a token.
    #[must_use]
    pub fn start_block_pages(&self) -> core::ops::Range<u64> {
        let page = PAGE_SIZE as u64 - 1;
        let start = core::ptr::from_ref(self.start).addr() as u64;
        let end = self.start.manifest_address + self.start.manifest_size;
        start & !page..(end + page) & !page
    }

    /// The session's part of the manifest.
    #[must_use]
    pub fn manifest(&self) -> &'static str {
        raw::manifest_text(self.start)
    }

    /// Whether the manifest has this option.
    #[must_use]
    pub fn has_option(&self, name: &str) -> bool {
        self.options().any(|option| option == name)
    }

    /// The number of an option `NAME=NUMBER`.
    #[must_use]
    pub fn number_option(&self, name: &str) -> Option<u64> {
        self.text_option(name)?.parse().ok()
    }

    /// The text of an option `NAME=TEXT`.
    #[must_use]
    pub fn text_option(&self, name: &str) -> Option<&'static str> {
        self.options().find_map(|option| {
            let (key, value) = option.split_once('=')?;
            (key == name).then_some(value)
        })
    }

    /// The options, in the writer's form: `option = WORD`, a line each.
    fn options(&self) -> impl Iterator<Item = &'static str> {
        self.manifest().lines().filter_map(|line| line.strip_prefix("option = "))
    }
}
