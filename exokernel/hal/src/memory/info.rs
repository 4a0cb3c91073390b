//! The information page: written by the kernel, mapped read-only by anyone.
use super::frames::FrameTable;
use crate::address::FrameNumber;
use core::sync::atomic::{AtomicPtr, Ordering};
use serix_abi::info::{Counters, Histogram, InfoPage};

/// The counters of the page, for paths that take no lock; null until the page is made.
static COUNTERS: AtomicPtr<Counters> = AtomicPtr::new(core::ptr::null_mut());

/// Counts a fault that was delivered to ring 3.
#[inline]
pub fn count_fault() {
    // SAFETY: null, or the counters of the page, which is pinned for ever; all of them are atomics.
    if let Some(counters) = unsafe { COUNTERS.load(Ordering::Relaxed).as_ref() } {
        counters.faults.fetch_add(1, Ordering::Relaxed);
    }
}

/// The histograms of the page, likewise.
static HISTOGRAMS: AtomicPtr<Histogram> = AtomicPtr::new(core::ptr::null_mut());

/// Adds a duration to a row of the histograms.
pub(crate) fn note(row: usize, ticks: u64) {
    // SAFETY: null, or the first of the page's histograms, which is pinned for ever; all of them are atomics.
    let row = unsafe {
        let first = HISTOGRAMS.load(Ordering::Relaxed).cast_const();
        (row < serix_abi::info::HISTOGRAMS && !first.is_null()).then(|| &*first.add(row))
    };
    if let Some(row) = row {
        row.note(ticks);
    }
}

/// Tells how much of the kernel's heap is in use.
pub(super) fn note_heap(bytes: u64) {
    // SAFETY: as above.
    if let Some(counters) = unsafe { COUNTERS.load(Ordering::Relaxed).as_ref() } {
        counters.heap_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// The page and its frame, pinned for ever.
pub struct SharedInfo {
    frame: FrameNumber,
    page: &'static mut InfoPage,
}

impl SharedInfo {
    /// Takes a frame for the page; `None` if it is not free for ring 3.
    pub fn new(frames: &mut FrameTable, frame: FrameNumber) -> Option<Self> {
        if !frames.zero_user(frame) || !frames.pin(frame) {
            return None;
        }
        // SAFETY: pinned RAM that is never claimed from here on and that the kernel maps read-only elsewhere; zeroes are a
        // valid `InfoPage`.
        let page = unsafe { &mut *frame.pointer::<InfoPage>() };
        COUNTERS.store(&raw mut page.counters, Ordering::Relaxed);
        HISTOGRAMS.store(page.histograms.as_mut_ptr(), Ordering::Relaxed);
        Some(Self { frame, page })
    }

    /// The frame to map.
    #[must_use]
    pub fn frame(&self) -> FrameNumber {
        self.frame
    }

    /// The page, to be filled.
    pub fn page(&mut self) -> &mut InfoPage {
        self.page
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.page.counters
    }

    /// Adds the foreign calls that a core reflected since it last did this.
    pub fn count_foreign(&self) {
        let calls = crate::cpu::local::take_foreign_calls();
        self.counters().foreign_calls.fetch_add(calls, Ordering::Relaxed);
    }

    /// Notes how late a slice began.
    pub fn note_lateness(&self, nanoseconds: u64) {
        self.counters().latest_slice_ns.fetch_max(nanoseconds, Ordering::Relaxed);
    }

    /// Counts a mapping of pages.
    pub fn count_mapped(&self, pages: u64) {
        self.counters().pages_mapped.fetch_add(pages, Ordering::Relaxed);
    }
}

macro_rules! count {
    ($($(#[$doc:meta])* $name:ident $counter:ident;)+) => {
        impl SharedInfo { $( $(#[$doc])* pub fn $name(&self) {
            // One writer at a time, under the kernel lock: no locked instruction needed.
            let counter = &self.counters().$counter;
            counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } )+ }
    };
}

count! {
    /// Counts a switch of environment.
    count_switch switches;
    /// Counts a timer interrupt.
    count_timer timer_interrupts;
    /// Counts a device interrupt.
    count_device device_interrupts;
    /// Counts a halt.
    count_halt halts;
    /// Counts a block transfer.
    count_block block_transfers;
    /// Counts a stream transfer.
    count_stream stream_transfers;
    /// Counts a token that did not verify.
    count_bad_token bad_tokens;
}
