//! The initial stack, read back the way a program's start code reads it.
use serix_loader::LoadError;
use serix_loader::stack::{Auxiliary, Image, Request, STRING_MAX};
use std::collections::BTreeMap;

const TOP: u64 = 0x7DFF_FFFF_F000;

struct Seen {
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    auxiliary: BTreeMap<u64, u64>,
}

fn word(image: &Image, address: u64) -> u64 {
    let at = (address - image.pointer) as usize;
    u64::from_le_bytes(image.bytes[at..at + 8].try_into().expect("a word"))
}

fn string(image: &Image, address: u64) -> Vec<u8> {
    let bytes = &image.bytes[(address - image.pointer) as usize..];
    let end = bytes.iter().position(|byte| *byte == 0).expect("a NUL");
    bytes[..end].to_vec()
}

fn strings(image: &Image, at: &mut u64) -> Vec<Vec<u8>> {
    let mut strings = Vec::new();
    loop {
        let address = word(image, *at);
        *at += 8;
        if address == 0 {
            return strings;
        }
        strings.push(string(image, address));
    }
}

fn read(image: &Image) -> Seen {
    assert_eq!(image.pointer % 16, 0);
    assert_eq!(image.pointer + image.bytes.len() as u64, TOP);
    let count = word(image, image.pointer);
    let mut at = image.pointer + 8;
    let arguments = strings(image, &mut at);
    assert_eq!(arguments.len() as u64, count);
    let environment = strings(image, &mut at);
    assert_eq!(at, image.auxiliary.start);
    let mut auxiliary = BTreeMap::new();
    while word(image, at) != 0 {
        let is_new = auxiliary.insert(word(image, at), word(image, at + 8)).is_none();
        assert!(is_new);
        at += 16;
    }
    assert_eq!(at + 16, image.auxiliary.end);
    Seen { arguments, environment, auxiliary }
}

fn request<'a>(
    arguments: &'a [&'a [u8]],
    environment: &'a [&'a [u8]],
    auxiliary: &'a Auxiliary,
) -> Request<'a> {
    Request {
        top: TOP,
        limit: 2 << 20,
        arguments,
        environment,
        executed: b"/bin/program",
        platform: b"x86_64",
        random: *b"0123456789abcdef",
        auxiliary,
    }
}

#[test]
fn start_code_finds_everything() {
    let auxiliary = Auxiliary {
        headers: 0x40_0040,
        headers_count: 9,
        base: 0x7000_0000,
        entry: 0x40_1000,
        uid: 1000,
        effective_uid: 0,
        gid: 100,
        effective_gid: 5,
        hardware: 0xBFEB_FBFF,
        hardware_2: 2,
        clock_ticks: 100,
        secure: true,
        sysinfo_header: Some(0x7FFF_0000),
        signal_stack: Some(3632),
    };
    // Each number of words shifts the alignment.
    for count in 0..9 {
        let arguments: Vec<&[u8]> =
            [b"program", &b""[..], b"-x"].into_iter().cycle().take(count).collect();
        let environment: [&[u8]; 2] = [b"HOME=/", b"PATH=/bin:/usr/bin"];
        let image = request(&arguments, &environment, &auxiliary).build().expect("a stack");
        let seen = read(&image);
        assert_eq!(seen.arguments, arguments);
        assert_eq!(seen.environment, environment);
        let expected = [
            (3, 0x40_0040),
            (4, 56),
            (5, 9),
            (6, 4096),
            (7, 0x7000_0000),
            (8, 0),
            (9, 0x40_1000),
            (11, 1000),
            (12, 0),
            (13, 100),
            (14, 5),
            (16, 0xBFEB_FBFF),
            (17, 100),
            (23, 1),
            (26, 2),
            (33, 0x7FFF_0000),
            (51, 3632),
        ];
        for (number, value) in expected {
            assert_eq!(seen.auxiliary[&number], value, "entry {number}");
        }
        assert_eq!(string(&image, seen.auxiliary[&31]), b"/bin/program");
        assert_eq!(string(&image, seen.auxiliary[&15]), b"x86_64");
        let random = (seen.auxiliary[&25] - image.pointer) as usize;
        assert_eq!(&image.bytes[random..random + 16], b"0123456789abcdef");
        let lines = |range: std::ops::Range<u64>| {
            let start = (range.start - image.pointer) as usize;
            image.bytes[start..start + (range.end - range.start) as usize].to_vec()
        };
        assert_eq!(lines(image.environment.clone()), b"HOME=/\0PATH=/bin:/usr/bin\0");
        let joined: Vec<u8> = arguments.iter().flat_map(|one| [one, &b"\0"[..]].concat()).collect();
        assert_eq!(lines(image.arguments.clone()), joined);
        assert_eq!(image.bytes[image.bytes.len() - 8..], [0; 8]);
    }
}

#[test]
fn optional_entries_are_left_out() {
    let auxiliary = Auxiliary::default();
    let image = request(&[b"a"], &[], &auxiliary).build().expect("a stack");
    let seen = read(&image);
    assert!(!seen.auxiliary.contains_key(&33) && !seen.auxiliary.contains_key(&51));
}

#[test]
fn limits() {
    let auxiliary = Auxiliary::default();
    let long = vec![b'x'; STRING_MAX - 1];
    assert!(request(&[&long], &[], &auxiliary).build().is_ok());
    let longer = vec![b'x'; STRING_MAX];
    let too_long = Err(LoadError::ArgumentsTooLong);
    assert_eq!(request(&[&longer], &[], &auxiliary).build(), too_long);
    let many: Vec<&[u8]> = vec![&long; 17];
    assert_eq!(request(&[], &many, &auxiliary).build(), too_long);
    // Pointers count as well as bytes.
    let empty: Vec<&[u8]> = vec![b""; 300_000];
    assert_eq!(request(&empty, &[], &auxiliary).build(), too_long);
    let arguments = [&long[..]];
    let small = Request { top: 4096, ..request(&arguments, &[], &auxiliary) };
    assert_eq!(small.build(), too_long);
}
