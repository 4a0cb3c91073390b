//! The bytes: of a trampoline, and of what leads to it.
//!
//! A trampoline is the displaced instructions; `lea` of the address after the site into rcx, as `syscall` leaves it; and a jump through
//! a word near it, which names the libOS's entry. No instruction of ours touches the stack or the flags.
use crate::site::{JUMP_LENGTH, Plan, Rule, SYSCALL_LENGTH, distance_at, short_distance};
use alloc::vec;
use alloc::vec::Vec;

/// Bytes of a trampoline.
pub const SLOT_SIZE: usize = 64;
/// Bytes of the two instructions that end it.
pub(crate) const TAIL_LENGTH: usize = 13;
const NOP: u8 = 0x90;

/// Bytes to be written to a copy of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where.
    pub address: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// How far it is from the end of an instruction to a target, if four bytes can say it.
fn distance(end: u64, target: u64) -> Option<[u8; 4]> {
    let distance = target.wrapping_sub(end).cast_signed();
    i32::try_from(distance).ok().map(i32::to_le_bytes)
}

impl Plan {
    /// The trampoline at an address; `entry` is the address of the word that names the libOS's entry. `None` if something
    /// is out of reach.
    #[must_use]
    pub fn trampoline(&self, address: u64, entry: u64) -> Option<[u8; SLOT_SIZE]> {
        let mut code = self.displaced.clone();
        for (at, end) in &self.relative {
            let before = self.start() + *end as u64;
            let target = before.wrapping_add_signed(distance_at(&code, *at)?.into());
            let moved = distance(address + *end as u64, target)?;
            code[*at..at + 4].copy_from_slice(&moved);
        }
        // lea rcx, [rip + distance]
        code.extend_from_slice(&[0x48, 0x8D, 0x0D]);
        let end = address + code.len() as u64 + 4;
        code.extend_from_slice(&distance(end, self.site + SYSCALL_LENGTH)?);
        // jmp [rip + distance]
        code.extend_from_slice(&[0xFF, 0x25]);
        let end = address + code.len() as u64 + 4;
        code.extend_from_slice(&distance(end, entry)?);
        // int3 behind it: nothing goes on there.
        code.resize(code.len().max(SLOT_SIZE), 0xCC);
        code.try_into().ok()
    }

    /// What to write so that the site leads to the trampoline. All of it is in one page.
    #[must_use]
    pub fn edits(&self, trampoline: u64) -> Option<Vec<Edit>> {
        match self.rule {
            Rule::Before => {
                let address = self.start();
                Some(vec![Edit { address, bytes: jump(address, trampoline, self.first)? }])
            }
            Rule::Padding(address) => {
                let short = short_distance(self.site, address)?.to_le_bytes()[0];
                let stub = Edit { address, bytes: jump(address, trampoline, self.padding)? };
                Some(vec![stub, Edit { address: self.site, bytes: vec![0xEB, short] }])
            }
        }
    }
}

/// `jmp`, filled up to a length.
fn jump(address: u64, target: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0xE9];
    bytes.extend_from_slice(&distance(address + JUMP_LENGTH as u64, target)?);
    bytes.resize(length.max(JUMP_LENGTH), NOP);
    Some(bytes)
}
