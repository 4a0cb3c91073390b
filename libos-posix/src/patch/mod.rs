//! Call sites that became jumps to the libOS (docs/decisions/0012-call-sites.md).
//!
//! Crate `serix-patch` decides and encodes; `files` finds functions; `overlay` is what is patched of an address space; `space` applies
//! and takes back; `interrupt` puts threads back that were interrupted on the way. May use `memory`, `file` and `raw`. Invariant: outside
//! the libOS no thread stands on bytes of ours, so patches come and go between any two instructions of a program.
mod counts;
mod files;
mod interrupt;
mod overlay;
mod space;

pub use counts::{describe, summary};
pub(crate) use interrupt::{Resumed, put_back};
pub(crate) use overlay::Overlay;

use crate::memory::UserAddress;
use crate::process::current_process;
use crate::raw::sites;
use crate::session;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use serix_patch::{Code, FUNCTION_MAX, Plan, Refusal};

/// Why a site was not patched now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It cannot be.
    Refused(Refusal),
    /// It is not in a page that may be patched.
    NotText,
    /// It was before.
    Patched,
    /// Memory is short, or something changed meanwhile.
    Later,
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Traps after which a site that cannot be patched is looked at again.
const AGAIN: u16 = u16::MAX;

/// Follows the session's options about call sites.
pub(crate) fn start() {
    if let Some(traps) = session::options().patch_after {
        sites::set_threshold(traps);
    }
}

/// A site of the running program trapped often. Answers after how many traps it is to be looked at again; nothing is as usual.
pub(crate) fn hot(site: u64) -> Option<u16> {
    if session::options().no_patch {
        return Some(AGAIN);
    }
    match patch(site) {
        Ok(()) | Err(Outcome::Later) => None,
        Err(outcome) => {
            counts::refused(outcome);
            Some(AGAIN)
        }
    }
}

fn patch(site: u64) -> Result<(), Outcome> {
    let space = current_process().space();
    let text = space.text_at(site)?;
    let around = files::around(&text.file, text.offset)?;
    // From the file's addresses to the program's.
    let bias = site.wrapping_sub(around.site);
    let function = Memory::read(&around.function, bias)?;
    let gaps: Vec<Memory> =
        around.gaps.iter().filter_map(|gap| Memory::read(gap, bias).ok()).collect();
    let codes: Vec<Code<'_>> = gaps.iter().map(Memory::code).collect();
    let plan = serix_patch::plan(function.code(), &codes, site)?;
    let read: Vec<&Memory> = core::iter::once(&function).chain(&gaps).collect();
    space.patch(&plan, &read, text.generation)?;
    counts::patched(&plan);
    Ok(())
}

/// Bytes of the program as they were read.
struct Memory {
    address: u64,
    bytes: Vec<u8>,
}

impl Memory {
    fn read(range: &Range<u64>, bias: u64) -> Result<Self, Refusal> {
        let length = range.end.saturating_sub(range.start);
        if length > FUNCTION_MAX {
            return Err(Refusal::Undecodable);
        }
        let address = range.start.wrapping_add(bias);
        let mut bytes = vec![0; length as usize];
        UserAddress(address).read_bytes(&mut bytes).map_err(|_| Refusal::NotThere)?;
        Ok(Self { address, bytes })
    }

    fn code(&self) -> Code<'_> {
        Code { address: self.address, bytes: &self.bytes }
    }

    /// Part of it, if it is all in it.
    fn part(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

/// How many trampolines a page holds; behind them is the word that names the entry.
const SLOTS: usize = serix_patch::PAGE_SIZE as usize / serix_patch::SLOT_SIZE - 1;

/// First bytes that a plan changes, and the first past the site.
fn changed(plan: &Plan) -> Range<u64> {
    plan.start()..plan.site + serix_patch::SYSCALL_LENGTH
}
