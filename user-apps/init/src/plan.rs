//! From manifest and inventory to what each session gets.
//!
//! Pure: nothing is taken from the kernel here. Invariant: no frame, slice or sector is in two plans, so that each
//! session can be started, ended and started again with the same resources.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serix_abi::start::Framebuffer;
use serix_manifest::{Access, Cores, Device, Disk, Manifest, Memory, Session};
use serix_session::{MAX_TOKENS, Purpose};
use serix_sys::Slot;

use crate::error::{Failure, Reason};
use crate::frames::{FramePool, Piece};
use crate::gpt::{GptError, Partition, Table};
use crate::image::{Image, ImageError};
use crate::inventory::{DiskDevice, Inventory};
use crate::layout::Layout;

/// Most runs of frames that a session gets.
const PIECES_MAX: usize = 16;
/// Tokens beside frames and disks: environment, session memory, link, log.
const OTHER_TOKENS: usize = 4;
/// Slices that init keeps on each core.
const SLICES_KEPT: u64 = 1;
/// Frames that a session has at least beyond those of its image.
const FRAMES_FREE_MIN: u64 = 16;
/// The part of all objects that init keeps: one in so many.
const OBJECTS_KEPT: u32 = 8;
/// The ISA's interrupt of the keyboard.
const KEYBOARD_LINE: u32 = 1;
/// The ISA's interrupt of the mouse on the keyboard controller.
const MOUSE_LINE: u32 = 12;
const PAGE: u64 = serix_abi::PAGE_SIZE as u64;

/// A disk extent that a session gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskGrant {
    /// What the libOS calls it, NUL-padded.
    pub name: [u8; 16],
    /// The sectors, of the slot of the whole disk.
    pub sectors: Piece,
    /// Whether it may write.
    pub writable: bool,
}

/// A part of a device that a session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceGrant {
    /// What it is for.
    pub purpose: Purpose,
    /// What the libOS knows it by.
    pub name: &'static str,
    /// All units of this slot.
    pub slot: Slot,
}

/// All that a session is started with.
#[derive(Clone, Debug)]
pub struct SessionPlan<'a> {
    /// Its part of the manifest.
    pub session: Session,
    /// That part as text, for the libOS.
    pub text: String,
    /// The libOS.
    pub image: Image<'a>,
    /// Where things lie.
    pub layout: Layout,
    /// Its frames; the first run holds image, stack, dispatcher page and account.
    pub memory: Vec<Piece>,
    /// The frames of the start block.
    pub start_block: Piece,
    /// Kernel objects that it may have.
    pub share: u64,
    /// Its slices, one run for each core.
    pub slices: Vec<Piece>,
    /// Its disks.
    pub disks: Vec<DiskGrant>,
    /// Its devices.
    pub devices: Vec<DeviceGrant>,
    /// The picture in its framebuffer.
    pub framebuffer: Framebuffer,
}

/// Partition tables by device name, of the disks that a manifest names.
pub type Tables = BTreeMap<String, (DiskDevice, Result<Table, GptError>)>;

fn has_screen(session: &Session) -> bool {
    session.devices.iter().any(|wanted| wanted.device == Device::Framebuffer)
}

/// The devices that a manifest names and the machine has.
#[must_use]
pub fn devices(manifest: &Manifest, inventory: &Inventory) -> Vec<(String, DiskDevice)> {
    let disks = manifest.sessions.iter().flat_map(|session| &session.disks);
    let mut devices: Vec<_> = disks
        .filter_map(|disk| Some((disk.device.clone(), inventory.disk(&disk.device)?)))
        .collect();
    devices.sort_by(|a, b| a.0.cmp(&b.0));
    devices.dedup_by(|a, b| a.0 == b.0);
    devices
}

/// Plans all sessions of a manifest.
///
/// # Errors
/// The first session that cannot be had, and why.
pub fn plan<'a>(
    manifest: &Manifest,
    inventory: &Inventory,
    pool: &mut FramePool,
    tables: &Tables,
    module: impl Fn(usize) -> &'a [u8],
) -> Result<Vec<SessionPlan<'a>>, Failure> {
    let mut planner = Planner {
        inventory,
        share: share(inventory.objects, manifest.sessions.len()),
        pool,
        tables,
        first_core: 0,
        slices_used: Vec::new(),
        taken: Vec::new(),
        devices_taken: Vec::new(),
    };
    let mut plans = Vec::new();
    for session in &manifest.sessions {
        let failure = |reason| Failure::Session(session.name.clone(), reason);
        plans.push(planner.fixed(session, &module).map_err(failure)?);
    }
    // What is left is known only now.
    for plan in plans.iter_mut().filter(|plan| plan.session.memory == Memory::Rest) {
        planner.rest(plan).map_err(|reason| Failure::Session(plan.session.name.clone(), reason))?;
    }
    Ok(plans)
}

/// Objects of each session: equal parts of what init does not keep for itself.
fn share(objects: u32, sessions: usize) -> u64 {
    let kept = objects / OBJECTS_KEPT;
    u64::from(objects - kept) / sessions.max(1) as u64
}

struct Planner<'p> {
    inventory: &'p Inventory,
    share: u64,
    pool: &'p mut FramePool,
    tables: &'p Tables,
    /// The core of the next session: they take turns.
    first_core: usize,
    /// Slices given away, by place in the inventory.
    slices_used: Vec<u64>,
    /// Sectors given away.
    taken: Vec<Piece>,
    /// Devices given away.
    devices_taken: Vec<Device>,
}

impl Planner<'_> {
    /// All but the frames of `memory = rest`.
    fn fixed<'a>(
        &mut self,
        session: &Session,
        module: &impl Fn(usize) -> &'a [u8],
    ) -> Result<SessionPlan<'a>, Reason> {
        self.check_consoles(session)?;
        let image = self.image(&session.libos, module)?;
        let text = session.to_string();
        let layout = Layout::new(image.pages, text.len() as u64);
        let disks = session.disks.iter().map(|disk| self.disk(disk)).collect::<Result<_, _>>()?;
        let mut devices = Vec::new();
        for device in &session.devices {
            match self.device(device.device) {
                Err(Reason::NoSuchDevice(_)) if device.optional => {}
                parts => devices.extend(parts?),
            }
        }
        let framebuffer = match self.inventory.framebuffer {
            Some((.., picture)) if has_screen(session) => picture,
            _ => Framebuffer::default(),
        };
        let slices = self.slices(session.cores, session.slices)?;
        let start_block = self.run(layout.start_pages)?;
        let memory = match session.memory {
            Memory::Rest => Vec::new(),
            Memory::Bytes(bytes) => self.memory(bytes.div_ceil(PAGE), &layout)?,
        };
        let session = session.clone();
        check_tokens(SessionPlan {
            session,
            text,
            image,
            layout,
            memory,
            start_block,
            share: self.share,
            slices,
            disks,
            devices,
            framebuffer,
        })
    }

    /// The parts of a device.
    fn device(&mut self, device: Device) -> Result<Vec<DeviceGrant>, Reason> {
        let grant = |purpose, name, slot| DeviceGrant { purpose, name, slot };
        let inventory = self.inventory;
        let parts: Vec<DeviceGrant> = match device {
            Device::Framebuffer => {
                let frames = inventory.framebuffer.iter();
                frames
                    .map(|(slot, ..)| grant(Purpose::DeviceFrames, device.name(), *slot))
                    .collect()
            }
            Device::Keyboard => {
                let ports = inventory.ports.iter();
                let ports = ports.map(|slot| grant(Purpose::Ports, device.name(), *slot));
                let lines = [("keyboard", KEYBOARD_LINE), ("mouse", MOUSE_LINE)];
                let lines = lines.into_iter().filter_map(|(name, isa)| {
                    Some(grant(Purpose::Interrupt, name, inventory.interrupt(isa)?))
                });
                ports.chain(lines).collect()
            }
        };
        if parts.is_empty() {
            return Err(Reason::NoSuchDevice(device.name()));
        }
        if self.devices_taken.contains(&device) {
            return Err(Reason::DeviceTaken(device.name()));
        }
        self.devices_taken.push(device);
        Ok(parts)
    }

    fn check_consoles(&self, session: &Session) -> Result<(), Reason> {
        // A machine with a screen needs no host.
        let has_screen = has_screen(session) && self.inventory.framebuffer.is_some();
        if session.console.link && self.inventory.link.is_none() && !has_screen {
            return Err(Reason::NoConsole("link to the host"));
        }
        if session.console.log && self.inventory.log.is_none() {
            return Err(Reason::NoConsole("kernel log"));
        }
        Ok(())
    }

    fn image<'a>(
        &self,
        name: &str,
        module: &impl Fn(usize) -> &'a [u8],
    ) -> Result<Image<'a>, Reason> {
        let index = self.inventory.module(name).ok_or_else(|| Reason::NoModule(name.into()))?;
        let failure = |error: ImageError| Reason::Image(name.into(), error);
        Image::parse(module(index)).map_err(failure)
    }

    fn run(&mut self, count: u64) -> Result<Piece, Reason> {
        let there = self.pool.available();
        self.pool.take_run(count).ok_or_else(|| memory_reason(count, there))
    }

    fn memory(&mut self, count: u64, layout: &Layout) -> Result<Vec<Piece>, Reason> {
        check_head(count, layout)?;
        let there = self.pool.available();
        let taken = self.pool.take(count, PIECES_MAX);
        let pieces = taken.ok_or_else(|| memory_reason(count, there))?;
        check_head(pieces[0].count, layout)?;
        Ok(pieces)
    }

    fn rest(&mut self, plan: &mut SessionPlan<'_>) -> Result<(), Reason> {
        plan.memory = self.pool.take_rest(PIECES_MAX);
        check_head(plan.memory.first().map_or(0, |piece| piece.count), &plan.layout)?;
        while check_tokens_of(plan).is_err() && plan.memory.len() > 1 {
            plan.memory.pop();
        }
        check_tokens_of(plan)
    }

    fn slices(&mut self, cores: Cores, count: u32) -> Result<Vec<Piece>, Reason> {
        let there = self.inventory.slices.len();
        let wanted = match cores {
            Cores::All => there,
            Cores::Count(wanted) => wanted as usize,
        };
        if wanted > there {
            return Err(Reason::Cores(wanted, there));
        }
        let first = self.first_core;
        self.first_core = (first + wanted) % there.max(1);
        self.slices_used.resize(there, 0);
        (first..first + wanted).map(|place| self.slices_of(place % there, count)).collect()
    }

    /// Slices of one core, by its place in the inventory.
    fn slices_of(&mut self, place: usize, count: u32) -> Result<Piece, Reason> {
        let core = &self.inventory.slices[place];
        let first = self.slices_used[place];
        let left = core.count.saturating_sub(SLICES_KEPT + first);
        if u64::from(count) > left {
            return Err(Reason::Slices(core.core, count, left));
        }
        self.slices_used[place] += u64::from(count);
        Ok(Piece { slot: core.slot, first, count: count.into() })
    }

    fn disk(&mut self, disk: &Disk) -> Result<DiskGrant, Reason> {
        let mut name = [0; 16];
        let bytes = name.get_mut(..disk.name.len());
        bytes
            .ok_or_else(|| Reason::LongName(disk.name.clone()))?
            .copy_from_slice(disk.name.as_bytes());
        let sectors = self.sectors(disk)?;
        Ok(DiskGrant { name, sectors, writable: disk.access == Access::ReadWrite })
    }

    fn sectors(&mut self, disk: &Disk) -> Result<Piece, Reason> {
        let device = &disk.device;
        let no_device = || Reason::NoDevice(device.clone(), self.inventory.disks.len());
        let (found, table) = self.tables.get(device).ok_or_else(no_device)?;
        let table = table.as_ref().map_err(|error| Reason::Table(device.clone(), *error))?;
        let no_partition = || Reason::NoPartition(device.clone(), disk.partition.clone());
        let partition = table.find(&disk.partition).ok_or_else(no_partition)?;
        self.take_sectors(found.slot, partition)
            .ok_or_else(|| Reason::Taken(device.clone(), disk.partition.clone()))
    }

    fn take_sectors(&mut self, slot: Slot, partition: &Partition) -> Option<Piece> {
        let wanted = Piece { slot, first: partition.first, count: partition.count };
        let overlaps = |taken: &Piece| {
            taken.slot == slot
                && taken.first < wanted.first + wanted.count
                && wanted.first < taken.first + taken.count
        };
        if self.taken.iter().any(overlaps) {
            return None;
        }
        self.taken.push(wanted);
        Some(wanted)
    }
}

fn check_tokens(plan: SessionPlan<'_>) -> Result<SessionPlan<'_>, Reason> {
    check_tokens_of(&plan).map(|()| plan)
}

fn check_tokens_of(plan: &SessionPlan<'_>) -> Result<(), Reason> {
    let tokens = plan.memory.len().max(1) + plan.disks.len() + plan.devices.len() + OTHER_TOKENS;
    (tokens <= MAX_TOKENS).then_some(()).ok_or(Reason::TooMany)
}

/// The first run must hold all that is there when the session starts.
fn check_head(count: u64, layout: &Layout) -> Result<(), Reason> {
    let least = layout.frames_used() + FRAMES_FREE_MIN;
    (count >= least).then_some(()).ok_or(Reason::TooSmall(kib(least)))
}

fn memory_reason(wanted: u64, there: u64) -> Reason {
    Reason::Memory(kib(wanted), kib(there))
}

const fn kib(frames: u64) -> u64 {
    frames * (PAGE / 1024)
}
