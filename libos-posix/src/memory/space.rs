//! An address space: an environment, the areas of its program, and the operations on them.
//!
//! Operations that look at page tables run in the space's own environment, because the window shows only that. The
//! lock of the areas is never held across a block.
use super::vma::{Access, Area, Areas, Backing};
use super::{FrameNumber, FramePage, check_watermark, frame_at, pool};
use crate::file::description::File;
use crate::fs::Location;
use crate::patch::Overlay;
use crate::raw::context::Place;
use crate::raw::{PROGRAM_END, PROGRAM_START, kernel, window};
use crate::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use serix_block::PAGE_SIZE;
use serix_sys::Slot;
use serix_sys::abi::PAGE_SHIFT;
use serix_sys::abi::map::MapFlags;
use spin::{Mutex, Once};

const PAGE: u64 = PAGE_SIZE as u64;
/// Top of the first stack.
pub const STACK_TOP: u64 = 0x7DFF_FFFF_F000;
/// Where `mmap` places downwards from: below the largest stack.
pub const MMAP_TOP: u64 = 0x7DFF_C000_0000;
/// Most areas, as `vm.max_map_count` of Linux.
const AREAS_MAX: usize = 65_530;

/// What is behind an area of a program.
#[derive(Clone)]
pub enum Behind {
    /// Zeroes.
    Nothing,
    /// A file from a byte offset on.
    File(Arc<File>, u64),
    /// Pages that several processes share without a file.
    Shared(Arc<SharedPages>, u64),
    /// One page that all programs have: the vDSO. Who writes to it gets a copy.
    Page(FramePage),
}

/// Pages of a shared anonymous mapping, by index.
#[derive(Debug, Default)]
pub struct SharedPages(pub(super) Mutex<BTreeMap<u64, FramePage>>);

impl Backing for Behind {
    fn after(&self, bytes: u64) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::File(file, offset) => Self::File(file.clone(), offset + bytes),
            Self::Shared(pages, offset) => Self::Shared(pages.clone(), offset + bytes),
            Self::Page(page) => Self::Page(page.clone()),
        }
    }

    fn continues(&self, length: u64, next: &Self) -> bool {
        match (self, next) {
            (Self::Nothing, Self::Nothing) => true,
            (Self::File(file, offset), Self::File(other, at)) => {
                Arc::ptr_eq(file, other) && offset + length == *at
            }
            (Self::Shared(pages, offset), Self::Shared(other, at)) => {
                Arc::ptr_eq(pages, other) && offset + length == *at
            }
            _ => false,
        }
    }
}

/// An area of a program.
pub type ProgramArea = Area<Behind>;

/// The memory of a program.
pub struct AddressSpace {
    /// The environment; that of a process that ended is none.
    place: Place,
    layout: Mutex<Layout>,
    /// Pages that programs map here.
    resident: AtomicU64,
}

/// What a program was started with, for `/proc`.
#[derive(Default)]
pub struct Origin {
    /// Arguments, each with its NUL.
    pub arguments: Vec<u8>,
    /// Environment strings, each with its NUL.
    pub environment: Vec<u8>,
    /// The program's file.
    pub executable: Option<Location>,
}

/// Pages of a space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In all areas.
    pub mapped_pages: u64,
    /// Present.
    pub resident_pages: u64,
}

/// What the lock of a space guards.
#[derive(Default)]
pub struct Layout {
    /// The areas.
    pub areas: Areas<Behind>,
    /// Where the heap of `brk` starts and ends.
    pub heap: Range<u64>,
    /// Frames of pages that allow nothing: they keep their contents without a mapping.
    pub(super) parked: BTreeMap<u64, FrameNumber>,
    /// Most bytes of the stack (`RLIMIT_STACK` at `execve`).
    pub stack_limit: u64,
    /// What the program was started with.
    pub origin: Arc<Origin>,
    /// Where a run of read faults would go on, and how many pages the next of them maps.
    pub(super) run: (u64, u64),
    /// Changes whenever areas do, so that a fault that waited knows.
    pub(crate) generation: u64,
    /// Patched call sites, if there are any.
    pub(crate) overlay: Option<Arc<Overlay>>,
    /// From its first page to its last.
    pub(crate) patched: Range<u64>,
}

/// The frame of a present page-table entry.
///
/// # Panics
/// If the entry maps memory that is not the session's: the kernel maps only what the libOS named.
#[inline]
pub(crate) fn frame_of(entry: u64) -> FrameNumber {
    match frame_at((entry & MapFlags::FRAME_MASK) >> PAGE_SHIFT) {
        Some(frame) => frame,
        None => panic!("page-table entry {entry:#x} is foreign"),
    }
}

/// Whether a present entry is the only holder of its frame.
#[inline]
pub(super) fn is_sole(entry: u64) -> bool {
    let frame = frame_of(entry);
    pool().holders(frame) == 1
}

/// Does something with the frame of each present page of a range; answers from where to where there are any, and
/// how many.
fn for_present(
    range: &Range<u64>,
    mut work: impl FnMut(&mut super::FramePool, FrameNumber),
) -> (Range<u64>, u64) {
    let (mut present, mut count) = (0..0, 0);
    let mut pool = pool();
    window::walk(range.start, range.end, |at, entry| {
        let Some(frame) = pool.at_physical((entry & MapFlags::FRAME_MASK) >> PAGE_SHIFT) else {
            return;
        };
        work(&mut pool, frame);
        let start = if count == 0 { at } else { present.start };
        present = start..at + PAGE;
        count += 1;
    });
    (present, count)
}

/// Whether `fork` copies an area's pages: those of a file that nobody changed the child
/// finds in the cache, and the vDSO is where it was.
fn is_copied(area: &ProgramArea) -> bool {
    area.changed || !matches!(area.backing, Behind::File(..) | Behind::Page(_))
}

/// Flags of a mapping in an area.
#[inline]
pub(crate) fn flags_of(area: &ProgramArea, writable: bool) -> MapFlags {
    let mut flags = MapFlags(0);
    if writable && area.access.contains(Access::WRITE) {
        flags = flags.with(MapFlags::WRITE);
    }
    if area.shared {
        flags = flags.with(MapFlags::SHARED);
    }
    if !area.access.contains(Access::EXECUTE) {
        flags = flags.with(MapFlags::NO_EXECUTE);
    }
    flags
}

impl AddressSpace {
    /// An empty space in an environment.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { place, layout: Mutex::new(Layout::default()), resident: AtomicU64::new(0) }
    }

    /// The space of processes that ended: nothing, nowhere.
    pub fn none() -> Arc<Self> {
        static NONE: Once<Arc<AddressSpace>> = Once::new();
        NONE.call_once(|| {
            Arc::new(Self::new(Place { environment: Slot::NONE, page: FrameNumber(0) }))
        })
        .clone()
    }

    /// The environment.
    #[inline]
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Areas and what goes with them. Only for steps that do not block.
    #[inline]
    pub fn layout(&self) -> spin::MutexGuard<'_, Layout> {
        self.layout.lock()
    }

    /// Adds an area at a place or, without one, where there is room; with `replace`, what is there goes.
    ///
    /// # Errors
    /// `ENOMEM`, `EEXIST` if the place is taken and not to be replaced.
    #[inline]
    pub fn map(&self, request: MapRequest) -> Result<u64> {
        check_watermark()?;
        let length = request.length;
        let mut layout = self.layout.lock();
        if layout.areas.total().saturating_add(length) > request.limit {
            return Err(Errno::ENOMEM);
        }
        if layout.areas.count() >= AREAS_MAX || length > MMAP_TOP {
            return Err(Errno::ENOMEM);
        }
        let start = match request.place {
            Placement::Anywhere => layout.find_free(length)?,
            Placement::Hint(hint) => match layout.is_free(hint, length) {
                true => hint,
                false => layout.find_free(length)?,
            },
            Placement::Fixed { address, replace } => {
                check_range(address, length)?;
                if layout.areas.overlapping(address..address + length).next().is_some() {
                    if !replace {
                        return Err(Errno::EEXIST);
                    }
                    self.unmap_locked(&mut layout, address..address + length);
                }
                address
            }
        };
        // Where only trampolines are, the program sees nothing.
        self.unpatch(&mut layout, start..start + length, false);
        layout.generation += 1;
        layout.areas.insert(Area {
            start,
            end: start + length,
            access: request.access,
            shared: request.shared,
            grows_down: request.grows_down,
            changed: false,
            backing: request.backing,
        });
        Ok(start)
    }

    /// Removes what is in a range.
    ///
    /// # Errors
    /// `EINVAL` if it is no range of program memory.
    pub fn unmap(&self, range: Range<u64>) -> Result<()> {
        check_range(range.start, range.end - range.start).map_err(|_| Errno::EINVAL)?;
        self.unmap_locked(&mut self.layout.lock(), range);
        Ok(())
    }

    pub(super) fn unmap_locked(&self, layout: &mut Layout, range: Range<u64>) {
        self.unpatch(layout, range.clone(), false);
        layout.generation += 1;
        let Layout { areas, parked, .. } = layout;
        areas.remove(range, |area| self.release_range(parked, area.start..area.end));
    }

    /// Gives back the pages of a range and leaves its areas.
    pub(super) fn release_pages(&self, layout: &mut Layout, range: Range<u64>) {
        self.unpatch(layout, range.clone(), false);
        self.release_range(&mut layout.parked, range);
    }

    #[inline]
    fn release_range(&self, parked: &mut BTreeMap<u64, FrameNumber>, range: Range<u64>) {
        let (present, count) = for_present(&range, super::FramePool::release);
        if count > 0 {
            let pages = (present.end - present.start) / PAGE;
            kernel::unmap(self.place.environment, present.start, pages);
            self.count_resident(-(count as i64));
        }
        if !parked.is_empty() {
            release_parked(parked, range);
        }
    }

    /// Changes what a range allows.
    ///
    /// # Errors
    /// `ENOMEM` if there are holes in it; `EACCES` if a shared file was not opened for writing.
    pub fn protect(&self, range: Range<u64>, access: Access) -> Result<()> {
        check_watermark()?;
        let mut layout = self.layout.lock();
        if let Some(index) = layout.areas.index_of(range.start)
            && range.end <= layout.areas.at(index).end
            && !access.is_empty()
        {
            check_file_access(layout.areas.at(index), access)?;
            layout.generation += 1;
            // Only what may be executed is ever patched.
            if layout.areas.at(index).access.contains(Access::EXECUTE) {
                self.unpatch(&mut layout, range.clone(), true);
            }
            let index = layout.areas.change_one(index, &range, |area| area.access = access);
            self.protect_pages(layout.areas.at(index), range);
            return Ok(());
        }
        if !layout.areas.covers(range.clone()) {
            return Err(Errno::ENOMEM);
        }
        for area in layout.areas.overlapping(range.clone()) {
            check_file_access(area, access)?;
        }
        layout.generation += 1;
        self.unpatch(&mut layout, range.clone(), true);
        layout.areas.change(range.clone(), |area| area.access = access);
        if access.is_empty() {
            self.park(&mut layout, range);
        } else {
            for area in layout.areas.overlapping(range.clone()) {
                self.protect_pages(area, area.start.max(range.start)..area.end.min(range.end));
            }
            // Parked pages come back one by one, when they are touched.
        }
        Ok(())
    }

    /// Makes the present pages of a part of an area what the area allows. Pages with other holders stay read-only.
    #[inline]
    fn protect_pages(&self, area: &ProgramArea, part: Range<u64>) {
        let writable = area.access.contains(Access::WRITE);
        let mut run = (part.start..part.start, MapFlags(0));
        window::walk(part.start, part.end, |at, entry| {
            let old = MapFlags(entry);
            let writable =
                if area.shared { old.has(MapFlags::WRITE) } else { writable && is_sole(entry) };
            let flags = flags_of(area, writable);
            if run.0.end != at || run.1 != flags {
                self.protect_run(&run);
                run = (at..at, flags);
            }
            run.0.end = at + PAGE;
        });
        self.protect_run(&run);
    }

    fn protect_run(&self, (range, flags): &(Range<u64>, MapFlags)) {
        let pages = (range.end - range.start) / PAGE;
        if pages > 0 {
            kernel::protect(self.place.environment, range.start, pages, *flags);
        }
    }

    /// Takes present pages out of the page tables and keeps their frames.
    fn park(&self, layout: &mut Layout, range: Range<u64>) {
        let mut any = false;
        window::walk(range.start, range.end, |at, entry| {
            layout.parked.insert(at, frame_of(entry));
            any = true;
        });
        if any {
            let pages = (range.end - range.start) / PAGE;
            kernel::unmap(self.place.environment, range.start, pages);
        }
    }

    /// Moves a mapping with its pages to a place where nothing is.
    pub(super) fn move_pages(&self, layout: &mut Layout, from: Range<u64>, to: u64) -> Result<()> {
        self.unpatch(layout, from.clone(), true);
        let mut pages = Vec::new();
        window::walk(from.start, from.end, |at, entry| {
            let flags = MapFlags(entry & MapFlags::REQUEST.0);
            pages.push((to + (at - from.start), frame_of(entry), flags));
        });
        kernel::map(self.place.environment, &pages).map_err(|_| Errno::ENOMEM)?;
        kernel::unmap(self.place.environment, from.start, (from.end - from.start) / PAGE);
        let parked: Vec<u64> = layout.parked.range(from.clone()).map(|(at, _)| *at).collect();
        for at in parked {
            if let Some(frame) = layout.parked.remove(&at) {
                layout.parked.insert(to + (at - from.start), frame);
            }
        }
        Ok(())
    }

    /// Gives a new space the memory of this one, copy-on-write. Runs in this space's environment.
    ///
    /// # Errors
    /// `ENOMEM`; what was copied goes when the new space is dropped after [`Self::abandon_copy`].
    pub fn copy_to(&self, child: &Self) -> Result<()> {
        let layout = self.layout.lock();
        let mut copy = child.layout.lock();
        for area in layout.areas.iter().filter(|area| is_copied(area)) {
            if let Err(error) = self.copy_area(area, child) {
                // What was copied is what lies below.
                copy.areas = layout.areas.clone();
                copy.areas.remove(area.start..PROGRAM_END, drop);
                return Err(error);
            }
        }
        copy.areas = layout.areas.clone();
        for (at, frame) in &layout.parked {
            pool().hold(*frame);
            copy.parked.insert(*at, *frame);
        }
        copy.heap = layout.heap.clone();
        copy.stack_limit = layout.stack_limit;
        copy.origin = layout.origin.clone();
        self.share_patches(&layout, child, &mut copy);
        Ok(())
    }

    fn copy_area(&self, area: &ProgramArea, child: &Self) -> Result<()> {
        let (present, count) = for_present(&(area.start..area.end), super::FramePool::hold);
        if count == 0 {
            return Ok(());
        }
        let pages = (present.end - present.start) / PAGE;
        let (from, to) = (self.place.environment, child.place.environment);
        kernel::copy_range(from, to, present.start, pages).map_err(|_| {
            // What the child did not get it will not release.
            kernel::unmap(to, present.start, pages);
            for_present(&present, super::FramePool::release);
            Errno::ENOMEM
        })?;
        child.count_resident(count as i64);
        Ok(())
    }

    /// After a failed [`Self::copy_to`]: releases what `child` got. Runs in this space's environment, whose pages
    /// are the child's.
    pub fn abandon_copy(&self, child: &Self) {
        let mut copy = child.layout.lock();
        for area in core::mem::take(&mut copy.areas).iter().filter(|area| is_copied(area)) {
            let range = area.start..area.end;
            kernel::unmap(child.place.environment, range.start, area.length() / PAGE);
            for_present(&range, super::FramePool::release);
        }
        child.resident.store(0, Ordering::Relaxed);
    }

    /// Gives back everything. Runs in this space's environment.
    pub fn clear(&self) {
        let mut layout = self.layout.lock();
        self.unmap_locked(&mut layout, 0..PROGRAM_END);
        layout.heap = 0..0;
    }

    /// Pages mapped and present.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            mapped_pages: self.layout.lock().areas.total() / PAGE,
            resident_pages: self.resident.load(Ordering::Relaxed),
        }
    }

    /// Counts pages that a program now maps, or no longer maps.
    pub(crate) fn count_resident(&self, by: i64) {
        self.resident.fetch_add(by as u64, Ordering::Relaxed);
    }

    /// Arguments of the program, each with its NUL.
    #[must_use]
    pub fn arguments(&self) -> Vec<u8> {
        self.layout.lock().origin.arguments.clone()
    }

    /// Environment strings that the program was started with, each with its NUL.
    #[must_use]
    pub fn environment(&self) -> Vec<u8> {
        self.layout.lock().origin.environment.clone()
    }

    /// The program's file.
    #[must_use]
    pub fn executable(&self) -> Option<Location> {
        self.layout.lock().origin.executable.clone()
    }

    /// As `/proc/<pid>/maps` shows it.
    #[must_use]
    pub fn describe(&self) -> Vec<u8> {
        let layout = self.layout.lock();
        let areas: Vec<ProgramArea> = layout.areas.iter().cloned().collect();
        let heap = layout.heap.clone();
        drop(layout);
        let mut text = String::new();
        areas.iter().for_each(|area| describe_area(&mut text, area, &heap));
        text.into_bytes()
    }
}

fn describe_area(text: &mut String, area: &ProgramArea, heap: &Range<u64>) {
    let letter = |flag, letter| if area.access.contains(flag) { letter } else { '-' };
    let (offset, inode) = match &area.backing {
        Behind::Nothing | Behind::Page(_) => (0, 0),
        Behind::Shared(_, offset) => (*offset, 0),
        Behind::File(file, offset) => (*offset, file.node().ino()),
    };
    let name = match &area.backing {
        Behind::File(file, _) => {
            let path = crate::fs::vfs().path_of(file.location(), crate::fs::vfs().root());
            path.map_or_else(String::new, |(path, _)| String::from_utf8_lossy(&path).into_owned())
        }
        Behind::Shared(..) => "/dev/zero (deleted)".into(),
        Behind::Page(_) => "[vdso]".into(),
        Behind::Nothing if area.grows_down => "[stack]".into(),
        Behind::Nothing if heap.contains(&area.start) => "[heap]".into(),
        Behind::Nothing => String::new(),
    };
    let _ = writeln!(
        text,
        "{:08x}-{:08x} {}{}{}{} {offset:08x} 00:00 {inode:<26} {name}",
        area.start,
        area.end,
        letter(Access::READ, 'r'),
        letter(Access::WRITE, 'w'),
        letter(Access::EXECUTE, 'x'),
        if area.shared { 's' } else { 'p' },
    );
}

#[inline]
fn check_file_access(area: &ProgramArea, access: Access) -> Result<()> {
    use serix_chroma::OpenFlags;
    if let Behind::File(file, _) = &area.backing
        && area.shared
        && access.contains(Access::WRITE)
        && !file.flags().contains(OpenFlags::WRITE)
    {
        return Err(Errno::EACCES);
    }
    Ok(())
}

/// Whether a range is program memory.
///
/// # Errors
/// `ENOMEM`.
pub fn check_range(address: u64, length: u64) -> Result<()> {
    let fits = (PROGRAM_START..PROGRAM_END).contains(&address)
        && length <= PROGRAM_END - address
        && address.is_multiple_of(PAGE);
    if fits { Ok(()) } else { Err(Errno::ENOMEM) }
}

impl Layout {
    pub(super) fn find_free(&self, length: u64) -> Result<u64> {
        self.free_place(length, PROGRAM_START + 0xF000, MMAP_TOP).ok_or(Errno::ENOMEM)
    }

    /// The highest place of a length within bounds where nothing is, trampolines included.
    #[inline]
    pub(crate) fn free_place(&self, length: u64, bottom: u64, mut top: u64) -> Option<u64> {
        loop {
            let start = self.areas.find_free(length, bottom, top)?;
            if start >= self.patched.end || start + length <= self.patched.start {
                return Some(start);
            }
            let taken =
                self.overlay.as_ref().map(|found| found.trampolines_in(start..start + length));
            match taken.flatten() {
                Some(page) => top = page,
                None => return Some(start),
            }
        }
    }

    fn is_free(&self, address: u64, length: u64) -> bool {
        check_range(address, length).is_ok()
            && address >= PROGRAM_START + 0xF000
            && self.areas.overlapping(address..address + length).next().is_none()
    }
}

fn release_parked(parked: &mut BTreeMap<u64, FrameNumber>, range: Range<u64>) {
    let inside: Vec<u64> = parked.range(range).map(|(at, _)| *at).collect();
    for at in inside {
        if let Some(frame) = parked.remove(&at) {
            pool().release(frame);
        }
    }
}

/// What [`AddressSpace::map`] is to do.
pub struct MapRequest {
    /// Where.
    pub place: Placement,
    /// Bytes, a multiple of the page size, not zero.
    pub length: u64,
    /// What is allowed.
    pub access: Access,
    /// Whether writes are seen by others.
    pub shared: bool,
    /// Whether it is a stack.
    pub grows_down: bool,
    /// What is behind it.
    pub backing: Behind,
    /// Most bytes of all areas together (`RLIMIT_AS`).
    pub limit: u64,
}

/// Where a mapping is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Where there is room.
    Anywhere,
    /// There if nothing is, else where there is room.
    Hint(u64),
    /// There.
    Fixed {
        /// Page-aligned.
        address: u64,
        /// Whether what is there goes.
        replace: bool,
    },
}

/// Environments whose program ended, ready for another.
static SPARE: Mutex<Vec<Place>> = Mutex::new(Vec::new());
/// Most of them.
const SPARE_MAX: usize = 16;

impl AddressSpace {
    /// A space in an environment of its own.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn create() -> Result<Self> {
        let spare = SPARE.lock().pop();
        if let Some(place) = spare {
            return Ok(Self::new(place));
        }
        let page = FramePage::allocate().ok_or(Errno::ENOMEM)?;
        let place = kernel::environment_create(page.frame()).map_err(|_| Errno::ENOMEM)?;
        let _ = page.into_mapping();
        Ok(Self::new(place))
    }
}

impl Drop for AddressSpace {
    /// The last process that used the space has cleared it. It may still run on there, in libOS code, until the next
    /// switch; only a later `fork` takes the environment.
    fn drop(&mut self) {
        if self.place.environment != Slot::NONE {
            SPARE.lock().push(self.place);
        }
    }
}

/// Destroys environments of which there are more than are worth keeping, but not the calling one.
pub fn trim_spare(current: Place) {
    loop {
        let surplus = {
            let mut spare = SPARE.lock();
            let at = spare.iter().position(|place| *place != current);
            match at {
                Some(at) if spare.len() > SPARE_MAX => spare.remove(at),
                _ => return,
            }
        };
        kernel::environment_destroy(surplus.environment);
        pool().release(surplus.page);
    }
}

impl AddressSpace {
    /// Whether an address is in an area that others may share.
    #[must_use]
    pub fn is_shared(&self, address: u64) -> bool {
        self.layout.lock().areas.find(address).is_some_and(|area| area.shared)
    }
}

/// The frame of a present page of the calling environment.
#[must_use]
pub fn present_frame(address: u64) -> Option<FrameNumber> {
    if address >= PROGRAM_END {
        return None;
    }
    let entry = window::entry(address & !(PAGE - 1));
    (entry & MapFlags::PRESENT.0 != 0).then(|| frame_of(entry))
}

impl AddressSpace {
    /// Grows, shrinks or moves a mapping. `target`: `None` where it is, `Some(None)` wherever there is room, else there.
    ///
    /// # Errors
    /// `EFAULT` if nothing of the kind is mapped, `ENOMEM`, `EINVAL` if the places overlap.
    pub fn remap(&self, old: Range<u64>, length: u64, target: Option<Option<u64>>) -> Result<u64> {
        check_watermark()?;
        let mut layout = self.layout.lock();
        let area = layout.areas.find(old.start).cloned().ok_or(Errno::EFAULT)?;
        let old_length = old.end - old.start;
        if old.end > area.end {
            return Err(Errno::EFAULT);
        }
        if let Some(Some(address)) = target {
            return self.remap_to(&mut layout, &area, old, length, address);
        }
        if length <= old_length {
            if length < old_length {
                self.unmap_locked(&mut layout, old.start + length..old.end);
            }
            return Ok(old.start);
        }
        let end = old.start + length;
        let grows = old.end == area.end
            && check_range(old.start, length).is_ok()
            && layout.areas.overlapping(old.end..end).next().is_none();
        if grows {
            self.unpatch(&mut layout, old.end..end, false);
            layout.generation += 1;
            let backing = area.backing_at(area.start).after(old.end - area.start);
            layout.areas.insert(Area { start: old.end, end, backing, ..area });
            return Ok(old.start);
        }
        if target.is_none() {
            return Err(Errno::ENOMEM);
        }
        let address = layout.find_free(length)?;
        self.remap_to(&mut layout, &area, old, length, address)
    }

    fn remap_to(
        &self,
        layout: &mut Layout,
        area: &ProgramArea,
        old: Range<u64>,
        length: u64,
        address: u64,
    ) -> Result<u64> {
        check_range(address, length).map_err(|_| Errno::EINVAL)?;
        let new = address..address + length;
        if new.start < old.end && old.start < new.end {
            return Err(Errno::EINVAL);
        }
        self.unmap_locked(layout, new.clone());
        let kept = old.start..old.start + length.min(old.end - old.start);
        if kept.end < old.end {
            self.unmap_locked(layout, kept.end..old.end);
        }
        self.move_pages(layout, kept.clone(), address)?;
        layout.generation += 1;
        layout.areas.remove(kept.clone(), drop);
        let backing = area.backing_at(old.start);
        layout.areas.insert(Area { start: new.start, end: new.end, backing, ..area.clone() });
        Ok(address)
    }

    /// Forgets what was written to private pages of a range (`MADV_DONTNEED`).
    ///
    /// # Errors
    /// `ENOMEM` if there are holes.
    pub fn discard(&self, range: Range<u64>) -> Result<()> {
        let mut layout = self.layout.lock();
        let covered = layout.areas.covers(range.clone());
        let parts: Vec<Range<u64>> = layout
            .areas
            .overlapping(range.clone())
            .map(|area| area.clip(&range))
            .map(|area| area.start..area.end)
            .collect();
        layout.generation += 1;
        parts.into_iter().for_each(|part| self.release_pages(&mut layout, part));
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}
