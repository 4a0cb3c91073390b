extern crate std;
use super::*;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Mnemonic, OpKind};
use proptest::prelude::*;

const PREFIXES: &[u8] = &[0x66, 0x67, 0xF2, 0xF3, 0x48, 0x41, 0x64];
const ESCAPES: &[&[u8]] = &[&[], &[0x0F], &[0x0F, 0x38], &[0x0F, 0x3A]];

/// What iced says of the same bytes; `None` if it knows no such instruction.
fn judge(bytes: &[u8]) -> Option<iced_x86::Instruction> {
    let mut decoder = Decoder::with_ip(64, bytes, 0x1_0000_0000, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (instruction.code() != Code::INVALID).then_some(instruction)
}

fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    // What only one of the two knows is refused or never executed.
    let (Some(ours), Some(theirs)) = (decode(bytes), judge(bytes)) else { return Ok(()) };
    prop_assert_eq!(ours.length, theirs.len(), "{:x?}: {}", bytes, theirs.code() as u32);
    prop_assert_eq!(ours.relative_at.is_some(), theirs.is_ip_rel_memory_operand(), "{:x?}", bytes);
    let is_relative = theirs.op_count() > 0
        && matches!(theirs.op0_kind(), OpKind::NearBranch64 | OpKind::NearBranch32);
    match ours.flow {
        Flow::Relative(distance) => {
            prop_assert!(is_relative, "{:x?}", bytes);
            let target = theirs.next_ip().wrapping_add_signed(distance.into());
            prop_assert_eq!(target, theirs.near_branch_target(), "{:x?}", bytes);
        }
        Flow::Next => prop_assert!(
            theirs.flow_control() == FlowControl::Next || theirs.mnemonic() == Mnemonic::Hlt,
            "{:x?} {:?}",
            bytes,
            theirs.mnemonic() as u32
        ),
        Flow::Other => prop_assert!(!is_relative, "{:x?}", bytes),
    }
    if ours.is_padding {
        let nop = matches!(theirs.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
        prop_assert!(nop || bytes.contains(&0x1F), "{:x?}", bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn random_bytes_are_as_another_decoder_has_them(bytes in prop::collection::vec(any::<u8>(), 16)) {
        compare(&bytes)?;
    }

    #[test]
    fn so_are_those_that_look_like_instructions(
        prefixes in prop::collection::vec(prop::sample::select(PREFIXES), 0..3),
        escape in prop::sample::select(ESCAPES),
        rest in prop::collection::vec(any::<u8>(), 16),
    ) {
        let bytes: std::vec::Vec<u8> =
            prefixes.iter().chain(escape).chain(&rest).copied().collect();
        compare(&bytes)?;
    }
}

/// Every opcode with every ModRM byte, plain and with the prefixes that change lengths.
#[test]
fn every_opcode_has_its_length() {
    let tail = [0x11u8; 12];
    let mut wrong = std::collections::BTreeMap::new();
    for prefix in [&[][..], &[0x66], &[0x48], &[0x67], &[0xF3], &[0x66, 0x48]] {
        for escape in [&[][..], &[0x0F], &[0x0F, 0x38], &[0x0F, 0x3A], &[0xC5, 0xF8]] {
            for opcode in 0..=255u8 {
                for modrm in 0..=255u8 {
                    let bytes: std::vec::Vec<u8> = prefix
                        .iter()
                        .chain(escape)
                        .chain(&[opcode, modrm])
                        .chain(&tail)
                        .copied()
                        .collect();
                    if let Err(error) = compare(&bytes) {
                        wrong.entry((prefix, escape, opcode)).or_insert((modrm, error));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:x?}");
}

#[test]
fn what_compilers_emit_is_known() {
    let known: &[(&[u8], usize)] = &[
        (&[0xB8, 0x27, 0, 0, 0], 5),
        (&[0x41, 0xB8, 0x27, 0, 0, 0], 6),
        (&[0x48, 0xC7, 0xC0, 0x0F, 0, 0, 0], 7),
        (&[0x4C, 0x8B, 0x4C, 0x24, 0x08], 5),
        (&[0x48, 0x8D, 0x35, 1, 2, 3, 4], 7),
        (&[0x0F, 0x05], 2),
        (&[0xF3, 0x0F, 0x1E, 0xFA], 4),
        (&[0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0], 10),
        (&[0x66, 0x66, 0x48, 0xE8, 1, 0, 0, 0], 8),
        (&[0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8], 10),
    ];
    for (bytes, length) in known {
        let found = decode(bytes).unwrap();
        assert_eq!(found.length, *length, "{bytes:x?}");
        for cut in 0..*length {
            assert_eq!(decode(&bytes[..cut]), None, "{bytes:x?} cut to {cut}");
        }
    }
    assert_eq!(decode(&[0x48, 0x8D, 0x35, 1, 2, 3, 4]).unwrap().relative_at, Some(3));
    assert_eq!(decode(&[0x66, 0xE9, 1, 0, 0, 0]), None, "two lengths on two makes of CPUs");
}
