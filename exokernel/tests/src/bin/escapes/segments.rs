//! Segments: ring 3 has one for code and one for data, and reaches no other.

use serix_abi::map::MapFlags;
use serix_abi::start::EndReason;
use serix_kernel_tests::child::{Child, Operation, Script, event};
use serix_kernel_tests::{Check, Session, Test, ensure, tests};

pub(crate) const TESTS: &[Test] = tests!["segments": one_code_segment, one_stack_segment];

/// Below 4 GiB, where 32-bit code would find it too.
const PAGE: u64 = 0x7000_0000;
const BREAKPOINT: u32 = 3;

/// Runs code at [`PAGE`]; the vector that ended it, if a fault did.
fn vector_of(session: &mut Session, code: &[u8]) -> Result<Option<u32>, serix_abi::Error> {
    let event = event()?;
    let mut page = [0xCC; 4096];
    page[..code.len()].copy_from_slice(code);
    let operations = [Operation::Jump(PAGE)];
    let script = Script { operations: &operations, ..Script::default() };
    let child = Child::with_code(session, event, script, &page)?;
    child.map(PAGE, child.count - 1, MapFlags::default())?;
    let end = child.run(session, event, &child.parameters());
    child.end()?;
    serix_sys::call::unbind(event)?;
    end.map(|(reason, status)| (reason == EndReason::Fault as u32).then_some(status))
}

fn one_code_segment(session: &mut Session) -> Check {
    for selector in 0..=0x5F_u8 {
        // The privilege level in a selector may be lower than the caller's: it changes nothing.
        // mov rax, selector:address; push rax; jmp far [rsp]. There is a breakpoint at the address. (Not `retfq`: emulators
        // up to QEMU 9.0 read its operands as the kernel would, which SMAP forbids.)
        let mut code = [0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0xFF, 0x2C, 0x24];
        let target = u64::from(selector) << 32 | (PAGE + 256);
        code[2..10].copy_from_slice(&target.to_le_bytes());
        let vector = vector_of(session, &code)?;
        let wanted = if selector & !3 == 0x30 {
            vector == Some(BREAKPOINT)
        } else {
            matches!(vector, Some(11 | 13))
        };
        ensure!(wanted, "selector {selector:#x}: {vector:?}");
    }
    Ok(())
}

fn one_stack_segment(session: &mut Session) -> Check {
    for selector in 0..=0x5F_u8 {
        // push selector; pop rax; mov ss, ax; then the breakpoint
        let vector = vector_of(session, &[0x6A, selector, 0x58, 0x8E, 0xD0, 0x90])?;
        // Null is allowed in 64-bit mode below ring 3 only (Intel SDM vol. 2B, MOV).
        let wanted = if selector == 0x2B {
            vector == Some(BREAKPOINT)
        } else {
            matches!(vector, Some(11..=13))
        };
        ensure!(wanted, "selector {selector:#x}: {vector:?}");
    }
    Ok(())
}
