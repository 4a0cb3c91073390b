//! Threads that are interrupted on their way to the libOS.
//!
//! Stub and trampoline are not the program's: whoever looks at an interrupted thread, be it a signal's handler, has to find it at
//! the site. Before an instruction of the program that the trampoline does it is put back to that instruction, after them to the
//! `syscall`; all but the first of them are still there. From a stub in padding, and its trampoline, to the site, which leads there again.
use super::overlay::Site;
use crate::process::current_process;
use crate::raw::entry::TrapFrame;
use crate::raw::local;
use serix_patch::PAGE_SIZE;

/// Vector of debug exceptions.
const DEBUG: u64 = 1;

/// Whether there is still something to do about what interrupted a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// It goes on, and has not noticed.
    Silently,
    /// As ever.
    No,
}

/// Puts a thread back that `why` interrupted between its program and the libOS.
#[inline]
pub(crate) fn put_back(frame: &mut TrapFrame, why: u64) -> Resumed {
    if local::is_patched(frame.rip) { find(frame, why) } else { Resumed::No }
}

#[cold]
fn find(frame: &mut TrapFrame, why: u64) -> Resumed {
    let space = current_process().space();
    let mut layout = space.layout();
    let way = layout.overlay.as_ref().and_then(|overlay| overlay.way_at(frame.rip));
    let Some((site, offset)) = way else { return Resumed::No };
    match place(&site, offset, why) {
        Place::Stay => return Resumed::Silently,
        Place::At(rip) => frame.rip = rip,
        // A program that steps itself has to meet a real `syscall`.
        Place::Unpatched => {
            frame.rip = site.address;
            let page = site.address & !(PAGE_SIZE - 1);
            space.unpatch(&mut layout, page..page + PAGE_SIZE, true);
            return Resumed::Silently;
        }
    }
    Resumed::No
}

/// Where a thread belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At this instruction of the program.
    At(u64),
    /// Where it is: after a single step it would be put back to where it came from, for ever.
    Stay,
    /// At the site, which is to be as it was.
    Unpatched,
}

/// `offset` is that in the trampoline; nothing if it is on the stub.
fn place(site: &Site, offset: Option<u64>, why: u64) -> Place {
    let is_step = why == DEBUG;
    match (offset, site.stub) {
        (Some(0), None) if is_step => Place::Stay,
        // What follows the displaced instruction is in its place still.
        (Some(offset), None) => {
            Place::At(site.address - site.displaced + offset.min(site.displaced))
        }
        (None, None) => Place::At(site.address),
        (_, Some(_)) if is_step => Place::Unpatched,
        (_, Some(_)) => Place::At(site.address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site { address: 0x1005, displaced: 5, stub: None, trampoline: 0x2000 };

    #[test]
    fn a_thread_is_put_back_to_what_it_did_not_do_yet() {
        assert_eq!(place(&SITE, Some(0), 14), Place::At(0x1000));
        assert_eq!(place(&SITE, Some(5), 14), Place::At(0x1005));
        assert_eq!(place(&SITE, Some(12), 256), Place::At(0x1005));
        let early = Site { displaced: 8, ..SITE };
        assert_eq!(place(&early, Some(5), 14), Place::At(0x1005 - 3));
        let padded = Site { displaced: 0, stub: Some(0x1020), ..SITE };
        for offset in [None, Some(0), Some(7)] {
            assert_eq!(place(&padded, offset, 14), Place::At(0x1005));
        }
    }

    #[test]
    fn a_step_gets_on() {
        assert_eq!(place(&SITE, Some(0), DEBUG), Place::Stay);
        assert_eq!(place(&SITE, Some(5), DEBUG), Place::At(0x1005));
        let padded = Site { displaced: 0, stub: Some(0x1020), ..SITE };
        assert_eq!(place(&padded, None, DEBUG), Place::Unpatched);
    }
}
