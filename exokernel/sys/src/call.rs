//! Calls that need no pointers, and those whose pointers are Rust references.
use crate::raw::{native, native_until_done};
use crate::{Result, Slot};
use serix_abi::Call;
use serix_abi::map::{Grant, SlotInfo};

macro_rules! simple {
    ($( $(#[doc = $doc:literal])+ $name:ident = $call:ident ( $($argument:ident),* ) -> $how:ident; )+) => { $(
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// As the call's description in `serix_abi::Call` says.
        #[inline]
        pub fn $name($($argument: simple!(@type $argument)),*) -> Result<u64> {
            // SAFETY: no pointers; the kernel checks every argument, and no memory of this
            // environment changes. Vector registers are unused: this code is soft-float.
            unsafe { $how(Call::$call, simple!(@pad [] $($argument),*)) }
        }
    )+ };
    (@type slot) => { Slot };
    (@type domain) => { Slot };
    (@type event) => { Slot };
    (@type $other:ident) => { u64 };
    (@value slot) => { u64::from(slot.0) };
    (@pad [] ) => { [0; 6] };
    (@pad [] $a:ident) => { [$a.to_argument(), 0, 0, 0, 0, 0] };
    (@pad [] $a:ident, $b:ident) => { [$a.to_argument(), $b.to_argument(), 0, 0, 0, 0] };
    (@pad [] $a:ident, $b:ident, $c:ident) => { [$a.to_argument(), $b.to_argument(), $c.to_argument(), 0, 0, 0] };
    (@pad [] $a:ident, $b:ident, $c:ident, $d:ident) => { [$a.to_argument(), $b.to_argument(), $c.to_argument(), $d.to_argument(), 0, 0] };
}

/// What can be an argument of a call.
trait Argument {
    fn to_argument(self) -> u64;
}
impl Argument for u64 {
    #[inline(always)]
    fn to_argument(self) -> u64 {
        self
    }
}
impl Argument for Slot {
    #[inline(always)]
    fn to_argument(self) -> u64 {
        u64::from(self.0)
    }
}

simple! {
    /// Does nothing in the kernel.
    null = Null() -> native;
    /// Gives up the rest of the slice.
    yield_slice = Yield() -> native;
    /// Switches to dispatcher `number` of the environment in `slot`.
    yield_to = YieldTo(slot, number) -> native;
    /// Lets parked dispatcher `number` of the environment in `slot` run on any core of its domain.
    dispatcher_start = DispatcherStart(slot, number) -> native;
    /// Makes a gate into dispatcher `number` of `environment` at `entry` with stack pointer `stack`; the value is its slot.
    gate_create = GateCreate(slot, number, entry, stack) -> native;
    /// Empties a slot.
    unbind = Unbind(slot) -> native_until_done;
    /// Takes a delegation back, waiting until it is gone.
    revoke = Revoke(slot) -> native_until_done;
    /// Lets go of what the domain was asked for.
    surrender = Surrender(generation) -> native;
    /// Makes frame `unit` of `slot` the domain's record; news signal `bits` of `event`.
    record_set = RecordSet(slot, unit, event, bits) -> native;
    /// Signals of the line in `slot` set `bits` of `event`; none lets go of it.
    interrupt_bind = InterruptBind(slot, event, bits) -> native;
    /// Lets the line in `slot` signal again.
    interrupt_acknowledge = InterruptAcknowledge(slot) -> native;
    /// Reads a byte from port `unit` of `slot`.
    port_read = PortRead(slot, unit) -> native;
    /// Writes a byte to port `unit` of `slot`.
    port_write = PortWrite(slot, unit, value) -> native;
    /// Makes an empty subtree in `domain`; the value is its slot.
    subtree_create = SubtreeCreate(domain) -> native;
    /// How many mappings frame `unit` of `slot` has.
    mapping_count = MappingCount(slot, unit) -> native;
    /// Destroys an unattached subtree.
    subtree_destroy = SubtreeDestroy(slot) -> native_until_done;
    /// Makes an environment in `domain` with its page-table window at a top-level slot; the value is its slot.
    environment_create = EnvironmentCreate(domain, window_slot) -> native;
    /// Destroys an environment.
    environment_destroy = EnvironmentDestroy(slot) -> native_until_done;
    /// Makes a domain whose end signals `bits` of `event`, for at most `share` objects; the value is its slot.
    domain_create = DomainCreate(event, bits, share) -> native_until_done;
    /// Ends a domain.
    domain_destroy = DomainDestroy(domain) -> native_until_done;
    /// Why a domain ended, or zero.
    domain_status = DomainStatus(domain) -> native;
    /// Makes an event; the value is its slot.
    event_create = EventCreate() -> native;
    /// Sets bits of an event.
    event_signal = EventSignal(event, bits) -> native;
    /// Waits for bits of an event until a deadline in nanoseconds; the value is the bits taken.
    event_wait = EventWait(event, mask, deadline) -> native;
    /// Takes new submissions from a ring; the value is how many.
    ring_submit = RingSubmit(slot) -> native;
    /// Ends a ring without transfers in flight.
    ring_destroy = RingDestroy(slot) -> native_until_done;
    /// Makes a ring in frame `unit` of `slot`; completions signal `bits` of `event`; the value is its slot.
    ring_create = RingCreate(slot, unit, event, bits) -> native;
    /// Gives slices to a domain.
    slice_assign = SliceAssign(slot, first, count, domain) -> native;
    /// Compares page tables and frame table with the ledger; the value is the number of violations.
    ledger_check = LedgerCheck(slot) -> native_until_done;
}

/// Ends the calling domain.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: no pointers. The call does not return; the loop is for the type.
        let _ = unsafe { native(Call::Exit, [status as u32 as u64, 0, 0, 0, 0, 0]) };
    }
}

/// Switches to `target` and destroys the environment `leaving`, which is the calling one.
///
/// # Errors
/// If a slot is wrong; on success it does not return.
pub fn environment_leave(leaving: Slot, target: Slot) -> Result<u64> {
    // SAFETY: on success nothing of this environment runs again.
    unsafe { native(Call::EnvironmentLeave, [leaving.0.into(), target.0.into(), 0, 0, 0, 0]) }
}

/// Appends bytes to the kernel log, in pieces of at most 4096 bytes.
///
/// # Errors
/// `BadSlot` or `Denied` if `console` is not a console slot with the LOG right.
pub fn write(console: Slot, bytes: &[u8]) -> Result<()> {
    for piece in bytes.chunks(serix_abi::WRITE_MAX) {
        // SAFETY: the kernel reads exactly the bytes of `piece`.
        unsafe {
            native(
                Call::Write,
                [console.0.into(), piece.as_ptr() as u64, piece.len() as u64, 0, 0, 0],
            )
        }?;
    }
    Ok(())
}

/// Binds a token in the caller's binding table.
///
/// # Errors
/// `BadToken` if it does not verify for this domain, `TableFull`, `NoFrames`.
pub fn bind(token: &[u8]) -> Result<Slot> {
    // SAFETY: the kernel reads exactly the bytes of `token`.
    unsafe { native(Call::Bind, [token.as_ptr() as u64, token.len() as u64, 0, 0, 0, 0]) }
        .map(|slot| Slot(slot as u32))
}

/// Delegates part of a slot's range: the sealed token for the receiver, and the delegation's slot.
///
/// # Errors
/// As `serix_abi::Call::Grant`.
pub fn grant(slot: Slot, parameters: &Grant) -> Result<([u8; 48], Slot)> {
    let mut token = [0u8; 48];
    let delegation =
        // SAFETY: the kernel reads `parameters` and writes 48 bytes to `token`.
        unsafe {
            native_until_done(
                Call::Grant,
                [slot.0.into(), core::ptr::from_ref(parameters) as u64, token.as_mut_ptr() as u64, 0, 0, 0],
            )
        }?;
    Ok((token, Slot(delegation as u32)))
}

/// What a slot holds.
///
/// # Errors
/// `BadSlot` if it is empty.
pub fn slot_query(slot: Slot) -> Result<SlotInfo> {
    let mut info = SlotInfo::default();
    // SAFETY: the kernel writes one `SlotInfo`.
    unsafe {
        native(Call::SlotQuery, [slot.0.into(), core::ptr::from_mut(&mut info) as u64, 0, 0, 0, 0])
    }?;
    Ok(info)
}

/// Hands frames over to a domain's account (`Slot::NONE`: the caller's own).
///
/// # Errors
/// As `serix_abi::Call::Fund`; frames before the failing one were taken.
///
/// # Safety
/// The frames are not mapped where Rust code still uses them (the kernel refuses mapped ones).
pub unsafe fn fund(domain: Slot, frames: Slot, first: u64, count: u64) -> Result<()> {
    let mut done = 0;
    while done < count {
        // SAFETY: as the caller promises.
        done += unsafe {
            native(Call::Fund, [domain.0.into(), frames.0.into(), first + done, count - done, 0, 0])
        }?;
    }
    Ok(())
}
