//! Calls that need no resource, and the register contract.

use serix_abi::{Call, Error, WRITE_MAX};
use serix_kernel_tests::raw::{self, Registers, call, call_number, call_with_registers};
use serix_kernel_tests::{Check, Session, Test, arena, ensure, ensure_eq, tests};

use serix_abi::info::row;
use serix_abi::start::EndReason;
use serix_kernel_tests::child::{Child, Operation, Script, event};
use serix_kernel_tests::histograms;

use crate::{BAD_ADDRESSES, refuses_bad_slots};

pub(crate) const TESTS: &[Test] = tests!["basics":
    forged_lines,
    null_keeps_the_promised_registers, yield_keeps_the_promised_registers, unknown_calls_are_told,
    write_takes_up_to_its_bound, write_refuses_bad_memory, write_needs_a_console,
    histograms_count_what_was_asked_for];

fn check_registers(registers: &Registers, pattern: u64) -> Check {
    for (multiple, kept) in (1..).zip(registers.kept) {
        ensure_eq!(kept, pattern.wrapping_mul(multiple), "register {multiple}");
    }
    ensure_eq!(registers.dead, [0; 5], "argument registers");
    ensure_eq!((registers.rax, registers.rdx), (0, 0), "answer");
    ensure_eq!(registers.rsp[0], registers.rsp[1], "rsp");
    Ok(())
}

fn null_keeps_the_promised_registers(_: &mut Session) -> Check {
    for pattern in [1, 0x0123_4567_89AB_CDEF, u64::MAX] {
        check_registers(&call_with_registers(Call::Null, pattern), pattern)?;
    }
    Ok(())
}

fn yield_keeps_the_promised_registers(_: &mut Session) -> Check {
    for pattern in [3, 0xFEDC_BA98_7654_3210] {
        check_registers(&call_with_registers(Call::Yield, pattern), pattern)?;
    }
    Ok(())
}

fn unknown_calls_are_told(_: &mut Session) -> Check {
    let first = Call::ALL.len() as u32;
    for number in (first..first + 300).chain([0x7FFF_FFFF, 0x8000_0000, u32::MAX]) {
        ensure_eq!(call_number(number), Error::BadCall as u64, "call {number}");
    }
    Ok(())
}

fn write(session: &Session, address: u64, length: u64) -> Result<u64, Error> {
    call(Call::Write, &[session.log.0.into(), address, length])
}

/// Lines that look like others', whole, in parts, with an unfinished one before; the host's side of the test looks at the log.
fn forged_lines(session: &mut Session) -> Check {
    let parts: [&[u8]; 10] = [
        b"kernel: forged\n",
        b"unfinished\rkernel: forged\nkernel: forged\n",
        b"\rkernel: forged\n",
        b"\n\ninit: forged\n",
        b"\x1B[2K\rinit: forged\n",
        b"7| forged\n",
        b"ker",
        b"nel: PANIC: forged in parts\n",
        b"\0\x7F\x08\tforged\n",
        // Not ended: what comes next is another line all the same.
        b"forged, and no end",
    ];
    for part in parts {
        let address = arena::put(0, part);
        ensure_eq!(write(session, address, part.len() as u64), Ok(part.len() as u64));
    }
    // Nor is a line of the kernel, which it writes of a fault that nobody takes.
    let ended = event()?;
    let script = Script { operations: &[Operation::Read(raw::NOWHERE, 0)], bytes: &[] };
    let child = Child::new(session, ended, 0, script)?;
    let end = child.run(session, ended, &child.parameters())?;
    ensure_eq!(end, (EndReason::Fault as u32, 14));
    child.end()?;
    serix_sys::call::unbind(ended)?;
    Ok(())
}

fn write_takes_up_to_its_bound(session: &mut Session) -> Check {
    let mut text = [b'.'; WRITE_MAX + 1];
    text[WRITE_MAX - 1] = b'\n';
    let address = arena::put(0, &text);
    ensure_eq!(write(session, address, 0).err(), None);
    ensure_eq!(write(session, address, WRITE_MAX as u64).err(), None);
    for length in [WRITE_MAX as u64 + 1, 4097, 1 << 31, 1 << 32, u64::MAX] {
        ensure_eq!(write(session, address, length), Err(Error::BadArgument), "{length} bytes");
    }
    Ok(())
}

fn write_refuses_bad_memory(session: &mut Session) -> Check {
    for address in BAD_ADDRESSES {
        for length in [1, 8, WRITE_MAX as u64] {
            let answer = write(session, address, length);
            ensure!(answer == Err(Error::BadAddress), "{length} bytes at {address:#x}: {answer:?}");
        }
    }
    let (_, page) = session.take_page()?;
    ensure_eq!(write(session, page + 4096 - 4, 8), Err(Error::BadAddress), "page end");
    Ok(())
}

fn write_needs_a_console(session: &mut Session) -> Check {
    let address = arena::put(0, b"must not be seen\n");
    let others = [session.frames, session.environment, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::Write, &others, |slot| [slot, address, 17, 0, 0, 0])
}

/// Each call counts in its row, each fault in that of upcalls; nothing does without the kernel's option.
fn histograms_count_what_was_asked_for(session: &mut Session) -> Check {
    const ROUNDS: u64 = 100;
    let kept = histograms::are_kept()?;
    ensure_eq!(kept, session.has_option("histograms"), "the option arrived");
    let rows = [Call::Null as usize, Call::SlotQuery as usize, row::UPCALL];
    let before = rows.map(histograms::count);
    for round in 0..ROUNDS {
        call(Call::Null, &[])?;
        ensure!(call(Call::SlotQuery, &[u64::MAX, 0]).is_err(), "a bad slot");
        ensure!(round % 4 != 0 || raw::read(raw::NOWHERE).is_err(), "a bad page");
    }
    let expected = if kept { [ROUNDS, ROUNDS, ROUNDS.div_ceil(4)] } else { [0; 3] };
    for ((row, before), expected) in rows.into_iter().zip(before).zip(expected) {
        ensure_eq!(histograms::count(row)? - before?, expected, "row {row}");
    }
    Ok(())
}
