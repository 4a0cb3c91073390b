//! Every `syscall` instruction of real programs, with objdump as the judge of what is an instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serix_patch::functions::{Source, around};
use serix_patch::{Code, Plan, Refusal, Rule, SYSCALL_LENGTH, plan};

/// What objdump says of a program.
struct Listing {
    /// Address of each instruction: its length and its words.
    instructions: BTreeMap<u64, (u64, String)>,
    /// Where direct jumps and calls lead.
    targets: BTreeSet<u64>,
    sites: Vec<u64>,
}

fn output(program: &str, words: &[&OsStr]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn list(program: &Path) -> Listing {
    let words = ["-d", "-w", "--no-show-raw-insn"].map(OsStr::new);
    let words = [&words[..], &[program.as_os_str()]].concat();
    let text = output("objdump", &words).expect("objdump, which comes with the linker");
    let mut listing =
        Listing { instructions: BTreeMap::new(), targets: BTreeSet::new(), sites: Vec::new() };
    let mut starts = Vec::new();
    for line in text.lines() {
        let Some((address, words)) = line.split_once(":\t") else { continue };
        let Ok(address) = u64::from_str_radix(address.trim(), 16) else { continue };
        starts.push(address);
        let words = words.trim();
        if words == "syscall" {
            listing.sites.push(address);
        }
        let transfers = words.split_whitespace().any(|word| {
            word.starts_with('j') || word.starts_with("call") || word.starts_with("loop")
        });
        let target = words.split_whitespace().find_map(|word| u64::from_str_radix(word, 16).ok());
        if let (true, Some(target)) = (transfers, target) {
            listing.targets.insert(target);
        }
        listing.instructions.insert(address, (0, words.to_owned()));
    }
    for pair in starts.windows(2) {
        let entry = listing.instructions.get_mut(&pair[0]).expect("just listed");
        entry.0 = pair[1] - pair[0];
    }
    listing
}

/// The bytes of the executable segment, and where they are in the file.
struct Text {
    address: u64,
    offset: u64,
    bytes: Vec<u8>,
}

fn text(file: &[u8]) -> Text {
    let number = |at: usize, size: usize| {
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(&file[at..at + size]);
        u64::from_le_bytes(bytes)
    };
    let (table, count) = (number(32, 8) as usize, number(56, 2) as usize);
    (0..count)
        .map(|index| table + index * 56)
        .find(|at| number(*at, 4) == 1 && number(at + 4, 4) & 1 != 0)
        .map(|at| {
            let (offset, address, size) =
                (number(at + 8, 8), number(at + 16, 8), number(at + 32, 8));
            let bytes = file[offset as usize..(offset + size) as usize].to_vec();
            Text { address, offset, bytes }
        })
        .expect("an executable segment")
}

impl Text {
    fn code(&self, range: &std::ops::Range<u64>) -> Code<'_> {
        let (start, end) = (range.start - self.address, range.end - self.address);
        Code { address: range.start, bytes: &self.bytes[start as usize..end as usize] }
    }

    fn plan(&self, file: &impl Source, site: u64) -> Result<Plan, Refusal> {
        let found = around(file, site - self.address + self.offset)?;
        assert_eq!(found.site, site);
        let gaps: Vec<_> = found.gaps.iter().map(|gap| self.code(gap)).collect();
        plan(self.code(&found.function), &gaps, site)
    }

    fn apply(&mut self, plan: &Plan, trampoline: u64) {
        for edit in plan.edits(trampoline).expect("in reach") {
            let at = (edit.address - self.address) as usize;
            self.bytes[at..at + edit.bytes.len()].copy_from_slice(&edit.bytes);
        }
    }
}

/// How many sites each outcome had.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    before: usize,
    padding: usize,
    refused: BTreeMap<Refusal, usize>,
}

/// Plans each site of a program in turn, as if all before were patched, and checks it.
fn check(program: &Path) -> Outcomes {
    let file = std::fs::read(program).expect("a program");
    let (listing, mut text) = (list(program), text(&file));
    assert!(!listing.sites.is_empty());
    let mut outcomes = Outcomes::default();
    let mut changed = BTreeSet::new();
    for (number, site) in listing.sites.iter().enumerate() {
        let trampoline = 0x10_0000 + number as u64 / 63 * 4096 + number as u64 % 63 * 64;
        match text.plan(&file.as_slice(), *site) {
            Ok(plan) => {
                check_plan(&plan, &listing);
                check_ways(&plan, trampoline);
                for edit in plan.edits(trampoline).expect("in reach") {
                    // What fills padding up may be taken again.
                    let length = match plan.rule {
                        Rule::Before => plan.first,
                        Rule::Padding(_) => edit.bytes.len().min(5),
                    };
                    for at in edit.address..edit.address + length as u64 {
                        assert!(changed.insert(at), "{at:#x} is changed twice");
                    }
                }
                text.apply(&plan, trampoline);
                match plan.rule {
                    Rule::Before => outcomes.before += 1,
                    Rule::Padding(_) => outcomes.padding += 1,
                }
            }
            Err(refusal) => *outcomes.refused.entry(refusal).or_default() += 1,
        }
    }
    println!("{}: {} sites: {outcomes:?}", program.display(), listing.sites.len());
    outcomes
}

/// Against the listing: the displaced bytes are one instruction, padding is nothing but padding, nobody jumps into it.
fn check_plan(plan: &Plan, listing: &Listing) {
    let range = match plan.rule {
        Rule::Before => {
            assert_eq!(
                listing.instructions[&plan.start()].0,
                plan.first as u64,
                "{:#x}",
                plan.start()
            );
            let mut at = plan.start();
            while at < plan.site {
                let (length, words) = &listing.instructions[&at];
                let transfers = ["j", "call", "ret", "syscall", "loop", "bnd", "hlt", "int", "ud2"];
                assert!(!transfers.iter().any(|word| words.starts_with(word)), "{at:#x} {words}");
                at += length;
            }
            assert_eq!(at, plan.site, "instructions that end at the site");
            plan.start()..plan.start() + plan.first as u64
        }
        Rule::Padding(stub) => {
            // A second jump may stand in the rest of a long `nop`.
            let mut at = stub;
            while at < stub + 5 {
                let (start, (length, words)) =
                    listing.instructions.range(..=at).next_back().expect("an instruction");
                let is_padding = ["nop", "int3", "xchg   %ax,%ax", "cs nop", "data16"];
                assert!(is_padding.iter().any(|word| words.starts_with(word)), "{at:#x} {words}");
                at = start + length;
            }
            assert!(!listing.targets.contains(&stub), "{stub:#x}");
            stub..at
        }
    };
    let inside = listing.targets.range(range.start + 1..range.end).next();
    assert_eq!(inside, None, "a jump into what changes");
    assert_eq!(listing.instructions[&plan.site].1, "syscall");
}

/// The jump leads to the trampoline, which does what was displaced.
fn check_ways(plan: &Plan, trampoline: u64) {
    let entry = trampoline / 4096 * 4096 + 4088;
    let edits = plan.edits(trampoline).expect("in reach");
    let jump = &edits[0];
    let distance = i32::from_le_bytes(jump.bytes[1..5].try_into().expect("four bytes"));
    assert_eq!(
        (jump.bytes[0], (jump.address + 5).wrapping_add_signed(distance.into())),
        (0xE9, trampoline)
    );
    let bytes = plan.trampoline(trampoline, entry).expect("in reach");
    let mut decoder =
        iced_x86::Decoder::with_ip(64, &bytes, trampoline, iced_x86::DecoderOptions::NONE);
    let mut originals = iced_x86::Decoder::with_ip(64, &plan.displaced, plan.start(), 0);
    while originals.can_decode() {
        let (moved, original) = (decoder.decode(), originals.decode());
        assert_eq!((moved.code(), moved.op_count()), (original.code(), original.op_count()));
        assert_eq!(moved.memory_displacement64(), original.memory_displacement64());
    }
    let (lea, jump) = (decoder.decode(), decoder.decode());
    assert_eq!(lea.code(), iced_x86::Code::Lea_r64_m);
    assert_eq!(lea.op0_register(), iced_x86::Register::RCX);
    assert_eq!(lea.ip_rel_memory_address(), plan.site + SYSCALL_LENGTH);
    assert_eq!((jump.code(), jump.ip_rel_memory_address()), (iced_x86::Code::Jmp_rm64, entry));
}

fn built(compiler: &str, name: &str, words: &[&str]) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(name);
    let words: Vec<&OsStr> =
        words.iter().map(OsStr::new).chain([OsStr::new("-o"), program.as_os_str()]).collect();
    output(compiler, &words).map(|_| program)
}

const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/calls.c");
const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/hello.rs");

#[test]
fn every_site_of_busybox() {
    let paths = ["/usr/bin/busybox", "/bin/busybox"];
    let busybox = paths.iter().map(Path::new).find(|path| path.exists()).expect("busybox");
    let outcomes = check(busybox);
    assert!(outcomes.before > 200, "{outcomes:?}");
    assert!(outcomes.refused.contains_key(&Refusal::SignalReturn));
}

#[test]
fn every_site_of_a_static_program_of_glibc() {
    let words = ["-static", "-O2", "-w", CALLS];
    let outcomes = check(&built("cc", "calls-glibc", &words).expect("cc, which cargo links with"));
    assert!(outcomes.before > 100, "{outcomes:?}");
    // Symbols are not what functions are known by: the same without them.
    let words = ["-static", "-O2", "-w", "-s", CALLS];
    let stripped = built("cc", "calls-glibc-stripped", &words).expect("cc");
    let bare = check(&stripped);
    assert!(bare.before + 5 >= outcomes.before, "{bare:?}, with symbols {outcomes:?}");
}

#[test]
fn every_site_of_a_static_program_of_musl() {
    let words = ["-static", "-O2", "-w", CALLS];
    let Some(program) = built("musl-gcc", "calls-musl", &words) else {
        return println!("skipped: no musl-gcc");
    };
    let outcomes = check(&program);
    assert!(outcomes.before > 100, "{outcomes:?}");
    let words = ["-static", "-O2", "-w", "-s", CALLS];
    let stripped = check(&built("musl-gcc", "calls-musl-stripped", &words).expect("musl-gcc"));
    assert_eq!(stripped.before, 0, "there is nothing to know functions by: {stripped:?}");
}

#[test]
fn every_site_of_a_static_program_in_rust() {
    let words = ["--edition=2024", "-O", "-C", "target-feature=+crt-static", HELLO];
    let outcomes = check(&built("rustc", "hello-rust", &words).expect("rustc"));
    assert!(outcomes.before > 40, "{outcomes:?}");
}

#[test]
fn broken_files_are_refused() {
    let program = std::env::current_exe().expect("this program");
    let file = std::fs::read(program).expect("its file");
    for cut in [0, 63, 64, 1000, 100_000] {
        let short = &file[..cut.min(file.len())];
        assert_eq!(around(&short, 0x1000).err(), Some(Refusal::NoFunction), "cut to {cut}");
    }
    let mut state = 1_u64;
    for _ in 0..200 {
        let mut bad = file[..0x4000.min(file.len())].to_vec();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % 1024;
            bad[at] = (state >> 25) as u8;
        }
        // No panic, and no more memory than the file has.
        let _ = around(&bad.as_slice(), (state >> 40) % 0x4000);
    }
}
