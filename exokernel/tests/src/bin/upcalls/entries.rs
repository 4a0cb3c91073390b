//! Entries, stacks and dispatcher pages that cannot work: the domain pays, nobody else.

use serix_abi::dispatcher::{DispatcherParameters, UPCALL_DEPTH, offset};
use serix_abi::map::MapFlags;
use serix_abi::start::EndReason;
use serix_abi::{Call, Error};
use serix_kernel_tests::child::{CODE, Child, Operation, PAGE, STACK_END, Script, event};
use serix_kernel_tests::raw::NOWHERE;
use serix_kernel_tests::{Check, Session, Test, ensure_eq, tests};

pub(crate) const TESTS: &[Test] = tests!["entries":
    a_child_runs_and_exits, a_script_sees_its_mistakes, faults_without_entry_end_the_domain,
    faults_enter_the_entry, nested_faults_end_at_the_bound, stacks_may_be_anywhere,
    dispatcher_pages_may_be_anywhere, the_depth_is_believed_by_nobody,
    slice_starts_are_told, slice_starts_wait_for_the_flag, foreign_calls_without_entry_end_the_domain,
    the_last_page_has_no_way_out, an_own_end_is_told];

const PAGE_FAULT: u32 = 14;

/// Runs a child until it ends: why, and its status.
fn end_of(
    session: &mut Session,
    script: Script<'_>,
    change: impl Fn(&mut DispatcherParameters),
) -> Result<(u32, u32), Error> {
    let event = event()?;
    let child = Child::new(session, event, 2, script)?;
    let mut parameters = child.parameters();
    change(&mut parameters);
    let end = child.run(session, event, &parameters);
    child.end()?;
    serix_sys::call::unbind(event)?;
    end
}

fn exited(status: u32) -> Result<(u32, u32), Error> {
    Ok((EndReason::Exit as u32, status))
}

fn faulted(vector: u32) -> Result<(u32, u32), Error> {
    Ok((EndReason::Fault as u32, vector))
}

fn a_child_runs_and_exits(session: &mut Session) -> Check {
    ensure_eq!(end_of(session, Script::default(), |_| {}), exited(0));
    Ok(())
}

fn a_script_sees_its_mistakes(session: &mut Session) -> Check {
    let first = [
        Operation::Call(Call::Null, [0; 6], None),
        Operation::Call(Call::Unbind, [5, 0, 0, 0, 0, 0], Some(Error::BadSlot)),
        Operation::Call(Call::Null, [0; 6], Some(Error::Denied)),
    ];
    let script = Script { operations: &first, ..Script::default() };
    ensure_eq!(end_of(session, script, |_| {}), exited(3));
    Ok(())
}

fn faults_without_entry_end_the_domain(session: &mut Session) -> Check {
    for (address, vector) in [
        (NOWHERE, PAGE_FAULT),
        (0, PAGE_FAULT),
        (0x7FFF_FFFF_F000, PAGE_FAULT),
        (0xFFFF_8000_0000_0000, PAGE_FAULT),
        (0xFFFF_FFFF_8000_0000, PAGE_FAULT),
        (0x8000_0000_0000, 13),
    ] {
        let first = [Operation::Jump(address)];
        let end = end_of(session, Script { operations: &first, ..Script::default() }, |_| {});
        ensure_eq!(end, faulted(vector), "jump to {address:#x}");
    }
    ensure_eq!(end_of(session, Script::default(), |p| p.rip = NOWHERE), faulted(PAGE_FAULT));
    Ok(())
}

fn faults_enter_the_entry(session: &mut Session) -> Check {
    // rdi is kept across the fault, so the entry finds its script.
    let end = end_of(session, Script::default(), |parameters| {
        parameters.rip = NOWHERE;
        parameters.fault_entry = CODE;
    });
    ensure_eq!(end, exited(0));
    Ok(())
}

fn nested_faults_end_at_the_bound(session: &mut Session) -> Check {
    let depth = PAGE + offset::DEPTH as u64;
    for entry in [NOWHERE, 1, 0x7FFF_FFFF_EFFF, PAGE] {
        let end = end_of(session, Script::default(), |parameters| {
            parameters.rip = NOWHERE;
            parameters.fault_entry = entry;
        });
        ensure_eq!(end, faulted(PAGE_FAULT), "entry {entry:#x}");
    }
    // One level below the bound is still delivered, the bound is not.
    let bound = UPCALL_DEPTH as u64;
    for (level, wanted) in [(0, exited(0)), (bound - 1, exited(0)), (bound, faulted(PAGE_FAULT))] {
        let first = [Operation::Write(depth, level), Operation::Jump(NOWHERE)];
        let script = Script { operations: &first, ..Script::default() };
        let end = end_with_exit_page(session, script, |parameters| {
            parameters.fault_entry = EXIT_PAGE;
        });
        ensure_eq!(end, wanted, "depth {level}");
    }
    Ok(())
}

fn stacks_may_be_anywhere(session: &mut Session) -> Check {
    for rsp in [0, 1, 8, NOWHERE, STACK_END - 1, 0x7FFF_FFFF_EFFF, CODE, PAGE] {
        ensure_eq!(end_of(session, Script::default(), |p| p.rsp = rsp), exited(0), "rsp {rsp:#x}");
        let end = end_of(session, Script::default(), |parameters| {
            parameters.rsp = rsp;
            parameters.rip = NOWHERE;
            parameters.fault_entry = CODE;
        });
        ensure_eq!(end, exited(0), "fault with rsp {rsp:#x}");
    }
    Ok(())
}

fn dispatcher_pages_may_be_anywhere(session: &mut Session) -> Check {
    // The kernel writes through its own alias: where ring 3 sees the page, if at all, is ring 3's business.
    for page_address in [0, NOWHERE, CODE, 0x7FFF_FFFF_E000] {
        let end = end_of(session, Script::default(), |parameters| {
            parameters.page_address = page_address;
            parameters.rip = NOWHERE;
            parameters.fault_entry = CODE;
        });
        ensure_eq!(end, exited(0), "page at {page_address:#x}");
    }
    Ok(())
}

fn the_depth_is_believed_by_nobody(session: &mut Session) -> Check {
    for depth in [8, 9, 0x7F, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF] {
        let first = [Operation::Write(PAGE, 1 | depth << 32), Operation::Jump(NOWHERE)];
        let script = Script { operations: &first, ..Script::default() };
        let end = end_of(session, script, |parameters| parameters.fault_entry = CODE);
        ensure_eq!(end, faulted(PAGE_FAULT), "depth {depth:#x}");
    }
    Ok(())
}

fn slice_starts_are_told(session: &mut Session) -> Check {
    let first = [Operation::Spin(0)];
    let script = Script { operations: &first, ..Script::default() };
    let end = end_with_exit_page(session, script, |parameters| {
        parameters.event_entry = EXIT_PAGE;
        parameters.upcalls_disabled = 0;
    });
    ensure_eq!(end, exited(0));
    Ok(())
}

fn slice_starts_wait_for_the_flag(session: &mut Session) -> Check {
    let first = [Operation::Spin(0)];
    let script = Script { operations: &first, ..Script::default() };
    let end = end_with_exit_page(session, script, |parameters| parameters.event_entry = EXIT_PAGE);
    ensure_eq!(end, Err(Error::TimedOut), "with the flag set");
    let end = end_with_exit_page(session, script, |parameters| {
        parameters.event_entry = EXIT_PAGE;
        parameters.upcalls_disabled = 0;
        parameters.restart_start = CODE;
        parameters.restart_end = CODE + 4096;
    });
    ensure_eq!(end, Err(Error::TimedOut), "in the restart range");
    Ok(())
}

fn foreign_calls_without_entry_end_the_domain(session: &mut Session) -> Check {
    // The agent's jump leaves a foreign number in rax; `code_page` is a single `syscall`.
    let end = end_with_code(session, &[0x0F, 0x05], 0)?;
    ensure_eq!(end, (EndReason::Fault as u32, 0));
    Ok(())
}

/// The highest page that can be mapped.
const HIGHEST: u64 = 0x7FFF_FFFF_E000;
/// Where [`end_with_exit_page`] puts its page.
const EXIT_PAGE: u64 = HIGHEST;

/// Runs a child with one more page of code.
fn end_with_page(
    session: &mut Session,
    script: Script<'_>,
    page: &[u8],
    change: impl Fn(&mut DispatcherParameters),
) -> Result<(u32, u32), Error> {
    let event = event()?;
    let child = Child::with_code(session, event, script, page)?;
    child.map(HIGHEST, child.count - 1, MapFlags::default())?;
    let mut parameters = child.parameters();
    change(&mut parameters);
    let end = child.run(session, event, &parameters);
    child.end()?;
    serix_sys::call::unbind(event)?;
    end
}

/// Runs a child with a page of code that exits with status 0, whatever is in the registers.
fn end_with_exit_page(
    session: &mut Session,
    script: Script<'_>,
    change: impl Fn(&mut DispatcherParameters),
) -> Result<(u32, u32), Error> {
    // xor edi, edi
    let mut code = [0x31, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    code[2..].copy_from_slice(&native(Call::Exit));
    end_with_page(session, script, &code, change)
}

/// mov rax, the call's number; syscall
fn native(call: Call) -> [u8; 12] {
    let mut code = [0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0x0F, 0x05];
    let number = u64::from(serix_abi::NATIVE_TAG) << 32 | call as u64;
    code[2..10].copy_from_slice(&number.to_le_bytes());
    code
}

/// Runs code of the test's own at an offset of the highest page that can be mapped.
fn end_with_code(session: &mut Session, code: &[u8], at: usize) -> Result<(u32, u32), Error> {
    let mut page = [0xCC; 4096];
    page[at..at + code.len()].copy_from_slice(code);
    let first = [Operation::Jump(HIGHEST + at as u64)];
    end_with_page(session, Script { operations: &first, ..Script::default() }, &page, |_| {})
}

/// A `syscall` at the very end of what can be mapped: the address after it is canonical, and faults.
fn the_last_page_has_no_way_out(session: &mut Session) -> Check {
    let end = end_with_code(session, &native(Call::Null), 4096 - 12)?;
    ensure_eq!(end, (EndReason::Fault as u32, PAGE_FAULT));
    Ok(())
}

fn an_own_end_is_told(session: &mut Session) -> Check {
    for status in [0, 1, 255, 0x7FFF_FFFF, 0xFFFF_FFFF] {
        let first = [Operation::Call(Call::Exit, [status, 0, 0, 0, 0, 0], None)];
        let script = Script { operations: &first, ..Script::default() };
        ensure_eq!(end_of(session, script, |_| {}), exited(status as u32));
    }
    Ok(())
}
