//! The native calls, declared once.

macro_rules! calls {
    ($( $(#[doc = $doc:literal])+ $name:ident = $number:literal ( $($argument:ident),* ) ),+ $(,)?) => {
        /// A native call; the value is its number in `rax[31:0]`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Call { $( $(#[doc = $doc])+ $name = $number, )+ }

        impl Call {
            /// Every call, in the order of its number.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// The call with this number.
            #[inline(always)]
            #[must_use]
            pub fn from_number(number: u32) -> Option<Self> {
                match number { $( $number => Some(Self::$name), )+ _ => None }
            }

            /// Name and argument names, in register order, for traces and the reference page.
            #[must_use]
            pub fn signature(self) -> (&'static str, &'static [&'static str]) {
                match self { $( Self::$name => (stringify!($name), &[ $( stringify!($argument) ),* ]), )+ }
            }

            /// The text above, for the reference page.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $( Self::$name => concat!( $( $doc, "\n" ),+ ), )+ }
            }
        }
    };
}

calls! {
    /// Does nothing. The floor of what a kernel entry costs.
    Null = 0 (),
    /// `serix_write`: appends up to 1024 bytes to the kernel log. Needs LOG on the console slot.
    Write = 1 (console, address, length),
    /// `serix_exit`: ends the calling domain, with a status that its creator can read.
    Exit = 2 (status),
    /// `serix_yield`: gives up the rest of the slice.
    Yield = 3 (),
    /// Switches to dispatcher `number` of an environment of the same domain, which runs on in the caller's slice. Needs CONTROL.
    /// The caller runs again when something yields to it. `Busy` if the other waits, or runs on another core.
    YieldTo = 4 (environment, number),
    /// Checks a token and enters it in the caller's binding table. Returns the slot.
    Bind = 5 (token, length),
    /// Empties a slot. An object that the slot made (environment, domain, event, ring, subtree) must have been
    /// destroyed first; a delegation must have been revoked.
    Unbind = 6 (slot),
    /// Delegates `count` units from unit `first` of a slot's range to a domain: writes the sealed token (48 bytes) to
    /// `token` and returns a slot of the delegation, for revoking it and for filling the child's memory.
    /// `parameters` points to a [`crate::map::Grant`]. Answers `Again` while frames change owner.
    Grant = 7 (slot, parameters, token),
    /// Takes a delegation back: all that was made of it ends, frames are unmapped and zeroed. Answers `Again` until done. Until `deadline`
    /// (nanoseconds of the TSC clock; 0: at once) the holder is asked for it (upcall REVOKE, and its record) and the answer is `Busy`;
    /// if it lets go before, `bits` of `event` (or none) are signalled, and the call goes on.
    Revoke = 8 (delegation, deadline, event, bits),
    /// Maps frames: `requests` points to `count` (1 to 64) [`crate::map::MapRequest`]s. Returns how many were done; an
    /// error only if the first failed.
    Map = 9 (space, requests, count),
    /// Maps `count` consecutive frames of a slot, RAM's or a device's, from unit `first`, at consecutive pages. `flags` as in
    /// [`crate::map::MapFlags`]. Returns how many were done.
    MapRange = 10 (space, address, frames, first, count, flags),
    /// Removes the mappings of `count` pages from `address` on; absent ones count as done. Returns how many were done.
    Unmap = 11 (space, address, count),
    /// Sets the flags of the present pages among `count` from `address` on. Returns how many were passed.
    Protect = 12 (space, address, count, flags),
    /// Copy-on-write fork of a range: maps each page present in `source` at the same place in `target`; writable private
    /// pages become read-only and marked [`crate::map::MapFlags::COPY`] on both sides. Returns how many pages were passed.
    CopyRange = 13 (source, target, address, count),
    /// Makes an empty subtree (a third-level page table) in a domain (none: the caller's own), paid by that domain's
    /// account. Returns its slot.
    SubtreeCreate = 14 (domain),
    /// Attaches a subtree in a top-level slot of an environment, `writable` or not; `subtree` = none detaches.
    Attach = 15 (environment, top_slot, subtree, writable),
    /// Destroys a subtree that is attached nowhere. Answers `Again` until done.
    SubtreeDestroy = 16 (subtree),
    /// Makes an environment in a domain (none: the caller's own), whose page-table window is at top-level slot `window_slot`
    /// (none: no window). Paid by that domain's account. Returns its slot.
    EnvironmentCreate = 17 (domain, window_slot),
    /// Destroys an environment with its dispatchers; its frames stay the domain's. Answers `Again` until done. An
    /// environment cannot destroy the one it runs in: see `EnvironmentLeave`.
    EnvironmentDestroy = 18 (environment),
    /// Gives the calling environment a dispatcher, or another environment its first: `parameters` points to a
    /// [`crate::dispatcher::DispatcherParameters`]. Returns the dispatcher's number in the environment.
    DispatcherCreate = 19 (environment, parameters),
    /// Makes a domain with an empty binding table and account. `event` and `bits` are signalled when it ends. It and what it makes can have
    /// `share` objects of those that the caller may still make, which come back when it is destroyed; zero: a sixteenth of them. Returns its slot.
    DomainCreate = 20 (event, bits, share),
    /// Ends a domain and everything in it. Delegations to it are still to be revoked. Answers `Again` until done.
    DomainDestroy = 21 (domain),
    /// Whether a domain runs (0) or why it ended: an [`crate::start::EndReason`] in bits 63 to 32, its status in bits 31 to 0.
    DomainStatus = 22 (domain),
    /// Hands `count` frames of a slot, from unit `first`, over to the account of a domain (none: the caller's own). For
    /// another domain, `frames` is the delegation to it. Returns how many were taken.
    Fund = 23 (domain, frames, first, count),
    /// Makes an event, a word of 64 bits. Returns its slot.
    EventCreate = 24 (),
    /// Sets bits of an event and wakes who waits for them. Needs SIGNAL.
    EventSignal = 25 (event, bits),
    /// Waits until a bit of `mask` is set, clears and returns those that are; `TimedOut` after `deadline`
    /// (nanoseconds of the TSC clock; 0 polls). Needs WAIT.
    EventWait = 26 (event, mask, deadline),
    /// Makes a transfer ring in a frame of the caller; completions signal `bits` of `event`. Returns its slot.
    RingCreate = 27 (frames, unit, event, bits),
    /// Takes new submissions from a ring. Returns how many were taken; a bad one completes with an error.
    RingSubmit = 28 (ring),
    /// Ends a ring. `Busy` while transfers are in flight.
    RingDestroy = 29 (ring),
    /// Maps the information page read-only at `address`.
    InfoMap = 30 (environment, address),
    /// Gives `count` slices of a slot, from unit `first`, to a domain, on their core.
    SliceAssign = 31 (slices, first, count, domain),
    /// Switches to another environment of the domain and destroys the calling one. For the last step of a process.
    EnvironmentLeave = 32 (leaving, target),
    /// Units and rights of a slot: writes a [`crate::map::SlotInfo`] to `address`.
    SlotQuery = 33 (slot, address),
    /// Walks the frame table and page tables and compares them with the ledger. Needs CONTROL on a console slot. Answers
    /// `Again` until done, then the number of violations.
    LedgerCheck = 34 (console),
    /// Sets the entries and the restart range of a dispatcher from the [`crate::dispatcher::DispatcherParameters`] at
    /// `parameters`; its frame, address and initial registers are ignored.
    DispatcherEntries = 35 (environment, number, parameters),
    /// How many mappings the frames of a slot have: `unit`'s count.
    MappingCount = 36 (frames, unit),
    /// Lets dispatcher `number`, which is parked, run on any core on which its domain has slices. Needs CONTROL. A dispatcher
    /// is parked when it is made (but the first of a domain) and when it has yielded to another.
    DispatcherStart = 37 (environment, number),
    /// Makes a gate: who calls it enters dispatcher `number` of an environment at `entry`, with `stack` as its stack pointer. Needs
    /// CONTROL. The dispatcher must be parked to be called, and serves one call at a time. Paid by the environment's domain.
    /// Returns the gate's slot; emptying that slot ends it.
    GateCreate = 38 (environment, number, entry, stack),
    /// Calls a gate with four words, on the caller's slice, and waits for the reply until `deadline`. The server finds in rdi the badge
    /// (the generation of the grant through which the caller has the gate), in rsi, rdx, rcx and r8 the words. The reply's
    /// words are in rdx, rdi, rsi and r8. Needs CALL. The other registers arrive cleared.
    GateCall = 39 (gate, word0, word1, word2, word3, deadline),
    /// Answers the call that the calling dispatcher serves, and waits for the next one: it does not return.
    GateReply = 40 (word0, word1, word2, word3),
    /// Names a frame of the caller as its record: the kernel writes there what it is asked to give back and what was taken from it
    /// (a [`crate::record::RecordPage`]) and signals `bits` of `event` each time. The frame is pinned until the domain ends.
    RecordSet = 41 (frames, unit, event, bits),
    /// Lets go of what the caller was asked for: the grant with this generation may be taken before its deadline.
    Surrender = 42 (generation),
    /// From now on a signal of an interrupt line sets `bits` of `event` and masks the line, until `InterruptAcknowledge`. `event` =
    /// none lets go of the line. Needs CONTROL. `Busy` if the line is bound through another grant.
    InterruptBind = 43 (interrupt, event, bits),
    /// Lets a line that is bound through this slot signal again. Of a line that signals by edges, what came meanwhile is lost:
    /// look at the device after this call.
    InterruptAcknowledge = 44 (interrupt),
    /// Reads a byte from port `unit` of a slot. Needs READ.
    PortRead = 45 (ports, unit),
    /// Writes a byte to port `unit` of a slot. Needs WRITE. `Denied` if the value would reset the machine or change its addresses.
    PortWrite = 46 (ports, unit, value),
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn numbers_are_dense_and_round_trip() {
        for (number, call) in Call::ALL.iter().enumerate() {
            assert_eq!(*call as usize, number);
            assert_eq!(Call::from_number(number as u32), Some(*call));
            assert!(call.signature().1.len() <= 6);
            assert!(!call.description().is_empty());
        }
        assert_eq!(Call::from_number(Call::ALL.len() as u32), None);
    }
}
