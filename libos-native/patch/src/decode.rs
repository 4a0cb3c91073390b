//! Lengths of x86-64 instructions, and the little else that moving one needs to know.
//!
//! Follows the opcode maps of the Intel SDM (vol. 2, appendix A) for 64-bit mode. What is not in them, or differs
//! between makers of CPUs, is no instruction here.
use crate::bytes::Bytes;

/// Longest instruction (Intel SDM vol. 2, 2.3.11).
pub const LENGTH_MAX: usize = 15;

/// What an instruction does to the flow of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next instruction follows.
    Next,
    /// A jump or call, perhaps conditional, this far from the instruction's end.
    Relative(i32),
    /// Anything else: a return, an indirect jump, a trap, a system call.
    Other,
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Bytes.
    pub length: usize,
    /// What follows it.
    pub flow: Flow,
    /// Where in it the distance of an operand relative to rip is, if it has one.
    pub relative_at: Option<usize>,
    /// Whether it is made to do nothing, as between functions: `nop` of any length, `int3`.
    pub is_padding: bool,
}

/// How an opcode goes on. The rest of its kinds are `modrm` with one of the immediates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// No such instruction, or none that is known here.
    Unknown,
    /// The opcode is all.
    Bare,
    /// An immediate of so many bytes.
    Immediate(usize),
    /// An immediate of 4 bytes, or 2 with the operand-size prefix.
    ImmediateZ,
    /// An immediate of the operand's size: `mov` to a register.
    ImmediateV,
    /// An address of the address size.
    Offset,
    /// ModRM, and an immediate of so many bytes.
    ModRm(usize),
    /// ModRM, and an immediate as `ImmediateZ`.
    ModRmZ,
    /// A relative jump of so many bytes.
    Jump(usize),
    /// Leaves the flow; bytes of immediate.
    Leave(usize),
}

#[derive(Clone, Copy, Debug, Default)]
struct Prefixes {
    operand_size: bool,
    address_size: bool,
    repeat: bool,
    repeat_not: bool,
    lock: bool,
    rex: u8,
}

impl Prefixes {
    const fn wide(self) -> bool {
        self.rex & 8 != 0
    }

    const fn any_before_vector(self) -> bool {
        self.operand_size || self.repeat || self.repeat_not || self.lock || self.rex != 0
    }
}

/// Decodes the first instruction of `bytes`; `None` if it is cut off or none that is known.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Instruction> {
    let bytes = &bytes[..bytes.len().min(LENGTH_MAX)];
    let (prefixes, at) = prefixes(bytes)?;
    let opcode = bytes.u8(at)?;
    let mut reader = Reader { bytes, at: at + 1, prefixes, relative_at: None };
    match opcode {
        0x0F => reader.two_byte(),
        0xC4 | 0xC5 | 0x62 => reader.vector(opcode),
        _ => reader.one_byte(opcode),
    }
}

fn prefixes(bytes: &[u8]) -> Option<(Prefixes, usize)> {
    let mut found = Prefixes::default();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            0x40..=0x4F => {
                found.rex = *byte;
                continue;
            }
            0x66 => found.operand_size = true,
            0x67 => found.address_size = true,
            0xF0 => found.lock = true,
            0xF2 => found.repeat_not = true,
            0xF3 => found.repeat = true,
            0x26 | 0x2E | 0x36 | 0x3E | 0x64 | 0x65 => {}
            _ => return Some((found, at)),
        }
        // A REX prefix counts only right before the opcode.
        found.rex = 0;
    }
    None
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    prefixes: Prefixes,
    relative_at: Option<usize>,
}

impl Reader<'_> {
    fn one_byte(&mut self, opcode: u8) -> Option<Instruction> {
        let form = match opcode {
            // Two immediates, groups whose immediate depends on the ModRM byte, XOP in place of `pop`.
            0xC8 => Form::Immediate(3),
            0xF6 | 0xF7 => self.test_group(opcode)?,
            0x8F | 0xC6 | 0xC7 if self.register()? != 0 => Form::Unknown,
            0xC6 => Form::ModRm(1),
            0xC7 => Form::ModRmZ,
            0xFE if self.register()? > 1 => Form::Unknown,
            0xFF if self.register()? == 7 => Form::Unknown,
            _ => one_byte_form(opcode),
        };
        let mut instruction = self.finish(form)?;
        match opcode {
            0xFF if (2..6).contains(&((self.bytes[self.modrm_at(1)] >> 3) & 7)) => {
                instruction.flow = Flow::Other;
            }
            // Loads of segment registers are not to be moved.
            0x8E => instruction.flow = Flow::Other,
            // `pause` and `xchg %r8, %rax` are something else.
            0x90 => instruction.is_padding = !self.prefixes.repeat && self.prefixes.rex & 1 == 0,
            0xCC => instruction.is_padding = true,
            _ => {}
        }
        Some(instruction)
    }

    /// Where the ModRM byte of an instruction whose opcode has `length` bytes is.
    fn modrm_at(&self, length: usize) -> usize {
        let prefixes = prefixes(self.bytes).map_or(0, |(_, at)| at);
        prefixes + length
    }

    fn register(&self) -> Option<u8> {
        self.bytes.u8(self.at).map(|modrm| (modrm >> 3) & 7)
    }

    fn test_group(&self, opcode: u8) -> Option<Form> {
        Some(match (self.register()? < 2, opcode) {
            (true, 0xF6) => Form::ModRm(1),
            (true, _) => Form::ModRmZ,
            _ => Form::ModRm(0),
        })
    }

    fn two_byte(&mut self) -> Option<Instruction> {
        let opcode = self.bytes.u8(self.at)?;
        self.at += 1;
        let form = match opcode {
            0x38 => {
                self.at += 1;
                Form::ModRm(0)
            }
            0x3A => {
                self.at += 1;
                Form::ModRm(1)
            }
            // SSE4a has immediates here, and population count needs its prefix.
            0x78 | 0x79 if self.prefixes.operand_size || self.prefixes.repeat_not => Form::Unknown,
            0xB8 if !self.prefixes.repeat => Form::Unknown,
            0xB9 => Form::Unknown,
            _ => two_byte_form(opcode),
        };
        let mut instruction = self.finish(form)?;
        instruction.is_padding = opcode == 0x1F;
        // Calls of hypervisors and their like.
        if opcode == 0x01 {
            instruction.flow = Flow::Other;
        }
        Some(instruction)
    }

    /// VEX and EVEX.
    fn vector(&mut self, escape: u8) -> Option<Instruction> {
        if self.prefixes.any_before_vector() {
            return None;
        }
        let first = self.bytes.u8(self.at)?;
        let (map, rest) = match escape {
            0xC5 => (1, 1),
            0xC4 => (first & 0x1F, 2),
            _ => (first & 7, 3),
        };
        self.at += rest;
        let opcode = self.bytes.u8(self.at)?;
        self.at += 1;
        let form = match (map, opcode) {
            (1, 0x77) if escape != 0x62 => Form::Bare,
            (1, 0x70..=0x73 | 0xC2 | 0xC4..=0xC6) => Form::ModRm(1),
            (1 | 2, _) => Form::ModRm(0),
            (3, _) => Form::ModRm(1),
            _ => Form::Unknown,
        };
        self.finish(form)
    }

    fn finish(&mut self, form: Form) -> Option<Instruction> {
        let z = if self.prefixes.operand_size && !self.prefixes.wide() { 2 } else { 4 };
        let v = if self.prefixes.wide() { 8 } else { z };
        let mut flow = Flow::Next;
        match form {
            Form::Unknown => return None,
            Form::Bare => {}
            Form::Immediate(count) => self.at += count,
            Form::ImmediateZ => self.at += z,
            Form::ImmediateV => self.at += v,
            Form::Offset => self.at += if self.prefixes.address_size { 4 } else { 8 },
            Form::ModRm(count) => {
                self.memory()?;
                self.at += count;
            }
            Form::ModRmZ => {
                self.memory()?;
                self.at += z;
            }
            Form::Jump(count) => flow = self.jump(count)?,
            Form::Leave(count) => {
                self.at += count;
                flow = Flow::Other;
            }
        }
        let length = self.at;
        (length <= self.bytes.len()).then_some(Instruction {
            length,
            flow,
            relative_at: self.relative_at,
            is_padding: false,
        })
    }

    fn jump(&mut self, count: usize) -> Option<Flow> {
        // With an operand-size prefix makers of CPUs differ about the distance.
        if count == 4 && self.prefixes.operand_size && !self.prefixes.wide() {
            return None;
        }
        let distance = match count {
            1 => i32::from(self.bytes.u8(self.at)?.cast_signed()),
            _ => self.bytes.i32(self.at)?,
        };
        self.at += count;
        Some(Flow::Relative(distance))
    }

    /// ModRM, SIB and displacement.
    fn memory(&mut self) -> Option<()> {
        let modrm = self.bytes.u8(self.at)?;
        self.at += 1;
        let (mode, base) = (modrm >> 6, modrm & 7);
        if mode == 3 {
            return Some(());
        }
        let mut displacement = match mode {
            1 => 1,
            2 => 4,
            _ => 0,
        };
        if base == 4 {
            let sib = self.bytes.u8(self.at)?;
            self.at += 1;
            if mode == 0 && sib & 7 == 5 {
                displacement = 4;
            }
        } else if mode == 0 && base == 5 {
            self.relative_at = Some(self.at);
            displacement = 4;
        }
        self.at += displacement;
        Some(())
    }
}

const fn one_byte_form(opcode: u8) -> Form {
    match opcode {
        0x00..=0x3F => match opcode & 7 {
            0..=3 => Form::ModRm(0),
            4 => Form::Immediate(1),
            5 => Form::ImmediateZ,
            _ => Form::Unknown,
        },
        0x63 | 0x84..=0x8F | 0xD0..=0xD3 | 0xD8..=0xDF | 0xFE | 0xFF => Form::ModRm(0),
        0x50..=0x5F | 0x6C..=0x6F | 0x90..=0x99 | 0x9B..=0x9F | 0xA4..=0xA7 => Form::Bare,
        0xAA..=0xAF | 0xD7 | 0xEC..=0xEF | 0xF5 | 0xF8..=0xFD => Form::Bare,
        0x68 | 0xA9 => Form::ImmediateZ,
        0x69 | 0x81 => Form::ModRmZ,
        0x6A | 0xA8 | 0xB0..=0xB7 | 0xE4..=0xE7 => Form::Immediate(1),
        0x6B | 0x80 | 0x83 | 0xC0 | 0xC1 => Form::ModRm(1),
        0x70..=0x7F | 0xE0..=0xE3 | 0xEB => Form::Jump(1),
        0xE8 | 0xE9 => Form::Jump(4),
        0xA0..=0xA3 => Form::Offset,
        0xB8..=0xBF => Form::ImmediateV,
        0xC2 | 0xCA => Form::Leave(2),
        0xC3 | 0xCB | 0xCC | 0xCF | 0xF1 | 0xF4 => Form::Leave(0),
        0xC9 => Form::Bare,
        0xCD => Form::Leave(1),
        _ => Form::Unknown,
    }
}

const fn two_byte_form(opcode: u8) -> Form {
    match opcode {
        0x05 | 0x07 | 0x0B | 0x34 | 0x35 => Form::Leave(0),
        0x06 | 0x08 | 0x09 | 0x30..=0x33 | 0x77 | 0xA0..=0xA2 | 0xA8..=0xA9 | 0xC8..=0xCF => {
            Form::Bare
        }
        0x00..=0x03 | 0x0D | 0x10..=0x1F | 0x28..=0x2F | 0x40..=0x6F | 0x74..=0x76 => {
            Form::ModRm(0)
        }
        0x70..=0x73 | 0xA4 | 0xAC | 0xBA | 0xC2 | 0xC4..=0xC6 => Form::ModRm(1),
        0x78 | 0x79 | 0x7C..=0x7F | 0x90..=0x9F | 0xA3 | 0xA5 | 0xAB | 0xAD..=0xB9 => {
            Form::ModRm(0)
        }
        0xBB..=0xC1 | 0xC3 | 0xC7 | 0xD0..=0xFE => Form::ModRm(0),
        0x80..=0x8F => Form::Jump(4),
        _ => Form::Unknown,
    }
}

#[cfg(test)]
mod tests;
