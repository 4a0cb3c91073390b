//! The shared structures, measured.

use serix_abi::dispatcher::{DispatcherPage, DispatcherParameters, UpcallFrame};
use serix_abi::info::{CoreInfo, Counters, Histogram, InfoPage};
use serix_abi::map::{Grant, MapRequest, SlotInfo};
use serix_abi::record::{Asked, RecordPage, Taken};
use serix_abi::ring::{Completion, RingPage, Segment, Submission};
use serix_abi::start::{Framebuffer, Module, Resource, StartInfo};
use serix_abi::token::{Caveat, Claim, HEADER_SIZE, Kind, Range, Rights, TAG_SIZE};
use std::any::type_name;
use std::mem::offset_of;

/// A structure.
pub(crate) struct Structure {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) size: usize,
    pub(crate) fields: Vec<Field>,
}

/// One of its fields.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
    pub(crate) kind: String,
    pub(crate) about: &'static str,
}

/// Size and type of what a projection leads to.
fn measure<S, T>(_: fn(&S) -> &T) -> (usize, String) {
    let name = type_name::<T>();
    // `[a::b::C; 8]` as `[C; 8]`.
    let start = name.rfind("::").map_or(0, |at| at + 2);
    let open = if name.starts_with('[') && start > 0 { "[" } else { "" };
    (size_of::<T>(), format!("{open}{}", &name[start..]))
}

/// A structure and its fields: all of them, or it does not compile. Where `[..]` follows the name, the others are private.
macro_rules! structure {
    ($type:ident $([$($rest:tt)+])?: $about:literal $( $field:ident: $note:literal ),+ $(,)?) => { {
        let _: fn(&$type) = |whole| {
            let $type { $( $field: _, )+ $($($rest)+)? } = whole;
        };
        Structure {
            name: stringify!($type),
            about: $about,
            size: size_of::<$type>(),
            fields: vec![ $( {
                let (size, kind) = measure::<$type, _>(|whole| &whole.$field);
                Field { name: stringify!($field), offset: offset_of!($type, $field), size, kind, about: $note }
            } ),+ ],
        }
    } };
}

/// All of them, in the order of the page.
pub(crate) fn all() -> Vec<Structure> {
    let mut all = dispatcher();
    all.extend(requests());
    all.extend(rings());
    all.extend(information());
    all
}

fn dispatcher() -> Vec<Structure> {
    vec![
        structure! { DispatcherPage [..]: "Shared by an environment and the kernel, one for each dispatcher. The kernel believes none of it."
            upcalls_disabled: "not zero: asynchronous upcalls wait; set by every upcall and foreign call",
            depth: "upcall frames in use; 8 when a fault comes ends the domain",
            pending: "not zero: an asynchronous upcall waited",
            foreign_rip: "where the foreign call returns to",
            foreign_rflags: "its flags",
            frames: "upcall frames, used from 0 up",
            libos: "the libOS's own",
        },
        structure! { UpcallFrame [..]: "What was interrupted, and why. On entry rsp is at `reason`; all other registers are as they were."
            scratch: "room for what the entry pushes",
            reason: "exception vector, or 256 and above",
            error_code: "the CPU's, or zero",
            address: "CR2 of a page fault",
            was_disabled: "`upcalls_disabled` as it was, for the entry to store back",
            rip: "interrupted instruction; from here on a hardware interrupt frame",
            cs: "0x33",
            rflags: "flags",
            rsp: "stack pointer",
            ss: "0x2b",
        },
        structure! { DispatcherParameters: "What `DispatcherCreate` and `DispatcherEntries` read. Addresses lie below the end of the user half."
            frames: "slot of the frame that becomes the dispatcher page",
            unit: "which unit of it",
            page_address: "where the environment maps that page",
            fault_entry: "entry of synchronous upcalls; zero: a fault ends the domain",
            foreign_entry: "entry of foreign calls; zero: one ends the domain",
            event_entry: "entry of asynchronous upcalls; zero: none",
            restart_start: "first address where asynchronous upcalls wait",
            restart_end: "first address where they do not any more",
            rip: "where it starts",
            rsp: "its stack pointer",
            argument: "its rdi",
            gs_base: "its GS base",
            upcalls_disabled: "0 or 1",
        },
    ]
}

fn requests() -> Vec<Structure> {
    vec![
        structure! { MapRequest: "One page of a `Map` call."
            address: "page-aligned; what is mapped there is replaced",
            flags: "flags of the mapping",
            frames: "slot of the frames",
            unit: "which unit of it",
        },
        structure! { Grant: "What a `Grant` call delegates."
            first: "first unit",
            count: "units, at least one",
            rights: "rights, a subset of the slot's",
            reserved: "zero",
            domain: "slot of the receiver, with CONTROL, or none for a bearer token",
        },
        structure! { SlotInfo: "What `SlotQuery` writes."
            base: "first unit by its physical number",
            count: "units",
            rights: "rights",
            kind: "kind",
            reserved: "zero",
        },
    ]
}

fn rings() -> Vec<Structure> {
    vec![
        structure! { RingPage [..]: "Shared by a domain and the kernel. Indices run freely and are taken modulo the ring's size; each side writes its own two."
            submitted: "by the domain: submissions made",
            taken: "by the kernel: submissions taken",
            completed: "by the kernel: completions made",
            seen: "by the domain: completions seen",
            submissions: "submissions",
            completions: "completions",
        },
        structure! { RecordPage [..]: "A domain's record, written by the kernel."
            asks: "questions put so far, written after the question",
            asked: "the last question",
            taken: "entries written so far, written after the entry",
            entries: "what was taken, entry n at n modulo 64",
        },
        structure! { Asked: "What a domain is asked to give back."
            generation: "generation of the grant",
            base: "first unit",
            count: "units",
            deadline: "when it is taken, in nanoseconds of the TSC clock",
            kind: "kind",
        },
        structure! { Taken: "What was taken."
            generation: "generation of the grant",
            base: "first unit",
            count: "units",
            kind: "kind",
            forced: "1 if the domain had not let go of it",
        },
        structure! { Submission: "One transfer. Bytes run through the segments in order. Copied once, then checked."
            operation: "what to do",
            segment_count: "segments used, at most 4",
            offset: "first byte in the first frame; for blocks a multiple of 512",
            target: "slot of the extent or console",
            sector: "first unit of the extent; zero for streams",
            cookie: "comes back in the completion",
            length: "bytes, not zero; for blocks a multiple of 512",
            frames: "slot of the frames, with DMA, and WRITE if the device writes",
            segments: "where in those frames",
        },
        structure! { Segment: "A run of consecutive frames."
            unit: "first unit of the frame slot",
            count: "frames, at most 1024",
        },
        structure! { Completion: "How a transfer ended."
            cookie: "the submission's",
            status: "status",
            length: "bytes transferred",
        },
    ]
}

fn information() -> Vec<Structure> {
    vec![
        structure! { InfoPage: "The information page, read-only in ring 3, the same for all domains."
            magic: "identifies the page",
            tsc_hz: "TSC ticks per second",
            tsc_multiplier: "nanoseconds = (TSC × this) >> 32",
            epoch_ns: "Unix time in nanoseconds when the TSC was zero",
            core_count: "cores described",
            slice_ns: "length of a slice, in nanoseconds",
            frame_count: "frames of RAM that ring 3 has",
            xsave_size: "bytes of extended state",
            xcr0: "low half of XCR0",
            cores: "cores",
            counters: "counters since boot",
            histograms_on: "1 if the kernel's command line has the word `histograms`",
            histograms: "native calls by number; the last four are faults delivered, switches, shootdowns, interrupts",
        },
        structure! { Histogram: "How often something took how many ticks of the TSC."
            buckets: "below 64, then twice as many each; the last has the rest",
        },
        structure! { CoreInfo: "One core."
            apic_id: "APIC id",
            class: "0 unknown, 1 performance, 2 efficiency",
            cache_group: "the lowest APIC id of the cores that share its last-level cache",
            running: "1 if it runs slices",
        },
        structure! { Counters: "Counted by the kernel, for tests and measurements."
            foreign_calls: "foreign calls, up to the last switch of environment",
            faults: "faults delivered",
            switches: "switches of dispatcher",
            timer_interrupts: "timer interrupts",
            device_interrupts: "device interrupts",
            halts: "times a core went idle",
            block_transfers: "block transfers ended",
            stream_transfers: "stream transfers ended",
            pages_mapped: "pages mapped by `Map` and `MapRange`",
            bad_tokens: "tokens that did not verify",
            latest_slice_ns: "the longest time that a slice began after the one before it was over",
            heap_bytes: "bytes of the kernel's own heap in use, which nothing that ring 3 does changes",
        },
        structure! { StartInfo: "What the first domain finds, read-only."
            magic: "identifies the page",
            resource_count: "resources used",
            module_count: "modules used",
            environment: "slot of its own environment",
            objects: "objects that it and all that it makes can have at once",
            resources: "what it holds, already bound",
            modules: "boot modules, mapped read-only",
            framebuffer: "the picture in the device frames among them",
        },
        structure! { Framebuffer: "How a picture lies in device frames."
            width: "pixels in a row; zero if there is none",
            height: "rows",
            pitch: "bytes from row to row",
            bits_per_pixel: "bits of a pixel",
            red: "bits of red, and the lowest one's number",
            green: "the same of green",
            blue: "the same of blue",
            reserved: "zero",
        },
        structure! { Resource: "One slot of the first domain."
            kind: "kind",
            slot: "slot",
            base: "first unit by its physical number",
            count: "units",
            device: "device of blocks and consoles, core of slices, ISA number of an interrupt",
            in_use: "frames at the range's end that boot used",
        },
        structure! { Module: "A boot module."
            address: "where it is mapped",
            size: "bytes",
            name: "last part of its path, NUL-padded",
        },
    ]
}

/// Name, offset and size of a run of bytes that two encodings do not share.
fn differing(name: &str, one: &[u8], other: &[u8]) -> (String, usize, usize) {
    let at = |place: &usize| one[*place] != other[*place];
    let first = (0..one.len()).find(at).expect("they differ");
    let last = (0..one.len()).rfind(at).expect("they differ");
    (name.to_owned(), first, last + 1 - first)
}

/// Fields of a token, found by setting one at a time.
pub(crate) fn token_fields() -> Vec<(String, usize, usize)> {
    let zero = Claim {
        kind: Kind::Frames,
        rights: Rights(0),
        node: 0,
        generation: 0,
        base: 0,
        count: 0,
        audience: 0,
    };
    let base = zero.encode();
    let field = |name, claim: Claim| differing(name, &base, &claim.encode());
    let mut fields = vec![
        field("kind", Claim { kind: Kind::Slices, ..zero }),
        ("caveats appended".to_owned(), serix_abi::token::CAVEAT_COUNT_OFFSET, 1),
        field("rights", Claim { rights: Rights(u16::MAX), ..zero }),
        field("grant node", Claim { node: u32::MAX, ..zero }),
        field("generation", Claim { generation: u64::MAX, ..zero }),
        field("first unit", Claim { base: u64::MAX, ..zero }),
        field("units", Claim { count: u32::MAX, ..zero }),
        field("audience; 0 is whoever holds it", Claim { audience: u32::MAX, ..zero }),
    ];
    fields.push(("tag".to_owned(), HEADER_SIZE, TAG_SIZE));
    fields
}

/// Fields of a caveat, likewise.
pub(crate) fn caveat_fields() -> Vec<(String, usize, usize)> {
    let range = |base, count| Some(Range { base, count });
    let zero =
        Caveat { rights: Rights(0), range: range(0, 0), audience: Some(0), expiry_ns: Some(0) };
    let base = zero.encode();
    let field = |name, caveat: Caveat| differing(name, &base, &caveat.encode());
    vec![
        field("rights kept", Caveat { rights: Rights(u16::MAX), ..zero }),
        ("conditions: bit 0 range, 1 audience, 2 expiry".to_owned(), 2, 2),
        field("units kept", Caveat { range: range(0, u32::MAX), ..zero }),
        field("first unit kept", Caveat { range: range(u64::MAX, 0), ..zero }),
        field("expiry, nanoseconds", Caveat { expiry_ns: Some(u64::MAX), ..zero }),
        field("audience", Caveat { audience: Some(u32::MAX), ..zero }),
    ]
}
