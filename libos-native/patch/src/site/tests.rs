extern crate std;
use super::*;
use crate::decode::decode;
use proptest::prelude::*;
use std::vec::Vec;

const BASE: u64 = 0x40_1100;
const TRAMPOLINE: u64 = 0x3F_F000;
const ENTRY: u64 = 0x3F_FFF8;

fn at_base(bytes: &[u8]) -> Code<'_> {
    Code { address: BASE, bytes }
}

fn planned(bytes: &[u8], site: u64) -> Result<Plan, Refusal> {
    plan(at_base(bytes), &[], BASE + site)
}

#[test]
fn the_instruction_before_is_displaced() {
    // mov $39, %eax; syscall; ret
    let code = [0xB8, 39, 0, 0, 0, 0x0F, 0x05, 0xC3];
    let plan = planned(&code, 5).unwrap();
    assert_eq!((plan.rule, plan.start(), &plan.displaced[..]), (Rule::Before, BASE, &code[..5]));
    let edits = plan.edits(TRAMPOLINE).unwrap();
    assert_eq!(edits.len(), 1);
    assert_eq!(edits[0].bytes.len(), 5, "the two bytes of the site stay");
    let trampoline = plan.trampoline(TRAMPOLINE, ENTRY).unwrap();
    assert_eq!(&trampoline[..5], &code[..5]);
    assert_eq!(&trampoline[5..8], &[0x48, 0x8D, 0x0D]);
    let back = i32::from_le_bytes(trampoline[8..12].try_into().unwrap());
    assert_eq!((TRAMPOLINE + 12).wrapping_add_signed(back.into()), BASE + 7);
    assert_eq!(&trampoline[12..14], &[0xFF, 0x25]);
    let word = i32::from_le_bytes(trampoline[14..18].try_into().unwrap());
    assert_eq!((TRAMPOLINE + 18).wrapping_add_signed(word.into()), ENTRY);
}

#[test]
fn what_stands_between_stays_and_is_done_elsewhere() {
    // mov 8(%rsp), %r9; lea 0x100(%rip), %rsi, twice; mov %rcx, %rdx; syscall; and a jump back to the third.
    let lea = [0x48, 0x8D, 0x35, 0, 1, 0, 0];
    let code = [
        &[0x4C, 0x8B, 0x4C, 0x24, 8][..],
        &lea,
        &lea,
        &[0x48, 0x89, 0xCA],
        &SYSCALL,
        &[0xEB, 0xFE - 12],
    ]
    .concat();
    let plan = planned(&code, 22).unwrap();
    assert_eq!((plan.start(), plan.first), (BASE + 12, 7), "the last one that is long enough");
    assert_eq!(plan.edits(TRAMPOLINE).unwrap()[0].bytes.len(), 7);
    // With a jump into that one, the one before it, and with it all that follow.
    let mut code = code;
    code[25] -= 1;
    let at = BASE + 26 - 15;
    assert!((BASE + 5..BASE + 12).contains(&at), "{at:#x}");
    let plan = planned(&code, 22).unwrap();
    assert_eq!(plan.start(), BASE + 12, "a jump into another is no matter");
    code[25] = 0xFE - 9;
    let plan = planned(&code, 22).unwrap();
    assert_eq!((plan.start(), plan.first), (BASE + 5, 7));
    let moved = plan.trampoline(TRAMPOLINE, ENTRY).unwrap();
    for end in [7, 14] {
        let distance = i32::from_le_bytes(moved[end - 4..end].try_into().unwrap());
        let target = (TRAMPOLINE + end as u64).wrapping_add_signed(distance.into());
        assert_eq!(target, BASE + 5 + end as u64 + 0x100);
    }
    assert_eq!(moved[14..17], [0x48, 0x89, 0xCA]);
}

#[test]
fn an_instruction_that_ends_like_another_is_displaced_whole() {
    // mov $39, %r8d: without its first byte it would be mov $39, %eax.
    let code = [0x41, 0xB8, 39, 0, 0, 0, 0x0F, 0x05, 0xC3];
    let plan = planned(&code, 6).unwrap();
    assert_eq!((plan.start(), &plan.displaced[..]), (BASE, &code[..6]));
    assert_eq!(plan.edits(TRAMPOLINE).unwrap()[0].bytes[5], 0x90);
}

#[test]
fn a_distance_to_rip_is_made_anew() {
    // lea 0x100(%rip), %rsi; syscall
    let code = [0x48, 0x8D, 0x35, 0, 1, 0, 0, 0x0F, 0x05, 0xC3];
    let plan = planned(&code, 7).unwrap();
    let moved = plan.trampoline(TRAMPOLINE, ENTRY).unwrap();
    let distance = i32::from_le_bytes(moved[3..7].try_into().unwrap());
    assert_eq!((TRAMPOLINE + 7).wrapping_add_signed(distance.into()), BASE + 7 + 0x100);
    assert_eq!(plan.trampoline(TRAMPOLINE + (3 << 30), ENTRY), None, "out of reach");
}

#[test]
fn the_return_of_signals_stays() {
    let refused = Err(Refusal::SignalReturn);
    assert_eq!(planned(&[0x48, 0xC7, 0xC0, 15, 0, 0, 0, 0x0F, 0x05], 7), refused);
    assert_eq!(planned(&[0xB8, 15, 0, 0, 0, 0x0F, 0x05], 5), refused);
}

#[test]
fn nobody_may_jump_into_what_changes() {
    // The last instruction jumps to the second byte of the first, or to the first, or to the site.
    let code = |distance: i8| [0xB8, 39, 0, 0, 0, 0x0F, 0x05, 0xEB, distance.cast_unsigned(), 0xC3];
    assert_eq!(planned(&code(-8), 5), Err(Refusal::NoRoom));
    assert_eq!(planned(&code(-9), 5).unwrap().rule, Rule::Before);
    assert_eq!(planned(&code(-4), 5).unwrap().rule, Rule::Before);
}

#[test]
fn transfers_of_control_are_not_displaced() {
    assert_eq!(planned(&[0xE8, 0, 0, 0, 0, 0x0F, 0x05], 5), Err(Refusal::NoRoom));
    // Nor what stands before one.
    let code = [0xB8, 39, 0, 0, 0, 0x75, 0, 0x0F, 0x05];
    assert_eq!(planned(&code, 7), Err(Refusal::NoRoom));
    assert_eq!(planned(&[0x0F, 0x85, 0, 0, 0, 0, 0x0F, 0x05], 6), Err(Refusal::NoRoom));
    assert_eq!(planned(&[0x31, 0xC0, 0x0F, 0x05], 2), Err(Refusal::NoRoom));
}

#[test]
fn nothing_crosses_a_page() {
    let code = [0xB8, 39, 0, 0, 0, 0x0F, 0x05, 0xC3];
    for first in 0..16 {
        let address = 0x40_2000 - first;
        let outcome = plan(Code { address, bytes: &code }, &[], address + 5);
        // The site lies across the boundary, or the instruction before it, or between them is the boundary.
        assert_eq!(outcome.is_ok(), first == 0 || first >= 7, "{first} bytes before the boundary");
    }
}

#[test]
fn padding_is_used_once_by_each_site() {
    // read by `xor %eax, %eax`, twice; then 12 bytes of padding.
    let code = [0x31, 0xC0, 0x0F, 0x05, 0x31, 0xC0, 0x0F, 0x05, 0xC3];
    let mut padding = [&[0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0][..], &[0x66, 0x90]].concat();
    let start = BASE + code.len() as u64;
    let mut used = Vec::new();
    for site in [2, 6] {
        let gap = Code { address: start, bytes: &padding };
        let plan = plan(at_base(&code), &[gap], BASE + site).unwrap();
        let Rule::Padding(stub) = plan.rule else { panic!("no padding") };
        let edits = plan.edits(TRAMPOLINE).unwrap();
        assert_eq!(edits[1].bytes[0], 0xEB);
        let lands = BASE + site + 2 + u64::from(edits[1].bytes[1]);
        assert_eq!(lands, stub);
        let at = (stub - start) as usize;
        padding[at..at + edits[0].bytes.len()].copy_from_slice(&edits[0].bytes);
        used.push(stub..stub + 5);
    }
    assert!(used[0].end <= used[1].start);
    let gap = Code { address: start, bytes: &padding };
    assert_eq!(plan(at_base(&code), &[gap], BASE + 2), Err(Refusal::NoRoom), "it is used up");
}

#[test]
fn what_is_no_padding_is_left_alone() {
    let code = [0x31, 0xC0, 0x0F, 0x05, 0xC3];
    let address = BASE + code.len() as u64;
    let gap = [&[0x90; 8][..], &[0xC3]].concat();
    let gap = Code { address, bytes: &gap };
    assert_eq!(plan(at_base(&code), &[gap], BASE + 2), Err(Refusal::NoRoom));
    let far = [0x90; 16];
    let far = Code { address: BASE + 4 + 128, bytes: &far };
    assert_eq!(plan(at_base(&code), &[far], BASE + 2), Err(Refusal::NoRoom), "out of reach");
}

proptest! {
    /// Random bytes around a site lead to no panic, and what is displaced is an instruction that ends at the site.
    #[test]
    fn hostile_code_is_refused_or_well_formed(
        mut code in prop::collection::vec(any::<u8>(), 2..64),
        gap in prop::collection::vec(prop::sample::select(&[0x90u8, 0xCC, 0xE9, 0x66, 0x0F, 0x1F][..]), 0..32),
        at in any::<prop::sample::Index>(),
        address in any::<u64>(),
    ) {
        let at = at.index(code.len() - 1);
        code[at..at + 2].copy_from_slice(&SYSCALL);
        let function = Code { address, bytes: &code };
        let site = address.wrapping_add(at as u64);
        let gap = Code { address: address.wrapping_add(code.len() as u64), bytes: &gap };
        if let Ok(plan) = plan(function, &[gap], site) {
            if plan.rule == Rule::Before {
                let found = decode(&plan.displaced).unwrap();
                prop_assert_eq!(found.length, plan.first);
                prop_assert!(found.length >= 5 && plan.start() + plan.displaced.len() as u64 == site);
            }
            for edit in plan.edits(site.wrapping_add(0x1000)).into_iter().flatten() {
                prop_assert_eq!(edit.address / 4096, (edit.address + edit.bytes.len() as u64 - 1) / 4096);
            }
        }
    }
}
