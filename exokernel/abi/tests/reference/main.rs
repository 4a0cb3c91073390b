//! `docs/abi.md` is made from the declarations of this crate and the notes beside this file.
//!
//! The test fails when page and declarations differ. With `SERIX_UPDATE_ABI_PAGE=1` it writes the page first:
//! `SERIX_UPDATE_ABI_PAGE=1 cargo test -p serix-abi --test reference`. Path lengths are in `lengths.txt`, which
//! `SERIX_UPDATE_CALL_LENGTHS=1 cargo xtask test --guest 8-call-lengths` writes.

mod lengths;
mod notes;
mod page;
mod structures;

use serix_abi::Call;
use std::path::PathBuf;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/abi.md")
}

#[test]
fn the_page_says_what_is_declared() {
    let wanted = page::page();
    if std::env::var_os("SERIX_UPDATE_ABI_PAGE").is_some() {
        std::fs::write(path(), &wanted).expect("docs/abi.md can be written");
    }
    let found = std::fs::read_to_string(path()).expect("docs/abi.md can be read");
    let differs =
        wanted.lines().zip(found.lines()).enumerate().find(|(_, (one, other))| one != other);
    if let Some((number, (wanted, found))) = differs {
        panic!(
            "docs/abi.md:{}: `{found}` should be `{wanted}`; SERIX_UPDATE_ABI_PAGE=1 writes it anew",
            number + 1
        );
    }
    assert_eq!(wanted.len(), found.len(), "docs/abi.md has another length than it should");
}

#[test]
fn every_argument_has_a_note() {
    for call in Call::ALL {
        let (name, arguments) = call.signature();
        let notes = notes::of(*call);
        assert_eq!(notes.arguments.len(), arguments.len(), "{name}");
        assert!(!notes.why.is_empty() && !notes.returns.is_empty(), "{name}");
        let codes: Vec<_> = notes.errors.iter().map(|(error, _)| *error as u32).collect();
        assert!(
            codes.is_sorted_by(|one, other| one < other),
            "{name}: errors in the order of their numbers"
        );
    }
}

#[test]
fn every_call_has_a_length() {
    for call in Call::ALL {
        let name = call.signature().0;
        assert!(
            lengths::line(name).is_some(),
            "{name} has no line in lengths.txt: SERIX_UPDATE_CALL_LENGTHS=1 cargo xtask test --guest 8-call-lengths"
        );
    }
}

#[test]
fn structures_are_described_whole() {
    for structure in structures::all() {
        let mut end = 0;
        for field in &structure.fields {
            assert!(field.offset >= end, "{}.{} overlaps", structure.name, field.name);
            end = field.offset + field.size;
        }
        assert!(end <= structure.size, "{}", structure.name);
    }
}
