//! Plans of real, made-up, mutated and random files.
use serix_loader::{
    ElfHeader, FileKind, Format, HEAD_BYTES, Limits, LoadError, Plan, identify, interpreter_path,
};

const LIMITS: Limits = Limits { addresses: 0x1000..0x7E00_0000_0000, memory: 1 << 36 };

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, limit: usize) -> usize {
        ((self.next() >> 11) % limit as u64) as usize
    }
}

fn header_of(file: &[u8]) -> Result<ElfHeader, LoadError> {
    match identify(&file[..file.len().min(HEAD_BYTES)])? {
        Format::Elf(header) => Ok(header),
        Format::Script(_) => Err(LoadError::NotExecutable),
    }
}

fn plan_of(file: &[u8]) -> Result<Plan, LoadError> {
    let header = header_of(file)?;
    let range = header.program_headers();
    assert!(range.end - range.start <= 16 << 10, "a bounded read");
    let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(file.len());
    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(file.len());
    Plan::new(&header, &file[start..end], file.len() as u64, &LIMITS)
}

/// What must hold of any plan, whatever the file was.
fn check(plan: &Plan, file_size: u64) {
    assert!(!plan.segments.is_empty() && plan.segments.len() <= 256);
    let Ok(bias) = plan.bias(0x5555_5555_4000, &LIMITS) else {
        assert_eq!(plan.kind, FileKind::PositionIndependent);
        return;
    };
    let span = plan.span();
    let (start, end) = (span.start.wrapping_add(bias), span.end.wrapping_add(bias));
    assert!(start >= LIMITS.addresses.start && end <= LIMITS.addresses.end && start < end);
    assert!((start..end).contains(&plan.entry.wrapping_add(bias)));
    for segment in &plan.segments {
        let pages = segment.pages(bias);
        assert!(pages.from_file.start >= start && pages.zero.end <= end);
        assert!(pages.from_file.start <= pages.from_file.end);
        assert_eq!(pages.from_file.end, pages.zero.start);
        assert!(pages.zero.start <= pages.zero.end);
        assert!(pages.tail.start <= pages.tail.end && pages.tail.end == pages.from_file.end);
        assert!(pages.tail.end - pages.tail.start < 4096);
        assert!(segment.file.end <= file_size);
        assert!(pages.file_offset.is_multiple_of(4096));
        assert!(pages.file_offset <= segment.file.start);
        for edge in [pages.from_file.start, pages.from_file.end, pages.zero.end] {
            assert!(edge.is_multiple_of(4096));
        }
    }
    if let Some(path) = &plan.interpreter {
        assert!(path.end <= file_size && path.end - path.start <= 4096);
    }
}

struct Header {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
    alignment: u64,
}

/// An ELF file of `size` bytes with these program headers.
fn elf(kind: u16, entry: u64, headers: &[Header], size: usize) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16..18].copy_from_slice(&kind.to_le_bytes());
    file[18..20].copy_from_slice(&62_u16.to_le_bytes());
    file[20..24].copy_from_slice(&1_u32.to_le_bytes());
    file[24..32].copy_from_slice(&entry.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[52..54].copy_from_slice(&64_u16.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes());
    file[56..58].copy_from_slice(&(headers.len() as u16).to_le_bytes());
    for header in headers {
        file.extend_from_slice(&header.kind.to_le_bytes());
        file.extend_from_slice(&header.flags.to_le_bytes());
        for word in [
            header.offset,
            header.address,
            header.address,
            header.file_size,
            header.memory_size,
            header.alignment,
        ] {
            file.extend_from_slice(&word.to_le_bytes());
        }
    }
    file.resize(size.max(file.len()), 0);
    file
}

fn load(offset: u64, address: u64, file_size: u64, memory_size: u64, flags: u32) -> Header {
    Header { kind: 1, flags, offset, address, file_size, memory_size, alignment: 0x1000 }
}

fn fixed() -> Vec<u8> {
    let headers = [
        load(0, 0x40_0000, 0x1234, 0x1234, 5),
        load(0x1800, 0x40_2800, 0x100, 0x3000, 6),
        Header { kind: 0x6474_e551, flags: 6, ..load(0, 0, 0, 0, 6) },
    ];
    elf(2, 0x40_1000, &headers, 0x2000)
}

#[test]
fn fixed_program() {
    let file = fixed();
    let plan = plan_of(&file).expect("a plan");
    check(&plan, file.len() as u64);
    assert_eq!(plan.kind, FileKind::Fixed);
    assert_eq!(plan.bias(0x5555_5555_4000, &LIMITS), Ok(0));
    assert_eq!(plan.headers_address, Some(0x40_0040));
    assert!(!plan.executable_stack);
    assert_eq!(plan.span(), 0x40_0000..0x40_6000);
    let text = plan.segments[0].pages(0);
    assert_eq!(text.from_file, 0x40_0000..0x40_2000);
    assert!(text.tail.is_empty() && text.zero.is_empty());
    let data = plan.segments[1].pages(0);
    assert_eq!(data.from_file, 0x40_2000..0x40_3000);
    assert_eq!(data.file_offset, 0x1000);
    assert_eq!(data.tail, 0x40_2900..0x40_3000);
    assert_eq!(data.zero, 0x40_3000..0x40_6000);
    assert!(plan.segments[1].writable && !plan.segments[1].executable);
}

#[test]
fn independent_program_keeps_its_alignment() {
    let mut headers = vec![load(0, 0x1000, 0x800, 0x800, 5)];
    headers[0].alignment = 0x20_0000;
    // Address and offset need only agree within a page.
    let plan = plan_of(&elf(3, 0x1000, &headers, 0x1000)).expect("a plan");
    let bias = plan.bias(0x5555_5555_4000, &LIMITS).expect("a bias");
    assert!(bias.is_multiple_of(0x20_0000));
    assert!(bias + 0x1000 >= 0x5555_5555_4000 && bias < 0x5555_5555_4000 + 0x20_0000);
    assert!(plan.executable_stack, "nothing was said about the stack");
}

#[test]
fn interpreter() {
    let mut headers = vec![load(0, 0, 0x800, 0x800, 5)];
    headers.push(Header { kind: 3, ..load(0x700, 0x700, 12, 12, 4) });
    let mut file = elf(3, 0x100, &headers, 0x1000);
    file[0x700..0x70C].copy_from_slice(b"/lib/ld.so1\0");
    let plan = plan_of(&file).expect("a plan");
    let range = plan.interpreter.clone().expect("an interpreter");
    let bytes = &file[range.start as usize..range.end as usize];
    assert_eq!(interpreter_path(bytes), Ok(&b"/lib/ld.so1"[..]));
    assert!(interpreter_path(b"/lib/ld.so").is_err());
    assert!(interpreter_path(b"/lib\0/ld\0").is_err());
    assert!(interpreter_path(b"\0").is_err());
    assert!(interpreter_path(b"").is_err());
}

#[test]
fn absurd_headers_are_refused() {
    let refused = |headers: &[Header], kind: u16, entry: u64| {
        plan_of(&elf(kind, entry, headers, 0x3000)).expect_err("a refusal")
    };
    let text = || load(0, 0x40_0000, 0x1000, 0x1000, 5);
    let malformed = |error| matches!(error, LoadError::Malformed(_));
    assert!(malformed(refused(&[], 2, 0)));
    assert!(malformed(refused(&[load(0, 0x40_0000, 0x1000, 0x800, 5)], 2, 0x40_0000)));
    assert!(malformed(refused(&[load(0x10, 0x40_0000, 0x100, 0x100, 5)], 2, 0x40_0000)));
    assert!(malformed(refused(&[load(0, 0x40_0000, 0x9000, 0x9000, 5)], 2, 0x40_0000)));
    assert!(malformed(refused(&[text(), load(0, 0x40_0800, 8, 8, 6)], 2, 0x40_0000)));
    assert!(malformed(refused(&[text(), load(0, 0x30_0000, 8, 8, 6)], 2, 0x40_0000)));
    assert!(malformed(refused(&[text()], 2, 0x50_0000)));
    assert!(malformed(refused(
        &[load(u64::MAX - 0xFFF, 0x40_0000, 0x1000, 0x1000, 5)],
        2,
        0x40_0000
    )));
    let too_large = LoadError::TooLarge;
    assert_eq!(refused(&[load(0, u64::MAX - 0xFFF, 0, 0x1000, 5)], 2, 0), too_large);
    assert_eq!(refused(&[load(0, 0x40_0000, 0, 1 << 40, 5)], 2, 0x40_0000), too_large);
    assert_eq!(refused(&[load(0, 0, 0x100, 0x100, 5)], 2, 0), too_large);
    assert_eq!(refused(&[load(0, 0x7E00_0000_0000, 0, 8, 5)], 2, 0x7E00_0000_0000), too_large);
    assert_eq!(refused(&[load(0, 0, 0, u64::MAX, 5)], 3, 0), too_large);
    assert_eq!(refused(&[text()], 1, 0x40_0000), LoadError::NotExecutable);
    let mut aligned = text();
    aligned.alignment = 0x3000;
    assert!(malformed(refused(&[aligned], 2, 0x40_0000)));
}

#[test]
fn every_prefix_of_a_program_is_refused_or_planned() {
    let file = fixed();
    for len in 0..file.len() {
        if let Ok(plan) = plan_of(&file[..len]) {
            check(&plan, len as u64);
        }
    }
    assert!(plan_of(&file[..0x18FF]).is_err() && plan_of(&file[..0x1900]).is_ok());
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    let known = fixed();
    let mut plans = 0;
    for round in 0..200_000 {
        let mut bytes: Vec<u8> = (0..random.below(400)).map(|_| random.next() as u8).collect();
        // Most random bytes end at the first check, so most get past it.
        let keep = [0, 20, 24, 58, 64][round % 5].min(bytes.len());
        bytes[..keep].copy_from_slice(&known[..keep]);
        if let Ok(plan) = plan_of(&bytes) {
            check(&plan, bytes.len() as u64);
            plans += 1;
        }
    }
    // With whole headers kept it is the program headers that are random: hardly one is right.
    assert!(plans < 20_000);
}

fn mutated(file: &[u8], random: &mut Random) -> Vec<u8> {
    let mut file = file.to_vec();
    let headers = 64 + 14 * 56;
    for _ in 0..1 + random.below(4) {
        let at = random.below(headers.min(file.len()));
        match random.below(3) {
            0 => file[at] = random.next() as u8,
            1 => file[at] ^= 1 << random.below(8),
            _ => {
                let word = [0, 1, u64::MAX, 1 << 63, i64::MAX as u64, 0xFFF][random.below(6)];
                let at = at & !7;
                if let Some(bytes) = file.get_mut(at..at + 8) {
                    bytes.copy_from_slice(&word.to_le_bytes());
                }
            }
        }
    }
    file
}

#[test]
fn mutated_programs_never_break_the_rules() {
    let mut random = Random(0xDEAD_BEEF_0BAD_F00D);
    let own = std::env::current_exe().and_then(std::fs::read).expect("this program");
    for original in [fixed(), own[..own.len().min(1 << 16)].to_vec()] {
        let (mut planned, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let file = mutated(&original, &mut random);
            // The size is the whole file's; only its beginning is looked at.
            let size = own.len().max(file.len()) as u64;
            let plan = header_of(&file).and_then(|header| {
                let range = header.program_headers();
                let start = (range.start as usize).min(file.len());
                let end = (range.end as usize).min(file.len());
                Plan::new(&header, &file[start..end], size, &LIMITS)
            });
            match plan {
                Ok(plan) => {
                    check(&plan, size);
                    planned += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(planned > 1000 && refused > 1000, "{planned} {refused}");
    }
}

#[test]
fn programs_of_this_machine() {
    let own = std::env::current_exe().expect("a path");
    let mut seen = 0;
    for path in [own.as_path(), "/bin/busybox".as_ref(), "/bin/sh".as_ref()] {
        let Ok(file) = std::fs::read(path) else { continue };
        let plan = plan_of(&file).expect("a plan of a program that runs");
        check(&plan, file.len() as u64);
        assert!(plan.segments.iter().any(|segment| segment.executable));
        assert!(plan.segments.iter().all(|segment| !(segment.executable && segment.writable)));
        assert!(plan.headers_address.is_some());
        seen += 1;
    }
    assert!(seen >= 1);
}
