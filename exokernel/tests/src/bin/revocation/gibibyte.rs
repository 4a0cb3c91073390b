//! A gibibyte is given, mapped, unmapped, taken back and zeroed: no slice begins much later than it should.
use serix_abi::Call;
use serix_abi::info::InfoPage;
use serix_kernel_tests::child::{event, frame_rights, grant, until_done};
use serix_kernel_tests::log::line;
use serix_kernel_tests::raw::call;
use serix_kernel_tests::session::{DATA, Session};
use serix_kernel_tests::{Check, Test, ensure, raw, tests};
use serix_session::{INFO_ADDRESS, SessionStart};
use serix_sys::Slot;

pub(crate) const TESTS: &[Test] = tests!["gibibyte": slices_are_not_late];

const FRAMES: u64 = 1 << 18;
/// Frames for page tables of so much, with their links.
const TABLES: u64 = 1100;
/// Instructions between two preemption points, and a switch.
const LATE_MAX: u64 = 20_000 + 1_000;

/// Whether the manifest asks for it.
pub(crate) fn is_asked_for(start: &'static SessionStart) -> bool {
    raw::manifest_text(start).contains("option = gibibyte")
}

fn slices_are_not_late(session: &mut Session) -> Check {
    session.fund_self(TABLES)?;
    let unit = session.take_frames(FRAMES);
    let address = session.take_addresses(FRAMES);
    let none = serix_abi::NO_SLOT.into();
    let space = Slot(call(Call::EnvironmentCreate, &[none, none])? as u32);
    session.map(space, address, unit, FRAMES, DATA)?;
    until_done(Call::EnvironmentDestroy, space)?;
    let ended = event()?;
    let domain = Slot(call(Call::DomainCreate, &[ended.0.into(), 1])? as u32);
    let (delegation, _) = grant(session.frames, unit, FRAMES, frame_rights(), domain)?;
    until_done(Call::DomainDestroy, domain)?;
    until_done(Call::Revoke, delegation)?;
    serix_sys::call::unbind(ended)?;
    let at = core::mem::offset_of!(InfoPage, counters.latest_slice_ns) as u64;
    let late = raw::read(INFO_ADDRESS + at)?;
    line(format_args!("LATE {late}"));
    ensure!(late > 0, "no slice was over in all that time");
    ensure!(late <= LATE_MAX, "a slice began {late} ns late");
    Ok(())
}
