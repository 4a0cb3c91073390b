//! The vDSO: a small shared object in every program's memory that tells the time without a call.
//!
//! It is written out as an ELF file of one page, so that nothing has to be linked: libraries find it by `AT_SYSINFO_EHDR` and look
//! its symbols up (System V ABI, chapter 5; symbol versions as the C libraries expect them of Linux). Its
//! last bytes are the clock's data, which the libOS fills in. It runs in the program, so the one system call in it is the
//! program's.
use core::arch::global_asm;

/// What the clock needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ClockData {
    /// Nanoseconds = (TSC * multiplier) >> 32.
    pub multiplier: u64,
    /// Unix time in nanoseconds when the TSC was zero.
    pub epoch_ns: u64,
}

global_asm!(
    ".pushsection .rodata",
    ".balign 4096",
    ".global serix_vdso_start",
    "serix_vdso_start:",
    // ELF header: 64-bit, little-endian, shared object, x86-64.
    ".byte 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0",
    ".short 3, 62",
    ".long 1",
    ".quad 0, 64, 0",
    ".long 0",
    ".short 64, 56, 2, 64, 0, 0",
    // PT_LOAD of the page, readable and executable; PT_DYNAMIC.
    ".long 1, 5",
    ".quad 0, 0, 0, serix_vdso_end - serix_vdso_start, serix_vdso_end - serix_vdso_start, 4096",
    ".long 2, 4",
    ".quad 30f - serix_vdso_start, 30f - serix_vdso_start, 30f - serix_vdso_start",
    ".quad 31f - 30f, 31f - 30f, 8",
    ".balign 8",
    // Dynamic section: SONAME, HASH, STRTAB, SYMTAB, STRSZ, SYMENT, VERSYM, VERDEF, VERDEFNUM.
    "30:",
    ".quad 14, 41f - 40f",
    ".quad 4, 32f - serix_vdso_start",
    ".quad 5, 40f - serix_vdso_start",
    ".quad 6, 33f - serix_vdso_start",
    ".quad 10, 49f - 40f",
    ".quad 11, 24",
    ".quad 0x6ffffff0, 34f - serix_vdso_start",
    ".quad 0x6ffffffc, 35f - serix_vdso_start",
    ".quad 0x6ffffffd, 2",
    ".quad 0, 0",
    "31:",
    // Hash table with one bucket: all symbols in a chain.
    "32: .long 1, 4, 1, 0, 2, 3, 0",
    ".balign 8",
    // Symbols: global functions.
    "33: .quad 0, 0, 0",
    ".long 43f - 40f",
    ".byte 0x12, 0",
    ".short 1",
    ".quad 50f - serix_vdso_start, 51f - 50f",
    ".long 44f - 40f",
    ".byte 0x12, 0",
    ".short 1",
    ".quad 51f - serix_vdso_start, 52f - 51f",
    ".long 45f - 40f",
    ".byte 0x12, 0",
    ".short 1",
    ".quad 52f - serix_vdso_start, 53f - 52f",
    "34: .short 0, 2, 2, 2",
    ".balign 4",
    // Version definitions, with the hashes of their names: the object's own, and that of its symbols.
    "35: .short 1, 1, 1, 1",
    ".long 0x0deebfa1, 20, 28",
    ".long 41f - 40f, 0",
    ".short 1, 0, 2, 1",
    ".long 0x03ae75f6, 20, 0",
    ".long 42f - 40f, 0",
    "40: .byte 0",
    "41: .asciz \"linux-vdso.so.1\"",
    "42: .asciz \"LINUX_2.6\"",
    "43: .asciz \"__vdso_clock_gettime\"",
    "44: .asciz \"__vdso_gettimeofday\"",
    "45: .asciz \"__vdso_time\"",
    "49:",
    ".balign 64, 0xcc",
    // int clock_gettime(clockid_t edi, struct timespec *rsi)
    "50:",
    "cmp edi, 11",
    "ja 5f",
    "xor r8d, r8d",
    // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME.
    "mov eax, 0xD2",
    "bt eax, edi",
    "jc 2f",
    // REALTIME, REALTIME_COARSE, TAI.
    "mov eax, 0x821",
    "bt eax, edi",
    "jnc 5f",
    "mov r8, [rip + serix_vdso_clock + 8]",
    "2:",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mul qword ptr [rip + serix_vdso_clock]",
    "shrd rax, rdx, 32",
    "add rax, r8",
    "mov rcx, rax",
    // Divided by 10^9, by a product.
    "shr rax, 9",
    "movabs rdx, 19342813113834067",
    "mul rdx",
    "shr rdx, 11",
    "mov [rsi], rdx",
    "imul rdx, rdx, 1000000000",
    "sub rcx, rdx",
    "mov [rsi + 8], rcx",
    "xor eax, eax",
    "ret",
    // What else there is the libOS knows: call 228, by the program.
    "5:",
    "mov eax, 228",
    ".byte 0x0f, 0x05",
    "ret",
    ".balign 16, 0xcc",
    // int gettimeofday(struct timeval *rdi, struct timezone *rsi)
    "51:",
    "test rdi, rdi",
    "jz 3f",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mul qword ptr [rip + serix_vdso_clock]",
    "shrd rax, rdx, 32",
    "add rax, [rip + serix_vdso_clock + 8]",
    "xor edx, edx",
    "mov ecx, 1000",
    "div rcx",
    "xor edx, edx",
    "mov ecx, 1000000",
    "div rcx",
    "mov [rdi], rax",
    "mov [rdi + 8], rdx",
    "3:",
    "test rsi, rsi",
    "jz 4f",
    "mov qword ptr [rsi], 0",
    "4:",
    "xor eax, eax",
    "ret",
    ".balign 16, 0xcc",
    // time_t time(time_t *rdi)
    "52:",
    "rdtsc",
    "shl rdx, 32",
    "or rax, rdx",
    "mul qword ptr [rip + serix_vdso_clock]",
    "shrd rax, rdx, 32",
    "add rax, [rip + serix_vdso_clock + 8]",
    "xor edx, edx",
    "mov ecx, 1000000000",
    "div rcx",
    "test rdi, rdi",
    "jz 6f",
    "mov [rdi], rax",
    "6:",
    "ret",
    "53:",
    ".balign 16, 0xcc",
    "serix_vdso_clock:",
    ".quad 0, 0",
    "serix_vdso_end:",
    ".global serix_vdso_end",
    ".popsection",
);

unsafe extern "sysv64" {
    safe static serix_vdso_start: u8;
    safe static serix_vdso_end: u8;
}

/// The object, less than a page. The clock's data are its last bytes: [`CLOCK_SIZE`].
#[must_use]
pub fn image() -> &'static [u8] {
    let (start, end) = (&raw const serix_vdso_start, &raw const serix_vdso_end);
    // SAFETY: both are of the image that this file writes out, the end after the start.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// Bytes of the clock's data at the end of the image.
pub const CLOCK_SIZE: usize = size_of::<ClockData>();

impl ClockData {
    /// As the image has it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; CLOCK_SIZE] {
        let mut bytes = [0; CLOCK_SIZE];
        bytes[..8].copy_from_slice(&self.multiplier.to_le_bytes());
        bytes[8..].copy_from_slice(&self.epoch_ns.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of a name (System V ABI, chapter 5).
    fn hash(name: &[u8]) -> u32 {
        name.iter().fold(0u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add(u32::from(*byte));
            let high = hash & 0xf000_0000;
            (hash ^ high >> 24) & !high
        })
    }

    fn word(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn the_object_is_what_libraries_look_for() {
        let image = image();
        assert!(image.len() < 4096 && image.starts_with(b"\x7fELF\x02\x01\x01"));
        assert_eq!(word(image, 64 + 32), image.len() as u64, "all of it is loaded");
        let dynamic = word(image, 64 + 56 + 16) as usize;
        let entry = |tag| {
            (dynamic..)
                .step_by(16)
                .map(|at| (word(image, at), word(image, at + 8)))
                .find(|e| e.0 == tag)
        };
        let at = |tag: u64| entry(tag).unwrap().1 as usize;
        let strings = &image[at(5)..at(5) + at(10)];
        let string = |at: usize| strings[at..].split(|byte| *byte == 0).next().unwrap();
        let half = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        let names: std::vec::Vec<_> =
            (1..4).map(|index| string(half(at(6) + index * 24) as usize)).collect();
        assert_eq!(names, [&b"__vdso_clock_gettime"[..], b"__vdso_gettimeofday", b"__vdso_time"]);
        let versions = at(0x6fff_fffc);
        for verdef in [versions, versions + 28] {
            assert_eq!(half(verdef + 8), hash(string(half(verdef + 20) as usize)));
        }
        assert_eq!(string(half(versions + 48) as usize), b"LINUX_2.6");
        assert_eq!(half(at(4) + 4), 4, "as many chains as symbols");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_code_tells_the_time() {
        // The code in read-only data cannot run here; its arithmetic can be compared.
        for ns in [0u64, 1, 999_999_999, 1_000_000_000, 1_800_000_000_123_456_789, u64::MAX >> 1] {
            let seconds = ((u128::from(ns >> 9) * 19_342_813_113_834_067) >> 64) as u64 >> 11;
            assert_eq!(seconds, ns / 1_000_000_000);
        }
    }
}
