//! What the declarations do not say: of each call its arguments, value, errors and reason. A call without notes does not
//! compile.

use serix_abi::map::MapFlags;
use serix_abi::{Call, Error};

/// Notes on a call.
pub(crate) struct Notes {
    /// One for each argument.
    pub(crate) arguments: &'static [&'static str],
    /// What rdx holds.
    pub(crate) returns: &'static str,
    /// Errors and when they come, besides those about slots.
    pub(crate) errors: &'static [(Error, &'static str)],
    /// Why the call exists, or is as it is.
    pub(crate) why: &'static str,
}

/// What an error means, for the table.
pub(crate) fn error(error: Error) -> &'static str {
    match error {
        Error::BadCall => "there is no such call",
        Error::BadSlot => "the slot is empty, out of range, or of another kind",
        Error::Denied => "a right is missing, or a frame is not the domain's",
        Error::BadArgument => "misaligned, out of range, an unknown flag",
        Error::BadAddress => "memory that the caller named cannot be read or written",
        Error::Stale => "what the slot stands on was revoked, or its object ended",
        Error::BadToken => "malformed, forged, expired, or for another domain",
        Error::NoFrames => "the account that pays is empty: `Fund` it and call again",
        Error::TableFull => "a table of fixed size is full",
        Error::Again => "a part is done: call again with the same arguments",
        Error::Busy => "in use: mapped, pinned, attached, delegated, or under way",
        Error::TimedOut => "the deadline passed",
        Error::Dead => "the object ended",
        Error::Unsupported => "this machine has no such thing (no call answers it yet)",
    }
}

/// What a right allows.
pub(crate) fn right(name: &str) -> &'static str {
    match name {
        "READ" => {
            "read blocks, a stream or ports; frames need no right to be mapped readable but MAP"
        }
        "WRITE" => "map writable, be written by a device, write blocks, a stream or ports",
        "EXECUTE" => "map executable",
        "MAP" => "map frames; change the mappings of an environment or subtree; pay with frames",
        "DMA" => "name frames in a transfer",
        "GRANT" => "delegate; assign slices",
        "REVOKE" => "nothing yet: a delegation's slot is what revokes it",
        "SIGNAL" => "set bits of an event",
        "WAIT" => "wait for bits of an event",
        "CONTROL" => {
            "change, run and end an object; bind an interrupt line; check the ledger (log)"
        }
        "LOG" => "append to the kernel log",
        "CALL" => "call a gate",
        _ => panic!("a right without a note: {name}"),
    }
}

/// Flags of mappings.
pub(crate) const MAP_FLAGS: &[(MapFlags, &str, &str)] = &[
    (MapFlags::PRESENT, "PRESENT", "in use, readable; set by the kernel"),
    (MapFlags::WRITE, "WRITE", "writable"),
    (MapFlags::DEVICE, "DEVICE", "a device's page, with the bits 8 and 128; set by the kernel"),
    (MapFlags::ACCESSED, "ACCESSED", "set by the CPU"),
    (MapFlags::DIRTY, "DIRTY", "set by the CPU"),
    (MapFlags::SHARED, "SHARED", "`CopyRange` leaves it as it is"),
    (MapFlags::COPY, "COPY", "`CopyRange` made it read-only"),
    (MapFlags::LIBOS, "LIBOS", "the libOS's"),
    (MapFlags::MAY_WRITE, "MAY_WRITE", "`Protect` may make it writable; set by the kernel"),
    (MapFlags::MAY_EXECUTE, "MAY_EXECUTE", "`Protect` may make it executable; set by the kernel"),
    (MapFlags::NO_EXECUTE, "NO_EXECUTE", "not executable"),
];

const ENVIRONMENT: &str = "environment, with CONTROL";
const ENVIRONMENT_MAP: &str = "environment, with MAP";
const SPACE: &str = "environment or subtree, with MAP";
const DOMAIN: &str = "domain, with CONTROL";
const OWN_OR_DOMAIN: &str = "domain, with CONTROL; none: the caller's own";
const NOTHING: &str = "0";
const SLOT: &str = "the slot";
const OBJECT_ERRORS: &[(Error, &str)] = &[
    (
        Error::NoFrames,
        "the account has no frame for the object, its grant node or the binding table",
    ),
    (
        Error::TableFull,
        "the binding table has 1,024 slots, or the domain's share of objects is used up",
    ),
];

/// The notes on a call.
pub(crate) fn of(call: Call) -> Notes {
    match call {
        Call::Null => Notes {
            arguments: &[],
            returns: NOTHING,
            errors: &[],
            why: "To measure entry and exit alone. It takes no lock.",
        },
        Call::Write => Notes {
            arguments: &["console 0, with LOG", "first byte", "bytes, at most 1024"],
            returns: "`length`",
            errors: &[
                (Error::BadArgument, "more than 1024 bytes"),
                (
                    Error::BadAddress,
                    "some of the bytes cannot be read; those before may have been written",
                ),
            ],
            why: "A program that can say nothing cannot be debugged. The bytes go out as they are, without a mark of whose they are.",
        },
        Call::Exit => Notes {
            arguments: &["status; bits 31 to 0 count"],
            returns: "never",
            errors: &[],
            why: "The end of a domain is its own to choose, and its creator's to see. When the first domain ends, the machine does.",
        },
        Call::Yield => Notes {
            arguments: &[],
            returns: "0, when the dispatcher runs again",
            errors: &[],
            why: "A domain with nothing urgent to do should not have to burn its slice. It stays runnable.",
        },
        Call::YieldTo => Notes {
            arguments: &[
                "environment of the caller's domain, with CONTROL",
                "the dispatcher, 0 to 15",
            ],
            returns: "0, when the dispatcher runs again",
            errors: &[
                (Error::Denied, "the environment is another domain's"),
                (Error::BadArgument, "it has no such dispatcher"),
                (Error::Busy, "that dispatcher waits for an event, or runs on another core"),
            ],
            why: "Schedulers are user code: whoever has the slice says who uses it. The caller is *parked*: it runs again when something \
                  yields to it or starts it, and only then.",
        },
        Call::Bind => Notes {
            arguments: &["first byte of the token", "48 bytes, and 32 for each caveat"],
            returns: SLOT,
            errors: &[
                (Error::BadAddress, "the token cannot be read"),
                (Error::Stale, "the delegation that it stands on was revoked"),
                (
                    Error::BadToken,
                    "malformed, forged, expired, or meant for another domain: one answer for all, so that it teaches nothing",
                ),
                (
                    Error::NoFrames,
                    "the table needs another frame (64 slots) and the account has none",
                ),
                (Error::TableFull, "1,024 slots"),
            ],
            why: "Cryptography once, a table look-up ever after. The token is copied in before anything is checked.",
        },
        Call::Unbind => Notes {
            arguments: &["any slot, stale or not"],
            returns: NOTHING,
            errors: &[
                (Error::Again, "an event or gate ends, and has many waiters or delegations"),
                (
                    Error::Busy,
                    "the slot is the maker's name of an object that exists, or of a delegation that holds",
                ),
            ],
            why: "Slots are finite. The maker of an object holds its only sure name and must not lose it; an event or gate ends with that name.",
        },
        Call::Grant => Notes {
            arguments: &[
                "what to delegate, with GRANT and the rights delegated",
                "address of a `Grant`",
                "where 48 bytes of token go",
            ],
            returns: "the delegation's slot",
            errors: &[
                (Error::Denied, "rights that the slot lacks, or the slot is itself a delegation"),
                (Error::BadArgument, "no units, units outside the slot's, reserved bits"),
                (
                    Error::BadAddress,
                    "parameters cannot be read, or the token not written; nothing happened then",
                ),
                (
                    Error::NoFrames,
                    "the account of whoever received the parent has no room for a grant node",
                ),
                (Error::TableFull, "1,024 delegations of one parent, or 1,024 slots"),
                (
                    Error::Again,
                    "1,024 frames changed owner, more are to follow; another grant instead gives them back first",
                ),
                (
                    Error::Busy,
                    "some units are delegated already, or a frame is mapped, pinned or in the account; all frames are the caller's again",
                ),
            ],
            why: "Delegation is recorded so that it can be taken back, and paid by whoever delegates. Only a domain over which the caller has CONTROL can \
                  receive: authority flows from creators down. Frames change owner, with what they hold; the delegation's slot still serves to map them into the \
                  receiver's spaces. Blocks, streams and objects stay usable by the grantor as well.",
        },
        Call::Revoke => Notes {
            arguments: &[
                "slot that `Grant` returned",
                "until when the holder is asked; 0 takes at once",
                "event to signal when the holder lets go, with SIGNAL, or none",
                "bits of that event",
            ],
            returns: NOTHING,
            errors: &[
                (Error::Denied, "the slot is no delegation"),
                (
                    Error::Again,
                    "64 nodes were visited, 64 mappings removed or 16 frames zeroed; more are to follow",
                ),
                (
                    Error::Busy,
                    "the holder is asked, and the deadline has not come; or a frame serves the kernel for the caller or for who made it",
                ),
            ],
            why: "Asked first, taken at the deadline: who never answers loses it, and nobody else waits longer than that. A domain that handed a frame to \
                  the kernel (its account, a page of a dispatcher, ring or record) and does not let go of it ends, with reason `Revoked`. First every name made of the delegation dies, parents before children; then frames are unmapped everywhere, zeroed and given back. A \
                  call after all is gone succeeds, so that it can be repeated blindly.",
        },
        Call::Map => Notes {
            arguments: &[SPACE, "address of the `MapRequest`s", "1 to 64"],
            returns: "how many requests were done; the next one is the one that failed",
            errors: MAP_ERRORS_WITH_ADDRESS,
            why: "One crossing for a batch of pages here and there, as a fault handler with read-around or a small fork has it.",
        },
        Call::MapRange => Notes {
            arguments: &[
                SPACE,
                "first page",
                "frames, with MAP, and WRITE and EXECUTE as the flags ask",
                "first unit",
                "pages, not zero",
                "flags of the mappings",
            ],
            returns: "how many pages were mapped, at most 256",
            errors: MAP_ERRORS,
            why: "The libOS names page and frame, the kernel checks and stores. Existing mappings are replaced. Page tables come from the account of the \
                  domain that has the space.",
        },
        Call::Unmap => Notes {
            arguments: &[SPACE, "first page", "pages, not zero"],
            returns: "how many pages were passed: at most 256 with a page table, or 256 gaps without",
            errors: &[(
                Error::BadArgument,
                "the range is empty, misaligned, or not in the user half",
            )],
            why: "Absent pages count, so that a sparse range needs no knowledge. Page tables stay until the space ends.",
        },
        Call::Protect => Notes {
            arguments: &[
                SPACE,
                "first page",
                "pages, not zero",
                "flags, which replace those that a request may set",
            ],
            returns: "how many pages were passed; as `Unmap`",
            errors: &[
                (
                    Error::Denied,
                    "the first page may not have these flags: the slot that it was mapped from lacks the right",
                ),
                (Error::BadArgument, "the range, or a flag that is not ring 3's to set"),
            ],
            why: "The right was checked when the page was mapped and is kept in the entry (MAY_WRITE, MAY_EXECUTE), so no slot is named.",
        },
        Call::CopyRange => Notes {
            arguments: &[
                ENVIRONMENT_MAP,
                "another of the same domain, with MAP",
                "first page",
                "pages, not zero",
            ],
            returns: "how many pages were passed; as `Unmap`",
            errors: &[
                (
                    Error::BadArgument,
                    "the range; one environment twice; two domains; a subtree or window of the target in the way",
                ),
                (Error::NoFrames, "no frame for a page table of the target"),
            ],
            why: "Fork in few crossings, without policy: what to share, copy or count is the libOS's. What a subtree or window holds is passed over.",
        },
        Call::SubtreeCreate => Notes {
            arguments: &[OWN_OR_DOMAIN],
            returns: "the slot, with CONTROL, MAP and GRANT",
            errors: OBJECT_ERRORS,
            why: "Memory that all environments of a libOS share is mapped once, and what is added is seen by all.",
        },
        Call::Attach => Notes {
            arguments: &[
                ENVIRONMENT_MAP,
                "slot of the top table, 0 to 255",
                "subtree of the same domain, with MAP; none: detach",
                "1: its pages may be written through here; 0: not",
            ],
            returns: NOTHING,
            errors: &[
                (Error::Denied, "the subtree is another domain's"),
                (
                    Error::BadArgument,
                    "`top_slot` or `writable` out of range; nothing is attached there",
                ),
                (Error::TableFull, "8 subtrees are attached"),
                (Error::Busy, "the top slot is in use"),
                (Error::Dead, "the environment is being destroyed"),
            ],
            why: "A top-level slot (512 GiB) is one store, and an attachment costs nothing per page.",
        },
        Call::SubtreeDestroy => Notes {
            arguments: &["subtree, with CONTROL"],
            returns: NOTHING,
            errors: &[
                (Error::Again, "a table was freed, more are to follow"),
                (Error::Busy, "it is attached"),
            ],
            why: "Its page tables go back to the account, its pages stay the domain's.",
        },
        Call::EnvironmentCreate => Notes {
            arguments: &[OWN_OR_DOMAIN, "slot of the top table, 0 to 255; none: no window"],
            returns: "the slot, with CONTROL, MAP and GRANT",
            errors: &[
                (Error::BadArgument, "the window slot is not of the user half"),
                (Error::NoFrames, "the domain's account is empty"),
                (Error::TableFull, "as for other objects"),
            ],
            why: "An address space. The window shows its page tables read-only: the entry of address `a` is at the window's base + (a >> 12) * 8, and the \
                  entry of that entry one level up. So the libOS keeps no copy of what is mapped.",
        },
        Call::EnvironmentDestroy => Notes {
            arguments: &[ENVIRONMENT],
            returns: NOTHING,
            errors: &[
                (Error::BadArgument, "it is the calling one"),
                (Error::Again, "a part is gone, more is to follow; nothing runs in it any more"),
            ],
            why: "The first step ends its dispatchers, the next detach subtrees and free one page table each.",
        },
        Call::DispatcherCreate => Notes {
            arguments: &[ENVIRONMENT, "address of a `DispatcherParameters`"],
            returns: "the dispatcher's number in the environment, 0 to 15",
            errors: &[
                (
                    Error::Denied,
                    "the frame is not of the environment's domain, or its slot lacks MAP or WRITE",
                ),
                (
                    Error::BadArgument,
                    "an address outside the user half, a misaligned page, a flag above 1",
                ),
                (Error::BadAddress, "the parameters cannot be read"),
                (Error::NoFrames, "the domain's account is empty"),
                (Error::TableFull, "the environment has 16, or the machine no room for another"),
            ],
            why: "A virtual CPU. The first one of a domain runs as soon as the domain has slices; others are parked until `YieldTo`, which reaches number 0 \
                  alone. The frame of its page is pinned until it ends.",
        },
        Call::DomainCreate => Notes {
            arguments: &["event, with SIGNAL, or none", "its bits", "objects it may have, or 0"],
            returns: "the slot, with CONTROL and GRANT",
            errors: &[
                (Error::BadArgument, "a share of more than 32 bits"),
                (
                    Error::NoFrames,
                    "the account has no frame for the object, its grant node or the binding table",
                ),
                (
                    Error::TableFull,
                    "the caller has no such share left, or its binding table is full",
                ),
                (Error::Again, "an id was used up: call again"),
            ],
            why: "Protection and authority begin with nothing: no slot, no frame, no slice. What a domain has its creator gives it.",
        },
        Call::DomainDestroy => Notes {
            arguments: &[DOMAIN],
            returns: NOTHING,
            errors: &[
                (
                    Error::BadArgument,
                    "it is the caller's own, or one that made it, directly or not",
                ),
                (
                    Error::Again,
                    "a part is gone, or a disk still writes to its frames; nothing of it runs any more",
                ),
                (
                    Error::Busy,
                    "a frame that it delegated is pinned by the receiver: end that use first",
                ),
            ],
            why: "All that it has goes with it, domains that it made included. Its slices fall to the domain that paid for it, its frames to whoever \
                  revokes the delegations.",
        },
        Call::DomainStatus => Notes {
            arguments: &[DOMAIN],
            returns: "0 while it runs, else why it ended in bits 63 to 32 and its status in bits 31 to 0",
            errors: &[],
            why: "A supervisor learns by event that a domain ended and here why.",
        },
        Call::Fund => Notes {
            arguments: &[OWN_OR_DOMAIN, "frames, with MAP", "first unit", "frames, not zero"],
            returns: "how many were taken, at most 512",
            errors: &[
                (Error::Denied, "a frame is not the domain's, or in use already"),
                (Error::BadArgument, "units outside the slot's, or none"),
                (Error::Busy, "the frame is mapped or pinned"),
            ],
            why: "The kernel allocates nothing for anybody: page tables, objects, binding tables and grant nodes live in frames that were handed over here.",
        },
        Call::EventCreate => Notes {
            arguments: &[],
            returns: "the slot, with SIGNAL, WAIT and GRANT",
            errors: OBJECT_ERRORS,
            why: "One thing to wait for: ends of domains, completions, other domains.",
        },
        Call::EventSignal => Notes {
            arguments: &["event, with SIGNAL", "bits"],
            returns: NOTHING,
            errors: &[],
            why: "Each bit goes to the longest waiting dispatcher that asked for it; what nobody asked for stays set. So no wake-up is lost, and nothing is queued.",
        },
        Call::EventWait => Notes {
            arguments: &[
                "event, with WAIT",
                "bits, not zero",
                "nanoseconds of the TSC clock; 0: only look; all ones: never",
            ],
            returns: "the bits of `mask` that were set, which are clear now",
            errors: &[
                (Error::BadArgument, "`mask` is zero"),
                (Error::TableFull, "512 dispatchers wait for the event"),
                (Error::TimedOut, "none of the bits by then"),
                (Error::Dead, "the event ended meanwhile"),
            ],
            why: "The only call that blocks. Another dispatcher of the domain that became ready takes its place in the slice.",
        },
        Call::RingCreate => Notes {
            arguments: &[
                "frames, with MAP and WRITE",
                "unit of the page",
                "event, with SIGNAL",
                "its bits",
            ],
            returns: "the slot, with CONTROL, which cannot be delegated",
            errors: &[
                (Error::Denied, "the frame is not the caller's"),
                (Error::BadArgument, "no such unit"),
                (Error::NoFrames, "as for other objects"),
                (Error::TableFull, "as for other objects"),
            ],
            why: "One page for disks and the link alike. The frame is pinned until the ring ends.",
        },
        Call::RingSubmit => Notes {
            arguments: &["ring, with CONTROL"],
            returns: "how many submissions were taken; it stops at 32 in flight, or when completions could overrun",
            errors: &[],
            why: "Submissions are written without the kernel and announced once. Each is copied, then checked; a bad one completes with a status. \
                  Slots are those of the domain that made the ring.",
        },
        Call::RingDestroy => Notes {
            arguments: &["ring, with CONTROL"],
            returns: NOTHING,
            errors: &[
                (Error::Again, "delegations of it end, more are to follow"),
                (Error::Busy, "transfers are in flight"),
            ],
            why: "A device may still write where it was told to. When the domain ends the link is reset, so that a read without an answer holds nobody up.",
        },
        Call::InfoMap => Notes {
            arguments: &[ENVIRONMENT_MAP, "a page"],
            returns: NOTHING,
            errors: &[
                (
                    Error::BadArgument,
                    "not a page of the user half, or a subtree or window is there",
                ),
                (Error::NoFrames, "no frame for a page table"),
            ],
            why: "Clock rate and machine are nobody's secret, and a call for each reading of the clock would cost more than the reading.",
        },
        Call::SliceAssign => Notes {
            arguments: &["slices, with GRANT", "first unit", "slices, not zero", DOMAIN],
            returns: NOTHING,
            errors: &[
                (Error::BadArgument, "units outside the slot's"),
                (Error::Busy, "a slice is not the caller's, or there are none"),
            ],
            why: "CPU time is a resource like others: so many slices of a round. They come back when the domain is destroyed.",
        },
        Call::EnvironmentLeave => Notes {
            arguments: &[
                "the calling environment, with CONTROL",
                "another of the same domain, with CONTROL",
            ],
            returns: "never",
            errors: &[
                (Error::BadArgument, "not these two, or the target has no dispatcher 0"),
                (Error::Busy, "the target's dispatcher waits for an event"),
            ],
            why: "A process cannot free the page tables that it runs on. After this `EnvironmentDestroy` by anybody does the rest.",
        },
        Call::SlotQuery => Notes {
            arguments: &["any slot that holds", "where 24 bytes of `SlotInfo` go"],
            returns: NOTHING,
            errors: &[(Error::BadAddress, "it cannot be written")],
            why: "A libOS plans with physical names: which frames, which sectors.",
        },
        Call::LedgerCheck => Notes {
            arguments: &["console, with CONTROL"],
            returns: "how many frames contradict themselves; 0 is right",
            errors: &[(Error::Again, "128 frames were looked at, more are to follow")],
            why: "For tests and for doubt. It compares owner and use of each frame, and the list of its mappings with the page-table entries.",
        },
        Call::DispatcherEntries => Notes {
            arguments: &[
                ENVIRONMENT,
                "the dispatcher, 0 to 15",
                "address of a `DispatcherParameters`",
            ],
            returns: NOTHING,
            errors: &[
                (Error::BadArgument, "no such dispatcher, or an address outside the user half"),
                (Error::BadAddress, "the parameters cannot be read"),
            ],
            why: "A libOS starts without entries and sets them when its own memory is ready.",
        },
        Call::MappingCount => Notes {
            arguments: &["frames, any right", "unit"],
            returns: "the number of page-table entries that map it",
            errors: &[
                (Error::Denied, "the frame is not the caller's"),
                (Error::BadArgument, "no such unit"),
            ],
            why: "The kernel knows it anyway, and a libOS can check its own count with it.",
        },
        Call::GateCreate => Notes {
            arguments: &[
                "environment, with CONTROL",
                "the dispatcher, 0 to 15",
                "where a call enters, in the user half",
                "stack pointer of the server, in the user half",
            ],
            returns: "the slot, with CALL and GRANT",
            errors: &[
                (Error::BadArgument, "an address, or no such dispatcher"),
                (Error::NoFrames, "no frame for the gate"),
                (Error::TableFull, "the domain has 16 gates, or the kernel's table is full"),
            ],
            why: "Services between domains without a queue in the kernel: who calls lends its slice.",
        },
        Call::GateCall => Notes {
            arguments: &[
                "gate, with CALL",
                "message",
                "message",
                "message",
                "message",
                "deadline in nanoseconds of the TSC clock; `FOREVER` for none",
            ],
            returns: "the reply's words in rdx, rdi, rsi and r8",
            errors: &[
                (Error::Stale, "the grant was taken back, before or in mid-call"),
                (Error::TableFull, "eight calls are nested already"),
                (
                    Error::Busy,
                    "the server's dispatcher is not parked: it serves another, waits, or runs",
                ),
                (Error::TimedOut, "the deadline came first; the server goes on alone"),
                (
                    Error::Dead,
                    "the server, its environment or its domain ended, before or in mid-call",
                ),
            ],
            why: "Registers are the message, bulk data goes through shared frames. The badge is the 64-bit generation of the caller's grant, which is \
                  in the token that the server's side made: it tells callers apart and no caller can choose it.",
        },
        Call::GateReply => Notes {
            arguments: &["reply", "reply", "reply", "reply"],
            returns: "nothing: it does not return; the dispatcher enters anew at the next call",
            errors: &[(Error::BadArgument, "the calling dispatcher serves no call")],
            why: "A server whose caller is gone replies all the same, and is ready for the next one.",
        },
        Call::RecordSet => Notes {
            arguments: &[
                "frames of the caller, with MAP and WRITE",
                "unit of the page",
                "event to signal, with SIGNAL",
                "its bits",
            ],
            returns: NOTHING,
            errors: &[
                (Error::Denied, "the frame is not the caller's, or not one that may be mapped"),
                (Error::BadArgument, "no such unit"),
                (Error::Busy, "the domain has a record"),
            ],
            why: "A libOS must learn what it lost, or it would take stale memory for its own. The kernel writes there and believes nothing that it finds.",
        },
        Call::Surrender => Notes {
            arguments: &["generation of the grant, from the record or the upcall"],
            returns: NOTHING,
            errors: &[(Error::Stale, "the caller is not asked for that grant")],
            why: "Who lets go in time chooses what to do without: writes its dirty pages back, and goes on.",
        },
        Call::InterruptBind => Notes {
            arguments: &[
                "interrupt line, with CONTROL",
                "event, with SIGNAL; none: let go of the line",
                "its bits, not none",
            ],
            returns: NOTHING,
            errors: &[
                (Error::BadArgument, "no bits"),
                (Error::Busy, "the line is bound through another grant, or by another domain"),
            ],
            why: "The line is masked from its signal to the acknowledgement, so a device that never stops costs others one interrupt. It is let go of when                   the slot is emptied, the grant revoked or the domain ended; what was signalled and not acknowledged is then taken out of the event.",
        },
        Call::InterruptAcknowledge => Notes {
            arguments: &["interrupt line, with CONTROL"],
            returns: NOTHING,
            errors: &[(Error::BadArgument, "the line is not bound through this slot")],
            why: "A line by edges: acknowledge, then serve the device until it has nothing more. A line by level: serve the device first, or it signals                   again at once.",
        },
        Call::PortRead => Notes {
            arguments: &["ports, with READ", "which of them"],
            returns: "the byte",
            errors: &[(Error::BadArgument, "no such unit")],
            why: "Only ports of devices that do no DMA and that the kernel does not drive are ever handed out; an I/O permission map would be                   as large as two frames of each domain, for a device that moves a byte at a time.",
        },
        Call::PortWrite => Notes {
            arguments: &["ports, with WRITE", "which of them", "the byte"],
            returns: NOTHING,
            errors: &[
                (
                    Error::Denied,
                    "a command by which the keyboard controller would reset the machine or gate address line 20",
                ),
                (Error::BadArgument, "no such unit, or more than a byte"),
            ],
            why: "As `PortRead`.",
        },
        Call::DispatcherStart => Notes {
            arguments: &["environment, with CONTROL", "the dispatcher, 0 to 15"],
            returns: NOTHING,
            errors: &[
                (Error::BadArgument, "no such dispatcher"),
                (Error::Busy, "it is not parked"),
            ],
            why: "How a domain with slices on several cores comes to run on them: `YieldTo` alone stays on the caller's core.",
        },
    }
}

const MAP_ERRORS: &[(Error, &str)] = &[
    (
        Error::Denied,
        "flags beyond the slot's rights, or the first frame is not of the space's domain",
    ),
    (Error::BadArgument, "page, units or flags; a subtree or window is there"),
    (Error::NoFrames, "no frame for a page table (a leaf table takes two)"),
];

const MAP_ERRORS_WITH_ADDRESS: &[(Error, &str)] = &[
    (Error::Denied, "of the first request: as `MapRange`"),
    (Error::BadArgument, "of the first request: as `MapRange`; or `count`"),
    (Error::BadAddress, "the first request cannot be read"),
    (Error::NoFrames, "of the first request: as `MapRange`"),
];
