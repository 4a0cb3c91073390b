//! The kernel takes nothing but what was handed over, and gives it back.

use serix_abi::{Call, Error, NO_SLOT};
use serix_kernel_tests::child::until_done;
use serix_kernel_tests::raw::call;
use serix_kernel_tests::session::DATA;
use serix_kernel_tests::{Check, Session, Test, ensure, ensure_eq, tests};
use serix_sys::{Slot, call as sys};

use crate::refuses_bad_slots;

pub(crate) const TESTS: &[Test] = tests!["accounting":
    funded_frames_are_the_kernels, bad_arguments_are_refused, events_end_at_the_account,
    environments_end_at_the_account, domains_end_at_the_account, mappings_end_at_the_account,
    slices_need_a_slot];

fn funded_frames_are_the_kernels(session: &mut Session) -> Check {
    let (unit, page) = session.take_page()?;
    let fund = |session: &Session| session.fund(Slot::NONE, session.frames, unit, 1);
    ensure_eq!(fund(session), Err(Error::Busy), "mapped");
    session.unmap(session.environment, page, 1)?;
    fund(session)?;
    ensure_eq!(fund(session), Err(Error::Denied), "twice");
    let map = session.map(session.environment, page, unit, 1, DATA);
    ensure_eq!(map, Err(Error::Denied), "map");
    Ok(())
}

fn bad_arguments_are_refused(session: &mut Session) -> Check {
    let (frames, none, last) = (session.frames, u64::from(NO_SLOT), session.frame_count);
    for (first, count) in [(0, 0), (last, 1), (u64::MAX, 1), (1, u64::MAX), (last - 1, 2)] {
        let answer = call(Call::Fund, &[none, frames.0.into(), first, count]);
        ensure!(answer == Err(Error::BadArgument), "{count:#x} from {first:#x}: {answer:?}");
    }
    let others = [session.log, session.environment, session.memory].map(|slot| slot.0.into());
    refuses_bad_slots(Call::Fund, &others, |slot| [none, slot, 0, 1, 0, 0])?;
    refuses_bad_slots(Call::Fund, &others, |slot| [slot, frames.0.into(), 0, 1, 0, 0])
}

/// Makes objects until the account is empty, ends them all, and makes as many again.
fn exhaust(
    limit: usize,
    make: impl Fn() -> Result<u64, Error>,
    end: impl Fn(Slot) -> Result<u64, Error>,
) -> Check {
    let mut counts = [0; 2];
    for count in &mut counts {
        let mut made = [Slot::NONE; 1024];
        let error = loop {
            match make() {
                Ok(slot) => made[*count] = Slot(slot as u32),
                Err(error) => break error,
            }
            *count += 1;
        };
        ensure!(matches!(error, Error::NoFrames | Error::TableFull), "ended with {error:?}");
        for slot in &made[..*count] {
            end(*slot)?;
        }
    }
    ensure!(counts[0] > 0 && counts[0] <= limit, "{} objects", counts[0]);
    ensure_eq!(counts[0], counts[1], "objects the second time");
    Ok(())
}

fn events_end_at_the_account(_: &mut Session) -> Check {
    exhaust(1023, || call(Call::EventCreate, &[]), sys::unbind)
}

fn environments_end_at_the_account(_: &mut Session) -> Check {
    let none = u64::from(NO_SLOT);
    exhaust(
        1023,
        || call(Call::EnvironmentCreate, &[none, none]),
        |slot| until_done(Call::EnvironmentDestroy, slot),
    )
}

fn domains_end_at_the_account(_: &mut Session) -> Check {
    exhaust(
        1023,
        || call(Call::DomainCreate, &[NO_SLOT.into(), 0]),
        |slot| until_done(Call::DomainDestroy, slot),
    )
}

/// Page tables are the caller's to pay as well: one frame mapped far apart until no table is left.
fn mappings_end_at_the_account(session: &mut Session) -> Check {
    const START: u64 = 0x3000_4000_0000;
    let unit = session.take_frames(1);
    let environment =
        Slot(call(Call::EnvironmentCreate, &[NO_SLOT.into(), NO_SLOT.into()])? as u32);
    let mut error = None;
    for step in 0..400 {
        let answer = session.map(environment, START + step * (1 << 30), unit, 1, DATA);
        if answer.is_err() {
            error = answer.err();
            break;
        }
    }
    ensure_eq!(error, Some(Error::NoFrames));
    until_done(Call::EnvironmentDestroy, environment)?;
    ensure_eq!(call(Call::MappingCount, &[session.frames.0.into(), unit]), Ok(0));
    ensure!(
        call(Call::EventCreate, &[]).and_then(|slot| sys::unbind(Slot(slot as u32))).is_ok(),
        "frames did not come back"
    );
    Ok(())
}

fn slices_need_a_slot(session: &mut Session) -> Check {
    let domain = call(Call::DomainCreate, &[NO_SLOT.into(), 0])?;
    let others = [session.frames, session.environment, session.log].map(|slot| slot.0.into());
    refuses_bad_slots(Call::SliceAssign, &others, |slot| [slot, 4, 1, domain, 0, 0])?;
    until_done(Call::DomainDestroy, Slot(domain as u32))?;
    Ok(())
}
