//! The page: headings, tables, and what stands between them.

use crate::lengths;
use crate::notes;
use crate::structures::{self, Structure};
use serix_abi::{Call, Error, dispatcher, info, layout, map, ring, start, token};
use std::fmt::Write;

/// The whole page.
pub(crate) fn page() -> String {
    let parts = [
        HEAD.to_owned(),
        errors(),
        index(),
        Call::ALL.iter().map(|call| entry(*call)).collect(),
        "## Shared structures\n\n".to_owned() + STRUCTURES,
        structures::all().iter().map(structure).collect(),
        tokens(),
        map_flags(),
        numbers(),
    ];
    parts.concat()
}

const HEAD: &str = "# The kernel ABI

Made from `exokernel/abi` and `exokernel/abi/tests/reference`; a test compares. Reasons for the whole are in
[decision 0002](decisions/0002-kernel-abi.md), words in the [glossary](glossary.md).

## How a call is made

`syscall` with `0x5E71` in rax[63:32] and the call's number in rax[31:0]; arguments in rdi, rsi, rdx, r10, r8, r9, in the order in
which they are listed. Back come rax, zero or an error, and rdx, the value. rbx, rbp, r12 to r15 and rsp survive; rdi, rsi, r8, r9
and r10 are zero afterwards, rcx and r11 hold rip and rflags. A call that waits or switches gives vector registers back in their initial
state; the others leave them alone, but nobody should rely on it. Every other `syscall` is *foreign* and goes to the foreign entry of the
dispatcher, or ends the domain if there is none.

- A *slot* is a number in the binding table of the caller's domain, at most 1023; the upper half of the register has to be zero. Where a slot is
  optional, none is 0xFFFF_FFFF.
- A *unit* is counted from the start of the slot's range, not by its physical number.
- Pages, and addresses of pages, lie in 0x1000 to 0x7FFF_FFFF_EFFF.
- A *space* is an environment or a subtree.
- Calls of bounded work say how far they came, or answer `Again`; `serix-sys` repeats them.
- The *path length* of a call is the number of instructions, from before `syscall` to after it, of the shortest right use that the program `lengths` below
  `exokernel/tests` knows: on a page whose table is there, of an object that is empty. The row 8-call-lengths counts them again.

";

const STRUCTURES: &str =
    "Offsets and sizes in bytes, little endian. What is not listed is reserved and zero.\n\n";

/// A doc comment as the page shows it: link targets cut to their last part.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("[`") {
        let Some(end) = rest[start..].find("`]") else { break };
        let name = &rest[start + 2..start + end];
        out.push_str(&rest[..start]);
        let _ = write!(
            out,
            "`{}`",
            name.rsplit("::").next().unwrap_or(name).trim_start_matches("Self.")
        );
        rest = &rest[start + end + 2..];
    }
    out.push_str(rest);
    out.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn errors() -> String {
    let mut out = String::from(
        "## Errors\n\nAny call that names a slot may answer `BadSlot`, `Denied` or `Stale` about it, in this order, and any call may answer `Dead` \
         when an object ends while it is being used; calls list these only where there is more to say.\n\n\
         | rax | error | meaning |\n| --- | --- | --- |\n| 0 | | success |\n",
    );
    for error in Error::ALL {
        let _ = writeln!(out, "| {} | {error:?} | {} |", error as u32, notes::error(error));
    }
    out + "\n"
}

fn index() -> String {
    let mut out = String::from(
        "## Calls\n\n| number | call | rdi, rsi, rdx, r10, r8, r9 |\n| --- | --- | --- |\n",
    );
    for call in Call::ALL {
        let (name, arguments) = call.signature();
        let link = name.to_lowercase();
        let _ =
            writeln!(out, "| {} | [{name}](#{link}) | {} |", *call as u32, arguments.join(", "));
    }
    out + "\n"
}

fn entry(call: Call) -> String {
    let (name, arguments) = call.signature();
    let notes = notes::of(call);
    let mut out = format!("### {name}\n\nCall {}. {}\n\n", call as u32, prose(call.description()));
    if !arguments.is_empty() {
        out.push_str("| argument | |\n| --- | --- |\n");
        for (argument, note) in arguments.iter().zip(notes.arguments) {
            let _ = writeln!(out, "| `{argument}` | {note} |");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "Returns {}.\n", notes.returns);
    let _ = writeln!(out, "Path length: {}.\n", lengths::of(call));
    for (error, when) in notes.errors {
        let _ = writeln!(out, "- `{error:?}`: {when}");
    }
    if !notes.errors.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "*Why.* {}\n", notes.why);
    out
}

fn structure(structure: &Structure) -> String {
    let mut out =
        format!("### {}\n\n{} {} bytes.\n\n", structure.name, structure.about, structure.size);
    out.push_str("| offset | size | field | type | |\n| --- | --- | --- | --- | --- |\n");
    for field in &structure.fields {
        let _ = writeln!(
            out,
            "| {:#x} | {} | `{}` | `{}` | {} |",
            field.offset, field.size, field.name, field.kind, field.about
        );
    }
    out + "\n"
}

fn tokens() -> String {
    let mut out = format!(
        "## Tokens\n\nA token is {} bytes, then at most {} caveats of {} bytes each. The tag is HMAC-SHA-256, cut to {} bytes, over the \
         first {} bytes with the caveat count zero, under a key of this boot and this kind. Each caveat replaces the tag by \
         HMAC-SHA-256(tag, caveat), cut alike. The kernel seals and verifies; anybody can append.\n\n",
        token::ROOT_SIZE,
        token::MAX_CAVEATS,
        token::CAVEAT_SIZE,
        token::TAG_SIZE,
        token::HEADER_SIZE
    );
    out.push_str(&token_layout());
    out.push_str("\n| kind | | one receiver at a time |\n| --- | --- | --- |\n");
    for kind in token::Kind::ALL {
        let exclusive = if kind.is_exclusive() { "yes" } else { "" };
        let _ = writeln!(out, "| {} | {kind:?} | {exclusive} |", *kind as u8);
    }
    out.push_str("\n| bit | right | |\n| --- | --- | --- |\n");
    for (name, right) in token::Rights::NAMES {
        let _ = writeln!(out, "| {} | {name} | {} |", right.0.trailing_zeros(), notes::right(name));
    }
    out + "\n"
}

/// Where each field of token and caveat lies, found by encoding one that has a single field set.
fn token_layout() -> String {
    let mut out = String::from(
        "| token | offset | size |   | caveat | offset | size |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let (left, right) = (structures::token_fields(), structures::caveat_fields());
    for row in 0..left.len().max(right.len()) {
        let cell = |field: Option<&(String, usize, usize)>| {
            field.map_or_else(
                || " | | ".to_owned(),
                |(name, at, size)| format!("{name} | {at} | {size}"),
            )
        };
        let _ = writeln!(out, "| {} |   | {} |", cell(left.get(row)), cell(right.get(row)));
    }
    out
}

fn map_flags() -> String {
    use map::MapFlags;
    let mut out = String::from(
        "## Flags of mappings\n\nAs in the page-table entry, and so in the window. A request may set those marked.\n\n| bit | flag | request | |\n| --- | --- | --- | --- |\n",
    );
    for (flag, name, about) in notes::MAP_FLAGS {
        let request = if MapFlags::REQUEST.has(*flag) { "yes" } else { "" };
        let _ = writeln!(out, "| {} | {name} | {request} | {about} |", flag.0.trailing_zeros());
    }
    out + "\n"
}

fn numbers() -> String {
    let mut out = String::from("## Numbers\n\n| what | value |\n| --- | --- |\n");
    let mut row = |what: &str, value: u64| {
        let hexadecimal = value >= 0x1000 || what.ends_with("selector");
        let value = if hexadecimal { format!("{value:#x}") } else { value.to_string() };
        let _ = writeln!(out, "| {what} | {value} |");
    };
    row("first mappable address", layout::USER_START);
    row("end of the mappable user half", layout::USER_END);
    row("top-level slots of the user half", layout::USER_TOP_SLOTS);
    row("user code selector", layout::USER_CODE_SELECTOR);
    row("user data selector", layout::USER_DATA_SELECTOR);
    row("upcalls that may nest", dispatcher::UPCALL_DEPTH as u64);
    row("first byte of the dispatcher page that is the libOS's", dispatcher::LIBOS_OFFSET as u64);
    row("upcall reason: slice start", dispatcher::reason::SLICE_START);
    row("upcall reason: event (never made yet)", dispatcher::reason::EVENT);
    row("upcall reason: revocation (never made yet)", dispatcher::reason::REVOKE);
    row("submissions of a ring", ring::SUBMISSIONS as u64);
    row("completions of a ring", ring::COMPLETIONS as u64);
    row("runs of frames in a submission", ring::SEGMENTS as u64);
    row("ring operation: read", ring::operation::READ.into());
    row("ring operation: write", ring::operation::WRITE.into());
    row("ring operation: flush", ring::operation::FLUSH.into());
    row("ring operation: read a stream", ring::operation::STREAM_READ.into());
    row("ring operation: write a stream", ring::operation::STREAM_WRITE.into());
    row("ring status: done", ring::status::OK.into());
    row("ring status: device error", ring::status::IO.into());
    row("ring status: bad argument", ring::status::BAD_ARGUMENT.into());
    row("ring status: denied", ring::status::DENIED.into());
    row("ring status: device full, submit again", ring::status::BUSY.into());
    row("cores on the information page", info::MAX_CORES as u64);
    row("why a domain ended: exit", start::EndReason::Exit as u64);
    row("why a domain ended: fault", start::EndReason::Fault as u64);
    row("why a domain ended: destroyed", start::EndReason::Destroyed as u64);
    row("why a domain ended: revoked", start::EndReason::Revoked as u64);
    row("start page of the first domain", start::START_INFO_ADDRESS);
    row("boot modules of the first domain", start::MODULES_ADDRESS);
    out
}
