//! The initial stack (System V ABI for x86-64, 3.4.1, "Initial Stack and Register State").
//!
//! From the stack pointer up: the number of arguments, pointers to them and a null, pointers to the
//! environment and a null, the auxiliary vector, then padding, random bytes, the platform's name,
//! argument strings, environment strings, the name of the executed file, and eight zero bytes.
use crate::{LoadError, PAGE_SIZE};
use alloc::vec::Vec;
use core::ops::Range;

/// Longest single argument or variable, with its NUL.
pub const STRING_MAX: usize = 128 << 10;

/// Numbers of auxiliary entries.
mod number {
    pub(super) const NULL: u64 = 0;
    pub(super) const HEADERS: u64 = 3;
    pub(super) const HEADER_BYTES: u64 = 4;
    pub(super) const HEADERS_COUNT: u64 = 5;
    pub(super) const PAGE_BYTES: u64 = 6;
    pub(super) const BASE: u64 = 7;
    pub(super) const FLAGS: u64 = 8;
    pub(super) const ENTRY: u64 = 9;
    pub(super) const UID: u64 = 11;
    pub(super) const EFFECTIVE_UID: u64 = 12;
    pub(super) const GID: u64 = 13;
    pub(super) const EFFECTIVE_GID: u64 = 14;
    pub(super) const PLATFORM: u64 = 15;
    pub(super) const HARDWARE: u64 = 16;
    pub(super) const CLOCK_TICKS: u64 = 17;
    pub(super) const SECURE: u64 = 23;
    pub(super) const RANDOM: u64 = 25;
    pub(super) const HARDWARE_2: u64 = 26;
    pub(super) const EXECUTED: u64 = 31;
    pub(super) const SYSINFO_HEADER: u64 = 33;
    pub(super) const SIGNAL_STACK: u64 = 51;
}

/// What the auxiliary vector tells, addresses with bias.
#[derive(Clone, Debug, Default)]
pub struct Auxiliary {
    /// Address of the program headers.
    pub headers: u64,
    /// Number of program headers.
    pub headers_count: u16,
    /// Bias of the interpreter; 0 without one.
    pub base: u64,
    /// Entry of the program, not of the interpreter.
    pub entry: u64,
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub effective_uid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub effective_gid: u32,
    /// CPUID leaf 1, edx.
    pub hardware: u64,
    /// Bit 1: ring 3 may use FSGSBASE.
    pub hardware_2: u64,
    /// Ticks per second of `times`.
    pub clock_ticks: u64,
    /// Whether the program got rights from its file's set-id bits.
    pub secure: bool,
    /// Address of the vDSO's ELF header.
    pub sysinfo_header: Option<u64>,
    /// Bytes that a signal's frame takes at least.
    pub signal_stack: Option<u64>,
}

/// What goes on the stack.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Address right above the stack; a multiple of 16.
    pub top: u64,
    /// Most bytes to use.
    pub limit: usize,
    /// Arguments.
    pub arguments: &'a [&'a [u8]],
    /// Environment.
    pub environment: &'a [&'a [u8]],
    /// Name of the executed file.
    pub executed: &'a [u8],
    /// Name of the machine, such as `x86_64`.
    pub platform: &'a [u8],
    /// Random bytes for stack protectors.
    pub random: [u8; 16],
    /// The rest of the auxiliary vector.
    pub auxiliary: &'a Auxiliary,
}

/// The stack as bytes that end at the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The stack pointer at the entry: a multiple of 16, where `bytes` goes.
    pub pointer: u64,
    /// From the stack pointer up to the top.
    pub bytes: Vec<u8>,
    /// Where the argument strings are, for `/proc/self/cmdline`.
    pub arguments: Range<u64>,
    /// Where the environment strings are.
    pub environment: Range<u64>,
    /// Where the auxiliary vector is.
    pub auxiliary: Range<u64>,
}

/// Strings with their NULs, laid out upwards from an address.
struct Strings {
    start: u64,
    bytes: Vec<u8>,
}

impl Strings {
    fn next(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn push(&mut self, string: &[u8]) -> u64 {
        let at = self.next();
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        at
    }
}

/// Bytes of all strings with their NULs, or `None` if one is too long or they overflow.
fn strings_len(strings: &[&[u8]]) -> Option<usize> {
    let mut sum = 0_usize;
    for string in strings {
        let len = string.len() + 1;
        if len > STRING_MAX {
            return None;
        }
        sum = sum.checked_add(len)?;
    }
    Some(sum)
}

impl Request<'_> {
    /// Lays the stack out.
    ///
    /// # Errors
    /// `ArgumentsTooLong` if a string or all of it exceeds the limit.
    pub fn build(&self) -> Result<Image, LoadError> {
        let too_long = LoadError::ArgumentsTooLong;
        let strings_len = self.strings_len().ok_or(too_long)?;
        let words_len = (self.arguments.len() + self.environment.len() + 64) * 8;
        let total = strings_len.checked_add(words_len).ok_or(too_long)?;
        let room = usize::try_from(self.top).unwrap_or(usize::MAX);
        if total > self.limit.min(room) {
            return Err(too_long);
        }
        let mut strings = Strings {
            start: self.top - strings_len as u64,
            bytes: Vec::with_capacity(strings_len),
        };
        let random = strings.start;
        strings.bytes.extend_from_slice(&self.random);
        let platform = strings.push(self.platform);
        let (arguments, argument_range) = push_all(&mut strings, self.arguments);
        let (environment, environment_range) = push_all(&mut strings, self.environment);
        let executed = strings.push(self.executed);
        strings.bytes.extend_from_slice(&[0; 8]);
        let auxiliary = self.auxiliary_words(random, platform, executed);
        let mut words = Vec::with_capacity(words_len / 8);
        words.push(self.arguments.len() as u64);
        words.extend_from_slice(&arguments);
        words.push(0);
        words.extend_from_slice(&environment);
        words.push(0);
        let auxiliary_at = words.len() as u64 * 8;
        words.extend_from_slice(&auxiliary);
        let pointer = (strings.start - words.len() as u64 * 8) & !15;
        let auxiliary_start = pointer + auxiliary_at;
        Ok(Image {
            pointer,
            bytes: self.assemble(pointer, &words, &strings),
            arguments: argument_range,
            environment: environment_range,
            auxiliary: auxiliary_start..auxiliary_start + auxiliary.len() as u64 * 8,
        })
    }

    fn strings_len(&self) -> Option<usize> {
        let lists = strings_len(self.arguments)?.checked_add(strings_len(self.environment)?)?;
        let names = strings_len(&[self.platform, self.executed])?;
        lists.checked_add(names + self.random.len() + 8)
    }

    fn assemble(&self, pointer: u64, words: &[u64], strings: &Strings) -> Vec<u8> {
        let len = (self.top - pointer) as usize;
        let mut bytes = Vec::with_capacity(len);
        for word in words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        // The padding that aligns the stack pointer.
        bytes.resize(len - strings.bytes.len(), 0);
        bytes.extend_from_slice(&strings.bytes);
        bytes
    }

    fn auxiliary_words(&self, random: u64, platform: u64, executed: u64) -> Vec<u64> {
        let values = self.auxiliary;
        let mut words = Vec::with_capacity(48);
        let mut add = |number: u64, value: u64| words.extend_from_slice(&[number, value]);
        if let Some(address) = values.sysinfo_header {
            add(number::SYSINFO_HEADER, address);
        }
        if let Some(len) = values.signal_stack {
            add(number::SIGNAL_STACK, len);
        }
        add(number::HARDWARE, values.hardware);
        add(number::PAGE_BYTES, PAGE_SIZE);
        add(number::CLOCK_TICKS, values.clock_ticks);
        add(number::HEADERS, values.headers);
        add(number::HEADER_BYTES, 56);
        add(number::HEADERS_COUNT, u64::from(values.headers_count));
        add(number::BASE, values.base);
        add(number::FLAGS, 0);
        add(number::ENTRY, values.entry);
        add(number::UID, u64::from(values.uid));
        add(number::EFFECTIVE_UID, u64::from(values.effective_uid));
        add(number::GID, u64::from(values.gid));
        add(number::EFFECTIVE_GID, u64::from(values.effective_gid));
        add(number::SECURE, u64::from(values.secure));
        add(number::RANDOM, random);
        add(number::HARDWARE_2, values.hardware_2);
        add(number::EXECUTED, executed);
        add(number::PLATFORM, platform);
        add(number::NULL, 0);
        words
    }
}

fn push_all(strings: &mut Strings, list: &[&[u8]]) -> (Vec<u64>, Range<u64>) {
    let start = strings.next();
    let addresses = list.iter().map(|string| strings.push(string)).collect();
    (addresses, start..strings.next())
}
