//! ATA disks at a PCI IDE controller that masters the bus (ATA/ATAPI-7 with 48-bit addresses; Programming Interface for Bus Master
//! IDE Controller 1.0). One disk for each channel, its first; channels are where the PC/AT had them.
//!
//! The device has one request at a time, the others wait in the order in which they came. Its table of regions has 32-bit addresses:
//! frames below 4 GiB are transferred to and from directly, others through a buffer, a piece at a time.
//! Invariant: while requests wait, their runs are pinned, and table and buffer are the first one's.
use super::block::{Completed, Operation, REQUESTS};
use super::runs::Runs;
use super::{ioapic, pci, port};
use crate::address::{DIRECT_MAP, FrameNumber};
use crate::boot::acpi::Interrupts;
use crate::memory::frames::FrameTable;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Frames that a disk needs, one after the other and below 4 GiB: its table of regions, and a buffer.
pub const FRAMES: u32 = 1 + BUFFER / 4096;
/// Bytes of the buffer: as much as is copied at a time.
const BUFFER: u32 = 64 << 10;
/// First address that a region cannot have.
const REACH: u64 = 1 << 32;

/// PCI class of IDE controllers, and the bits of their interface: a bus master; channels elsewhere than in a PC/AT.
const CLASS: (u8, u8) = (1, 1);
const BUS_MASTER: u8 = 1 << 7;
const NATIVE: [u8; 2] = [1 << 0, 1 << 2];

/// Command and control block, and ISA interrupt, of each channel.
const CHANNELS: [(u16, u16, u8); 2] = [(0x1F0, 0x3F6, 14), (0x170, 0x376, 15)];

/// Registers of the command block.
const DATA: u16 = 0;
const COUNT: u16 = 2;
const ADDRESS: [u16; 3] = [3, 4, 5];
const DEVICE: u16 = 6;
const COMMAND: u16 = 7;
/// The first device, addressed by sectors.
const FIRST: u8 = 0x40;

const BUSY: u8 = 1 << 7;
const FAULT: u8 = 1 << 5;
const READY_FOR_DATA: u8 = 1 << 3;
const ERROR: u8 = 1 << 0;

const IDENTIFY: u8 = 0xEC;
const READ_DMA: u8 = 0x25;
const WRITE_DMA: u8 = 0x35;
const FLUSH: u8 = 0xEA;

/// Registers of the bus master, for each channel.
const MASTER_STATUS: u16 = 2;
const MASTER_TABLE: u16 = 4;
const START: u8 = 1 << 0;
const TO_MEMORY: u8 = 1 << 3;
const INTERRUPTED: u8 = 1 << 2;
const MASTER_ERROR: u8 = 1 << 1;

/// How often a status is read at boot: an identification takes microseconds.
const PATIENCE: u32 = 1 << 20;

/// A channel with a disk.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    block: u16,
    control: u16,
    master: u16,
    interrupt: u8,
    sectors: u64,
    can_flush: bool,
}

struct Request {
    operation: Operation,
    sector: u64,
    runs: Runs,
    tag: u64,
    /// Bytes of its pieces that ended, and of the one that the device has.
    done: u32,
    piece: u32,
}

/// A disk.
pub struct AtaDisk {
    channel: Channel,
    memory: FrameNumber,
    requests: VecDeque<Request>,
    up: bool,
}

/// Channels of these functions that have a disk with 48-bit addresses and DMA.
#[must_use]
pub fn find(functions: &[pci::Function]) -> Vec<Channel> {
    let controllers = functions
        .iter()
        .filter(|(_, info)| (info.class, info.subclass) == CLASS && info.prog_if & BUS_MASTER != 0);
    let mut found = Vec::new();
    for (device, info) in controllers {
        let Some(master) = pci::enable_ports(*device, 4) else { continue };
        for (index, (block, control, interrupt)) in CHANNELS.into_iter().enumerate() {
            if info.prog_if & NATIVE[index] != 0 {
                continue;
            }
            let master = master + 8 * index as u16;
            let channel =
                Channel { block, control, master, interrupt, sectors: 0, can_flush: false };
            found.extend(channel.identify());
        }
    }
    found
}

impl Channel {
    fn read(&self, register: u16) -> u8 {
        // SAFETY: registers of an IDE channel, which only the kernel drives.
        unsafe { port::read8(self.block + register) }
    }

    fn write(&self, register: u16, value: u8) {
        // SAFETY: as in `read`; the device reaches memory through the bus master's table only.
        unsafe { port::write8(self.block + register, value) };
    }

    /// Asks what is there, by polling; the interrupt stays off meanwhile.
    fn identify(mut self) -> Option<Self> {
        const NO_INTERRUPT: u8 = 1 << 1;
        // SAFETY: the channel's control register.
        unsafe { port::write8(self.control, NO_INTERRUPT) };
        self.write(DEVICE, FIRST);
        // Nothing there floats, or answers zero.
        if matches!(self.read(COMMAND), 0 | 0xFF) {
            return None;
        }
        self.write(COMMAND, IDENTIFY);
        let settled = |status: &u8| status & BUSY == 0 && status & (READY_FOR_DATA | ERROR) != 0;
        let status = (0..PATIENCE).map(|_| self.read(COMMAND)).find(settled)?;
        if status & ERROR != 0 {
            return None;
        }
        let mut words = [0u16; 256];
        // SAFETY: the device has a sector of data for whoever reads this register.
        unsafe { port::read16_all(self.block + DATA, &mut words) };
        let has = |word: usize, bit: u32| words[word] >> bit & 1 != 0;
        // Words 49, 83 and 100 to 103 (ATA/ATAPI-7, table 12).
        let usable = has(49, 8) && has(49, 9) && has(83, 10);
        self.sectors = (100..104).rev().fold(0, |sum, word| sum << 16 | u64::from(words[word]));
        self.can_flush = has(83, 13);
        // SAFETY: the control register: interrupts on.
        unsafe { port::write8(self.control, 0) };
        usable.then_some(self)
    }

    fn master_status(&self) -> u8 {
        // SAFETY: the bus master's status has no effects when read.
        unsafe { port::read8(self.master + MASTER_STATUS) }
    }

    /// Stops the bus master and takes its notices back.
    fn stop(&self) {
        // SAFETY: the bus master's command; its notices are cleared by writing them.
        unsafe {
            port::write8(self.master, 0);
            port::write8(self.master + MASTER_STATUS, INTERRUPTED | MASTER_ERROR);
        }
    }

    /// Resets the device; false if it stays busy for longer than a call into the kernel may take.
    fn reset(&self) -> bool {
        const RESET: u8 = 1 << 2;
        const PATIENCE: u32 = 2000;
        // SAFETY: the control register; the reset takes 5 us, in which the status is read often (ATA/ATAPI-7, 9.2).
        unsafe {
            port::write8(self.control, RESET);
            (0..16).for_each(|_| _ = port::read8(self.control));
            port::write8(self.control, 0);
        }
        (0..PATIENCE).any(|_| self.read(COMMAND) & BUSY == 0)
    }

    /// Starts a command on so many sectors, at most 65,536.
    fn command(&self, command: u8, sector: u64, count: u32) {
        self.write(DEVICE, FIRST);
        let byte = |at: u32| (sector >> (8 * at)) as u8;
        // Each register takes the upper half first (ATA/ATAPI-7, 6.2.1). 65,536 is written as zero.
        self.write(COUNT, (count >> 8) as u8);
        ADDRESS.iter().zip(3..6).for_each(|(register, at)| self.write(*register, byte(at)));
        self.write(COUNT, count as u8);
        ADDRESS.iter().zip(0..3).for_each(|(register, at)| self.write(*register, byte(at)));
        self.write(COMMAND, command);
    }
}

impl AtaDisk {
    /// Takes a channel's disk in use, with [`FRAMES`] frames of the kernel's from `memory` on; `None` if it has no interrupt.
    #[must_use]
    pub fn start(
        channel: Channel,
        memory: FrameNumber,
        interrupts: &Interrupts,
        vector: u8,
        apic_id: u32,
    ) -> Option<Self> {
        let line = interrupts.isa(channel.interrupt);
        if !ioapic::route(&line, vector, apic_id) {
            return None;
        }
        channel.stop();
        // What identifying left asserted is taken back by reading the status.
        channel.read(COMMAND);
        ioapic::unmask(line.number);
        Some(Self { channel, memory, requests: VecDeque::with_capacity(REQUESTS), up: true })
    }

    /// Sectors of 512 bytes.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.channel.sectors
    }

    /// ATA disks are written to.
    #[must_use]
    pub fn read_only(&self) -> bool {
        false
    }

    /// Whether the device can flush its cache.
    #[must_use]
    pub fn can_flush(&self) -> bool {
        self.channel.can_flush
    }

    /// Starts a request, or lets it wait; false if too many wait or a frame is not ring 3's.
    pub fn submit(
        &mut self,
        frames: &mut FrameTable,
        operation: Operation,
        sector: u64,
        runs: Runs,
        tag: u64,
    ) -> bool {
        if !self.has_room() || !runs.pin(frames) {
            return false;
        }
        self.requests.push_back(Request { operation, sector, runs, tag, done: 0, piece: 0 });
        if self.requests.len() == 1 {
            self.start_piece();
        }
        true
    }

    /// Whether one more request can be submitted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.up && self.requests.len() < REQUESTS
    }

    /// Whether a request with such a tag is in flight.
    #[must_use]
    pub fn has(&self, matches: impl Fn(u64) -> bool) -> bool {
        self.requests.iter().any(|request| matches(request.tag))
    }

    /// Resets the device, as `BlockDevice::reset`: once the bus master has stopped, nothing reaches a frame any more.
    pub fn reset(&mut self, frames: &mut FrameTable, mut failed: impl FnMut(Completed)) -> bool {
        self.channel.stop();
        for request in self.requests.drain(..) {
            request.runs.unpin(frames);
            failed(Completed { tag: request.tag, ok: false, length: 0 });
        }
        self.up = self.channel.reset();
        self.up
    }

    /// Whether it came up after the last reset.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Takes one ended request.
    pub fn complete(&mut self, frames: &mut FrameTable) -> Option<Completed> {
        let request = self.requests.front_mut()?;
        let master = self.channel.master_status();
        if master & INTERRUPTED == 0 {
            return None;
        }
        let status = self.channel.read(COMMAND);
        if status & BUSY != 0 {
            return None;
        }
        self.channel.stop();
        let ok = status & (ERROR | FAULT) == 0 && master & MASTER_ERROR == 0;
        if ok && request.operation == Operation::Read && !is_reachable(&request.runs) {
            copy(&request.runs, request.done, request.piece, self.memory, false);
        }
        request.done += request.piece;
        let length = request.runs.length();
        if ok && request.done < length {
            self.start_piece();
            return None;
        }
        let request = self.requests.pop_front()?;
        request.runs.unpin(frames);
        if !self.requests.is_empty() {
            self.start_piece();
        }
        Some(Completed { tag: request.tag, ok, length: if ok { length } else { 0 } })
    }

    /// Hands the next piece of the first request to the device.
    fn start_piece(&mut self) {
        let (channel, memory) = (self.channel, self.memory);
        let Some(request) = self.requests.front_mut() else { return };
        // A reset may have left a notice.
        channel.stop();
        if request.operation == Operation::Flush {
            return channel.command(FLUSH, 0, 0);
        }
        let left = request.runs.length() - request.done;
        let writes = request.operation == Operation::Write;
        if is_reachable(&request.runs) {
            request.piece = left;
            fill_table(memory, request.runs.parts(0, left));
        } else {
            request.piece = left.min(BUFFER);
            if writes {
                copy(&request.runs, request.done, request.piece, memory, true);
            }
            let buffer = FrameNumber(memory.0 + 1).start().0;
            fill_table(memory, core::iter::once((buffer, request.piece)));
        }
        let direction = if writes { 0 } else { TO_MEMORY };
        let sector = request.sector + u64::from(request.done / 512);
        // SAFETY: the table is filled with frames that are pinned, or the buffer; the device is idle.
        unsafe {
            port::write32(channel.master + MASTER_TABLE, memory.start().0 as u32);
            port::write8(channel.master, direction);
        }
        channel.command(if writes { WRITE_DMA } else { READ_DMA }, sector, request.piece / 512);
        // SAFETY: as above.
        unsafe { port::write8(channel.master, direction | START) };
    }
}

/// Whether the device reaches all frames of the runs.
fn is_reachable(runs: &Runs) -> bool {
    runs.parts(0, u32::MAX).all(|(at, length)| at + u64::from(length) <= REACH)
}

/// Writes the table of regions: none of them crosses 64 KiB, and the last says so. Four runs of 4 MiB are 260 at most, of 512.
fn fill_table(memory: FrameNumber, parts: impl Iterator<Item = (u64, u32)>) {
    const BOUNDARY: u64 = 64 << 10;
    const LAST: u32 = 1 << 31;
    let table = memory.pointer::<u32>();
    let mut count = 0;
    for (mut at, length) in parts {
        let end = at + u64::from(length);
        while at < end {
            let next = end.min((at / BOUNDARY + 1) * BOUNDARY);
            // SAFETY: within the table's frame, which is the kernel's. A length of 64 KiB is written as zero.
            unsafe {
                table.add(2 * count).write_volatile(at as u32);
                table.add(2 * count + 1).write_volatile((next - at) as u32 & 0xFFFF);
            }
            (at, count) = (next, count + 1);
        }
    }
    if let Some(last) = count.checked_sub(1) {
        // SAFETY: as above.
        unsafe {
            let length = table.add(2 * last + 1);
            length.write_volatile(length.read_volatile() | LAST);
        }
    }
}

/// Copies a piece of the runs to the buffer, or back.
fn copy(runs: &Runs, done: u32, piece: u32, memory: FrameNumber, to_buffer: bool) {
    let mut buffer = FrameNumber(memory.0 + 1).pointer::<u8>();
    for (at, length) in runs.parts(done, piece) {
        let part = (DIRECT_MAP + at) as *mut u8;
        let (from, to) = if to_buffer { (part, buffer) } else { (buffer, part) };
        // SAFETY: 1. The runs are pinned RAM of ring 3, the buffer is the kernel's, both in the direct map. 2. Lengths are multiples of
        // 512, and together at most the buffer's. 3. Assembly: ring 3 may write meanwhile, which only changes what is copied.
        unsafe {
            core::arch::asm!("rep movsq", inout("rsi") from => _, inout("rdi") to => _, inout("rcx") u64::from(length / 8) => _, options(nostack, preserves_flags));
            buffer = buffer.add(length as usize);
        }
    }
}
