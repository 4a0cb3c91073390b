//! Using bound memory: map, unmap, protect, copy. No policy: the libOS names frame and page.
use crate::capability::Found;
use crate::debug::log;
use crate::domain::{Domain, Resources};
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::layout::{USER_END, USER_START};
use serix_abi::map::{MapFlags, MapRequest};
use serix_abi::token::{Kind, Rights};
use serix_abi::{PAGE_SHIFT, PAGE_SIZE};
use serix_core::DomainId;
use serix_core::ids::Frame;
use serix_hal::FrameNumber;
use serix_hal::memory::paging::{Leaf, MapError, Root};

/// Pages of one call. With the page tables that they may need this stays below 20,000 instructions.
const PAGES_PER_CALL: u64 = 256;
/// Pages without a table that one call may pass over, a table at a time.
const SKIPS_PER_CALL: u32 = 256;

/// What a caller is told of a mapping that failed.
pub(crate) fn map_error(error: MapError) -> Error {
    match error {
        MapError::NoFrames => Error::NoFrames,
        MapError::NotMappable => Error::Denied,
        MapError::ForeignSlot => Error::BadArgument,
    }
}

/// What mappings from a slot with these rights may ever have.
#[inline(always)]
fn limits(rights: Rights) -> MapFlags {
    const SHIFT: u32 = MapFlags::MAY_WRITE.0.trailing_zeros() - Rights::WRITE.0.trailing_zeros();
    const { assert!((Rights::EXECUTE.0 as u64) << SHIFT == MapFlags::MAY_EXECUTE.0) };
    MapFlags(u64::from(rights.0 & (Rights::WRITE.0 | Rights::EXECUTE.0)) << SHIFT)
}

/// What a mapping call works on: an environment or a subtree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Space {
    Environment(u32),
    Subtree(u32),
}

/// A space that is about to change.
struct Opened<'a> {
    root: &'a Root,
    /// Index of its domain, which pays for tables.
    domain: u32,
    /// Its domain, whose frames alone it maps.
    owner: DomainId,
    resources: &'a mut Resources,
}

/// A page range in the user half, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRange {
    address: u64,
    count: u64,
}

impl PageRange {
    /// `None` if the range is empty, misaligned, or not wholly in the mappable user half.
    #[inline(always)]
    pub(crate) fn new(address: u64, count: u64) -> Option<Self> {
        const { assert!(USER_START.is_multiple_of(PAGE_SIZE as u64) && USER_START <= USER_END) };
        if !(USER_START..USER_END).contains(&address) || !address.is_multiple_of(PAGE_SIZE as u64) {
            return None;
        }
        let left = (USER_END - address) >> PAGE_SHIFT;
        (count != 0 && count <= left).then_some(Self { address, count })
    }
}

/// Flags of a request; `None` if a bit is set that is not ring 3's to set.
#[inline(always)]
pub(crate) fn checked_flags(flags: u64) -> Option<MapFlags> {
    (flags & !MapFlags::REQUEST.0 == 0).then_some(MapFlags(flags))
}

impl Kernel {
    /// The space in a slot.
    #[inline(always)]
    pub(crate) fn space(&self, caller: u32, slot: u32) -> Result<Space, Error> {
        self.resources.space(self.resources.domains.get(caller).ok_or(Error::Dead)?, slot)
    }

    /// A space, with the resources beside it.
    #[inline(always)]
    fn open(&mut self, space: Space) -> Result<Opened<'_>, Error> {
        let resources = &mut self.resources;
        Ok(match space {
            Space::Environment(index) => {
                let space = self.environments.get(index).ok_or(Error::Dead)?;
                if space.ending {
                    return Err(Error::Dead);
                }
                let (root, domain, owner) = (&space.root, space.domain, space.owner);
                Opened { root, domain, owner, resources }
            }
            Space::Subtree(index) => {
                let space = self.subtrees.get(index).ok_or(Error::Dead)?;
                let (root, domain, owner) = (&space.root, space.domain, space.owner);
                Opened { root, domain, owner, resources }
            }
        })
    }

    /// Maps one page per request.
    pub(crate) fn map(
        &mut self,
        caller: u32,
        space: Space,
        request: &MapRequest,
    ) -> Result<(), Error> {
        let range = PageRange::new(request.address, 1).ok_or(Error::BadArgument)?;
        let flags = checked_flags(request.flags).ok_or(Error::BadArgument)?;
        self.map_from(caller, space, range, (request.frames, request.unit.into()), flags).map(drop)
    }

    /// Maps consecutive frames of a slot, from one of them on; how many, at most [`PAGES_PER_CALL`].
    #[inline(always)]
    pub(crate) fn map_from(
        &mut self,
        caller: u32,
        space: Space,
        range: PageRange,
        (slot, first): (u32, u64),
        flags: MapFlags,
    ) -> Result<u64, Error> {
        let domain = self.resources.domains.get(caller).ok_or(Error::Dead)?;
        match self.resources.lookup_of(domain, slot, Kind::Frames, Rights::MAP) {
            Ok(frames) => self.map_range(frames, space, range, first, flags),
            Err(Error::BadSlot) => self.map_device_range(caller, space, range, slot, first, flags),
            Err(error) => Err(error),
        }
    }

    /// Maps consecutive frames of a binding; how many, at most [`PAGES_PER_CALL`].
    #[inline(always)]
    pub(crate) fn map_range(
        &mut self,
        frames: Found,
        space: Space,
        range: PageRange,
        first: u64,
        flags: MapFlags,
    ) -> Result<u64, Error> {
        let limits = limits(frames.rights);
        if !limits.allows(flags) {
            return Err(Error::Denied);
        }
        let flags = flags.with(limits);
        let units = frames.range.part(first, range.count).ok_or(Error::BadArgument)?;
        let (address, base) = (range.address, units.base() as u32);
        let space = self.open(space)?;
        let done = if range.count == 1 {
            space.map_frame(address, Frame(base), flags)?;
            1
        } else {
            space.map_frames(address, base, range.count.min(PAGES_PER_CALL), flags)?
        };
        self.info.count_mapped(done);
        Ok(done)
    }

    /// As [`Self::map_range`], of a device's frames, which nothing executes.
    #[cold]
    fn map_device_range(
        &mut self,
        caller: u32,
        space: Space,
        range: PageRange,
        frames: u32,
        first: u64,
        flags: MapFlags,
    ) -> Result<u64, Error> {
        let rights = Rights::MAP;
        let binding = self.resources.lookup(caller, frames, Kind::DeviceFrames, rights)?;
        let limits = limits(binding.rights.intersect(Rights::WRITE));
        if !limits.allows(flags) {
            return Err(Error::Denied);
        }
        let units = binding.range.part(first, range.count).ok_or(Error::BadArgument)?;
        let first = self.resources.place(Kind::DeviceFrames, units.base());
        let Opened { root, domain, owner, resources } = self.open(space)?;
        // A leaf table at a time.
        let count = resources.owned(owner, first, here(range.address, range.count))?;
        let leaf = resources.leaf_for(root, domain, range.address)?;
        let flags = flags.with(limits);
        log::leave_screen();
        Ok(leaf.map_device(&mut resources.frames, range.address, first, count, flags))
    }

    /// Removes mappings; how many pages were passed.
    #[inline(always)]
    pub(crate) fn unmap(&mut self, space: Space, range: PageRange) -> Result<u64, Error> {
        let Opened { root, resources, .. } = self.open(space)?;
        Ok(pass(root, range, |leaf, address, count| {
            leaf.unmap(&mut resources.frames, address, count)
        }))
    }

    /// Changes flags of present pages; how many pages were passed. More access than before is had within what the
    /// slot allowed that the page was mapped from.
    pub(crate) fn protect(
        &mut self,
        space: Space,
        range: PageRange,
        flags: MapFlags,
    ) -> Result<u64, Error> {
        let Opened { root, .. } = self.open(space)?;
        match pass(root, range, |leaf, address, count| leaf.protect(address, count, flags)) {
            0 => Err(Error::Denied),
            done => Ok(done),
        }
    }

    /// Copy-on-write fork of a range between two environments of one domain; how many pages were passed.
    pub(crate) fn copy_range(
        &mut self,
        source: u32,
        target: u32,
        range: PageRange,
    ) -> Result<u64, Error> {
        self.live_environment(source)?;
        self.live_environment(target)?;
        let from = self.environments.get(source).ok_or(Error::Dead)?;
        let to = self.environments.get(target).ok_or(Error::Dead)?;
        if from.domain != to.domain || source == target {
            return Err(Error::BadArgument);
        }
        copy(&from.root, &to.root, from.domain, &mut self.resources, range)
    }
}

impl Opened<'_> {
    /// Maps one frame of the domain itself.
    #[inline(always)]
    fn map_frame(self, address: u64, frame: Frame, flags: MapFlags) -> Result<(), Error> {
        let Self { root, domain, owner, resources } = self;
        if !resources.ledger.is_mappable_by(frame, owner) {
            return Err(Error::Denied);
        }
        if !root.was_last(address) {
            resources.leaf_for(root, domain, address)?;
        }
        let frame = FrameNumber(frame.0);
        let mapped = root.map_in_last(&mut resources.frames, address, frame, flags);
        if mapped { Ok(()) } else { Err(Error::Denied) }
    }

    /// Maps consecutive frames of the domain itself; how many.
    #[inline(never)]
    fn map_frames(
        self,
        address: u64,
        base: u32,
        count: u64,
        flags: MapFlags,
    ) -> Result<u64, Error> {
        let Self { root, domain, owner, resources } = self;
        let owned = resources.owned(owner, FrameNumber(base), count)?;
        let mut done = 0;
        while done < owned {
            let at = address + done * PAGE_SIZE as u64;
            let leaf = match resources.leaf_for(root, domain, at) {
                Ok(leaf) => leaf,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            let first = FrameNumber(base + done as u32);
            let mapped = leaf.map(&mut resources.frames, at, first, owned - done, flags);
            if mapped == 0 {
                break;
            }
            done += mapped;
        }
        if done == 0 { Err(Error::Denied) } else { Ok(done) }
    }
}

impl Resources {
    /// The space in a slot of a domain.
    #[inline(always)]
    pub(crate) fn space(&self, domain: &Domain, slot: u32) -> Result<Space, Error> {
        let binding = self.binding_of(domain, slot)?;
        let space = match binding.kind {
            Kind::Environment => Space::Environment(binding.object),
            Kind::Subtree => Space::Subtree(binding.object),
            _ => return Err(Error::BadSlot),
        };
        if binding.rights.has(Rights::MAP) { Ok(space) } else { Err(Error::Denied) }
    }

    /// How many frames from the first on, at most `count`, are the domain's; at least one.
    #[inline]
    fn owned(&self, owner: DomainId, first: FrameNumber, count: u64) -> Result<u64, Error> {
        let owned = (0..count as u32)
            .take_while(|unit| self.ledger.is_mappable_by(Frame(first.0 + unit), owner))
            .count();
        if owned == 0 { Err(Error::Denied) } else { Ok(owned as u64) }
    }

    /// The leaf table for an address, made from the domain's account if need be.
    #[inline(never)]
    fn leaf_for(&mut self, root: &Root, domain: u32, address: u64) -> Result<Leaf, Error> {
        if let Ok(leaf) = root.find_leaf(address) {
            return Ok(leaf);
        }
        let (frames, mut source) = self.tables(domain).ok_or(Error::Dead)?;
        root.leaf_for(frames, address, &mut source).map_err(map_error)
    }
}

/// Hands the pages of a range that have a leaf table over, a table at a time, until fewer are passed than asked; how
/// many pages were passed.
fn pass(root: &Root, range: PageRange, mut visit: impl FnMut(Leaf, u64, u64) -> u64) -> u64 {
    let mut done = 0;
    let mut visited = 0;
    let mut skips = 0;
    while done < range.count && visited < PAGES_PER_CALL && skips < SKIPS_PER_CALL {
        let address = range.address + done * PAGE_SIZE as u64;
        match root.find_leaf(address) {
            Err(absent) => {
                done += absent.min(range.count - done);
                skips += 1;
            }
            Ok(leaf) => {
                let wanted = here(address, range.count - done).min(PAGES_PER_CALL - visited);
                let passed = visit(leaf, address, wanted);
                done += passed;
                visited += passed;
                if passed < wanted {
                    break;
                }
            }
        }
    }
    done
}

/// How many of `count` pages from `address` on share its leaf table.
fn here(address: u64, count: u64) -> u64 {
    (512 - ((address >> PAGE_SHIFT) & 511)).min(count)
}

fn copy(
    from: &Root,
    to: &Root,
    domain: u32,
    resources: &mut Resources,
    range: PageRange,
) -> Result<u64, Error> {
    let mut failed = None;
    let done =
        pass(from, range, |leaf, address, count| match resources.leaf_for(to, domain, address) {
            Ok(target) => leaf.copy(&mut resources.frames, address, count, target),
            Err(error) => {
                failed = Some(error);
                0
            }
        });
    match failed {
        Some(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}
