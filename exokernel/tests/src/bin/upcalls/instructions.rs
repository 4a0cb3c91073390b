//! Flags at entry, and instructions that are not ring 3's.

use serix_abi::{Call, Error};
use serix_kernel_tests::raw::{self, call};
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};

pub(crate) const TESTS: &[Test] = tests!["instructions":
    fault_entries_begin_with_clean_flags, foreign_entries_begin_with_clean_flags,
    foreign_calls_keep_their_flags_for_the_libos, single_steps_are_told, privileged_ones_fault,
    traps_name_their_vector, any_gs_base_survives_the_kernel];

const TRAP: u64 = 1 << 8;
const DIRECTION: u64 = 1 << 10;
const NESTED: u64 = 1 << 14;
const ALIGNMENT: u64 = 1 << 18;
const CLEARED: u64 = TRAP | DIRECTION | NESTED | ALIGNMENT;
/// Always set: bit 1 and IF.
const PLAIN: u64 = 0x202;

fn fault_entries_begin_with_clean_flags(_: &mut Session) -> Check {
    for set in [0, DIRECTION, NESTED, ALIGNMENT, DIRECTION | NESTED | ALIGNMENT] {
        let fault = raw::read_with_flags(raw::NOWHERE, PLAIN | set).err().ok_or(Error::Denied)?;
        ensure_eq!(fault.vector, 14);
        ensure_eq!(fault.entry_flags & CLEARED, 0, "entered with {set:#x}");
    }
    Ok(())
}

fn foreign_entries_begin_with_clean_flags(_: &mut Session) -> Check {
    for set in [0, DIRECTION, NESTED, ALIGNMENT, TRAP, CLEARED] {
        let entered = raw::foreign_with_flags(PLAIN | set);
        ensure_eq!(entered & CLEARED, 0, "entered with {set:#x}");
    }
    Ok(())
}

fn foreign_calls_keep_their_flags_for_the_libos(_: &mut Session) -> Check {
    let noted =
        serix_session::DISPATCHER_ADDRESS + serix_abi::dispatcher::offset::FOREIGN_RFLAGS as u64;
    for set in [0, DIRECTION, NESTED, ALIGNMENT] {
        let _ = raw::foreign_with_flags(PLAIN | set);
        let flags = raw::read(noted)?;
        ensure_eq!(flags & CLEARED, set, "noted {flags:#x}");
    }
    Ok(())
}

fn single_steps_are_told(_: &mut Session) -> Check {
    let fault =
        raw::read_with_flags(raw::code_address(), PLAIN | TRAP).err().ok_or(Error::Denied)?;
    ensure_eq!(fault.vector, 1);
    ensure_eq!(fault.entry_flags & CLEARED, 0);
    Ok(())
}

/// Code that must fault with #GP or #UD, and nothing else.
const PRIVILEGED: [(&str, &[u8]); 24] = [
    ("hlt", &[0xF4]),
    ("cli", &[0xFA]),
    ("sti", &[0xFB]),
    ("in al, dx", &[0xEC]),
    ("out dx, al", &[0xEE]),
    ("mov rax, cr0", &[0x0F, 0x20, 0xC0]),
    ("mov rax, cr3", &[0x0F, 0x20, 0xD8]),
    ("mov cr3, rax", &[0x0F, 0x22, 0xD8]),
    ("mov cr4, rax", &[0x0F, 0x22, 0xE0]),
    ("mov rax, dr7", &[0x0F, 0x21, 0xF8]),
    ("rdmsr", &[0x0F, 0x32]),
    ("wrmsr", &[0x0F, 0x30]),
    ("lgdt [rsp]", &[0x0F, 0x01, 0x14, 0x24]),
    ("lidt [rsp]", &[0x0F, 0x01, 0x1C, 0x24]),
    ("ltr ax", &[0x0F, 0x00, 0xD8]),
    ("lldt ax", &[0x0F, 0x00, 0xD0]),
    ("invlpg [rax]", &[0x0F, 0x01, 0x38]),
    ("wbinvd", &[0x0F, 0x09]),
    ("swapgs", &[0x0F, 0x01, 0xF8]),
    ("sysenter", &[0x0F, 0x34]),
    ("sysretq", &[0x48, 0x0F, 0x07]),
    ("xsetbv", &[0x0F, 0x01, 0xD1]),
    ("stac", &[0x0F, 0x01, 0xCB]),
    ("clts", &[0x0F, 0x06]),
];

/// Runs code in a page of its own.
fn execute(session: &mut Session, code: &[u8]) -> Result<Result<(), raw::Fault>, Error> {
    let (_, page) = session.take_page()?;
    let mut bytes = [0xC3; 16];
    bytes[..code.len()].copy_from_slice(code);
    for (at, word) in bytes.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]);
        raw::write(page + at as u64 * 8, word).map_err(|_| Error::BadAddress)?;
    }
    call(Call::Protect, &[session.environment.0.into(), page, 1, 0])?;
    let outcome = raw::execute(page);
    session.unmap(session.environment, page, 1)?;
    Ok(outcome)
}

fn privileged_ones_fault(session: &mut Session) -> Check {
    for (name, code) in PRIVILEGED {
        let outcome = execute(session, code)?;
        let vector = outcome.err().map(|fault| fault.vector);
        ensure!(matches!(vector, Some(6 | 13)), "{name}: {vector:?}");
    }
    Ok(())
}

fn traps_name_their_vector(session: &mut Session) -> Check {
    for (name, code, vector) in [
        ("int3", &[0xCC][..], 3),
        ("ud2", &[0x0F, 0x0B], 6),
        ("int 0x80", &[0xCD, 0x80], 13),
        ("int of the timer", &[0xCD, 0x20], 13),
        ("int of a page fault", &[0xCD, 0x0E], 13),
        ("int of a double fault", &[0xCD, 0x08], 13),
        ("int of an NMI", &[0xCD, 0x02], 13),
        // xor edx, edx; div edx
        ("division by zero", &[0x31, 0xD2, 0xF7, 0xF2], 0),
    ] {
        let outcome = execute(session, code)?;
        ensure_eq!(outcome.err().map(|fault| fault.vector), Some(vector), "{name}");
    }
    Ok(())
}

fn any_gs_base_survives_the_kernel(_: &mut Session) -> Check {
    for base in [0, 1, 0x1234_5678, 0x7FFF_FFFF_F000, 0xFFFF_8000_0000_0000, u64::MAX] {
        ensure_eq!(raw::gs_base_across_entries(base), base);
    }
    Ok(())
}
