//! The rule for a site: what is displaced, or where a jump finds room.
use crate::bytes::Bytes;
use crate::decode::{Flow, Instruction, LENGTH_MAX, decode};
use crate::{PAGE_SIZE, Refusal};
use alloc::vec::Vec;

/// The instruction that sites are.
pub const SYSCALL: [u8; 2] = [0x0F, 0x05];
/// Its length.
pub const SYSCALL_LENGTH: u64 = SYSCALL.len() as u64;
/// Longest function that is decoded.
pub const FUNCTION_MAX: u64 = 64 * 1024;
/// `jmp` with a distance of four bytes.
pub(crate) const JUMP_LENGTH: usize = 5;
/// Loads of 15 to rax.
const SIGNAL_RETURNS: [&[u8]; 2] = [&[0xB8, 15, 0, 0, 0], &[0x48, 0xC7, 0xC0, 15, 0, 0, 0]];

/// Bytes of a program, and where they are.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Address of the first.
    pub address: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Code<'_> {
    fn end(&self) -> u64 {
        self.address.saturating_add(self.bytes.len() as u64)
    }
}

/// How the jump gets its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It takes the place of the instruction right before the site.
    Before,
    /// It stands in padding at this address, and the site is a short jump there.
    Padding(u64),
}

/// What is to be done with a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The rule.
    pub rule: Rule,
    /// Address of the `syscall` instruction.
    pub site: u64,
    /// The displaced instruction; nothing when there is padding.
    pub displaced: Vec<u8>,
    /// Where in it a distance relative to rip is.
    pub(crate) relative_at: Option<usize>,
    /// Bytes of padding that are taken.
    pub(crate) padding: usize,
}

impl Plan {
    /// Where a thread goes on that was put back before the displaced instruction.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.site - self.displaced.len() as u64
    }
}

/// What decoding a function found about a site.
struct Findings {
    /// The instruction before it, if one ends there.
    before: Option<Instruction>,
    /// Where direct branches near it lead.
    targets: Vec<u64>,
}

/// Chooses a rule for a site in a function; `gaps` are the bytes between functions near it.
///
/// # Errors
/// Why there is none.
pub fn plan(function: Code<'_>, gaps: &[Code<'_>], site: u64) -> Result<Plan, Refusal> {
    let found = scan(function, site)?;
    let at = (site - function.address) as usize;
    let before = found.before.map_or(0, |instruction| instruction.length);
    let displaced = &function.bytes[at - before..at];
    if SIGNAL_RETURNS.contains(&displaced) {
        return Err(Refusal::SignalReturn);
    }
    // Nobody may jump into the middle of what changes.
    let is_entered =
        |from: u64, to: u64| found.targets.iter().any(|at| (from + 1..to).contains(at));
    if let Some(instruction) = found.before
        && instruction.length >= JUMP_LENGTH
        && instruction.flow == Flow::Next
        && is_movable(displaced, instruction)
        && in_one_page(site - before as u64, site + SYSCALL_LENGTH)
        && !is_entered(site - before as u64, site)
    {
        return Ok(Plan {
            rule: Rule::Before,
            site,
            displaced: displaced.to_vec(),
            relative_at: instruction.relative_at,
            padding: 0,
        });
    }
    if !in_one_page(site, site + SYSCALL_LENGTH) || is_entered(site, site + SYSCALL_LENGTH) {
        return Err(Refusal::NoRoom);
    }
    let (stub, padding) = gaps.iter().find_map(|gap| room(*gap, site)).ok_or(Refusal::NoRoom)?;
    Ok(Plan { rule: Rule::Padding(stub), site, displaced: Vec::new(), relative_at: None, padding })
}

/// Whether an instruction does the same elsewhere. An address size of 32 bits would wrap a distance to rip.
fn is_movable(bytes: &[u8], instruction: Instruction) -> bool {
    instruction.relative_at.is_none() || !bytes.contains(&0x67)
}

fn in_one_page(start: u64, end: u64) -> bool {
    start / PAGE_SIZE == (end - 1) / PAGE_SIZE
}

/// Decodes a whole function.
fn scan(function: Code<'_>, site: u64) -> Result<Findings, Refusal> {
    let is_inside =
        function.address <= site && site.saturating_add(SYSCALL_LENGTH) <= function.end();
    if !is_inside {
        return Err(Refusal::NotThere);
    }
    if function.bytes.len() as u64 > FUNCTION_MAX {
        return Err(Refusal::Undecodable);
    }
    let near = site.saturating_sub(LENGTH_MAX as u64)..site + SYSCALL_LENGTH;
    let mut found = Findings { before: None, targets: Vec::new() };
    let (mut at, mut last, mut is_met) = (function.address, None, false);
    while at < function.end() {
        let rest = &function.bytes[(at - function.address) as usize..];
        let Some(instruction) = decode(rest) else { return Err(Refusal::Undecodable) };
        if at == site {
            is_met = rest.starts_with(&SYSCALL) && instruction.length == SYSCALL.len();
            found.before = last;
        }
        at += instruction.length as u64;
        if let Flow::Relative(distance) = instruction.flow {
            let target = at.wrapping_add_signed(distance.into());
            if near.contains(&target) {
                found.targets.push(target);
            }
        }
        last = Some(instruction);
    }
    if is_met { Ok(found) } else { Err(Refusal::NotThere) }
}

/// Where in a gap there is room for a jump that the site reaches: address and bytes. The gap is nothing but padding, and jumps
/// that stand there for other sites.
fn room(gap: Code<'_>, site: u64) -> Option<(u64, usize)> {
    let mut found = None;
    let (mut start, mut at) = (gap.address, gap.address);
    while at < gap.end() {
        let instruction = decode(&gap.bytes[(at - gap.address) as usize..])?;
        at += instruction.length as u64;
        match instruction.flow {
            _ if instruction.is_padding => {}
            Flow::Relative(_) if instruction.length == JUMP_LENGTH => {
                start = at;
                continue;
            }
            _ => return None,
        }
        let length = at - start;
        if found.is_none() && length >= JUMP_LENGTH as u64 {
            if reaches(site, start) && in_one_page(start.min(site), at.max(site + SYSCALL_LENGTH)) {
                found = Some((start, length as usize));
            }
            start = at;
        }
    }
    found
}

/// Whether a short jump at `site` reaches an address.
fn reaches(site: u64, address: u64) -> bool {
    short_distance(site, address).is_some()
}

pub(crate) fn short_distance(site: u64, address: u64) -> Option<i8> {
    let distance = address.wrapping_sub(site + SYSCALL_LENGTH).cast_signed();
    i8::try_from(distance).ok()
}

/// The distance at `at` of an instruction, which [`decode`] found there.
pub(crate) fn distance_at(displaced: &[u8], at: usize) -> Option<i32> {
    displaced.i32(at)
}

#[cfg(test)]
mod tests;
