//! What is drawn, what is typed, and that no program can do harm.
use proptest::prelude::*;
use serix_screen::{CELL_HEIGHT, CELL_WIDTH, Canvas, Font, Geometry, Pixels, Screen};
use std::sync::{Arc, Mutex};

const COLUMNS: usize = 20;
const ROWS: usize = 5;
/// Odd pixels on the right and below that no character covers, and a pitch wider than the rows.
const GEOMETRY: Geometry = Geometry {
    width: COLUMNS * CELL_WIDTH + 3,
    height: ROWS * CELL_HEIGHT + 5,
    pitch: 200,
    shifts: [16, 8, 0],
};

#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u32>>>);

impl Pixels for Memory {
    fn set(&mut self, index: usize, word: u32) {
        self.0.lock().unwrap()[index] = word;
    }
}

fn screen() -> (Screen<Memory>, Memory) {
    let memory = Memory(Arc::new(Mutex::new(vec![0; GEOMETRY.words()])));
    (Screen::new(Canvas::new(GEOMETRY, memory.clone()).unwrap()), memory)
}

fn brightness(word: u32) -> i32 {
    word.to_le_bytes().into_iter().map(i32::from).sum()
}

/// The character shown in a cell: the one whose glyph is nearest to its pixels.
fn character(memory: &Memory, row: usize, column: usize) -> char {
    let memory = memory.0.lock().unwrap();
    let ground = brightness(memory[GEOMETRY.width - 1]);
    let brightest = memory.iter().map(|&word| brightness(word)).max().unwrap().max(ground + 1);
    let shown: Vec<i32> = (0..CELL_HEIGHT)
        .flat_map(|y| {
            let first = (row * CELL_HEIGHT + y) * GEOMETRY.pitch + column * CELL_WIDTH;
            memory[first..first + CELL_WIDTH].iter()
        })
        .map(|&word| (brightness(word) - ground) * 255 / (brightest - ground))
        .collect();
    let distance = |glyph: Vec<Vec<u8>>| -> i32 {
        glyph
            .iter()
            .flatten()
            .zip(&shown)
            .map(|(&part, &shown)| (i32::from(part) - shown).abs())
            .sum()
    };
    let glyphs =
        (' '..='~').chain('\u{a1}'..='\u{ff}').filter_map(|c| Some((c, Font::glyph(c, false)?)));
    glyphs.min_by_key(|(_, glyph)| distance(glyph.clone())).unwrap().0
}

fn line(memory: &Memory, row: usize) -> String {
    let text: String = (0..COLUMNS).map(|column| character(memory, row, column)).collect();
    text.trim_end().to_owned()
}

#[test]
fn text_is_shown() {
    let (mut screen, memory) = screen();
    assert_eq!(screen.size(), (ROWS, COLUMNS));
    screen.write("one\r\ntw\u{f6}\x1b[?25l\r\n\x1b[3;5Hx".as_bytes());
    assert_eq!(line(&memory, 0), "one");
    assert_eq!(line(&memory, 1), "tw\u{f6}");
    assert_eq!(line(&memory, 2), "    x");
    for number in 0..10 {
        screen.write(format!("\r\n{number}").as_bytes());
    }
    assert_eq!((line(&memory, 0), line(&memory, 4)), ("5".into(), "9".into()));
}

#[test]
fn nothing_is_drawn_beside_the_rows() {
    let (mut screen, memory) = screen();
    screen.write("\x1b[41mxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\x1b[2J".as_bytes());
    let memory = memory.0.lock().unwrap();
    let beside = memory.chunks(GEOMETRY.pitch).flat_map(|row| &row[GEOMETRY.width..]);
    assert!(beside.into_iter().all(|&word| word == 0));
}

#[test]
fn lines_of_boxes_meet() {
    let (mut screen, memory) = screen();
    screen.write("\x1b[?25l┌─\r\n│".as_bytes());
    let memory = memory.0.lock().unwrap();
    let at = |x: usize, y: usize| memory[y * GEOMETRY.pitch + x];
    let ground = at(0, 0);
    let (x, y) = (CELL_WIDTH / 2, CELL_HEIGHT / 2);
    assert!((x..2 * CELL_WIDTH).all(|x| at(x, y) != ground), "from the corner to the right");
    assert!((y..2 * CELL_HEIGHT).all(|y| at(x, y) != ground), "and down");
    assert_eq!(at(x, y - 1), ground);
}

#[test]
fn keys_become_bytes() {
    let (mut screen, _) = screen();
    let mut typed = |codes: &[u8]| {
        codes.iter().for_each(|&code| screen.key(code));
        screen.take_answers()
    };
    // a; shift + a; enter; ctrl + c; backspace; up.
    assert_eq!(typed(&[0x1e, 0x9e]), b"a");
    assert_eq!(typed(&[0x2a, 0x1e, 0x9e, 0xaa]), b"A");
    assert_eq!(typed(&[0x1c, 0x9c]), b"\r");
    assert_eq!(typed(&[0x1d, 0x2e, 0xae, 0x9d]), b"\x03");
    assert_eq!(typed(&[0x0e, 0x8e]), b"\x7f");
    assert_eq!(typed(&[0xe0, 0x48, 0xe0, 0xc8]), b"\x1b[A");
}

#[test]
fn questions_are_answered_within_bounds() {
    let (mut screen, _) = screen();
    screen.write(b"\x1b[2;3H\x1b[6n");
    assert_eq!(screen.take_answers(), b"\x1b[2;3R");
    (0..10_000).for_each(|_| screen.write(b"\x1b[6n"));
    assert!(screen.take_answers().len() <= 4096);
}

#[test]
fn geometries_that_make_no_sense_are_refused() {
    let small = Geometry { width: 3, ..GEOMETRY };
    let narrow = Geometry { pitch: GEOMETRY.width - 1, ..GEOMETRY };
    let endless = Geometry { pitch: usize::MAX, ..GEOMETRY };
    let shifted = Geometry { shifts: [25, 8, 0], ..GEOMETRY };
    for geometry in [small, narrow, endless, shifted] {
        assert!(Canvas::new(geometry, Vec::new()).is_none(), "{geometry:?}");
    }
}

/// Pieces of which hostile output is made: sequences with any numbers, controls, letters, anything.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![0..30u32, Just(65_535), any::<u32>()];
    let sequence = (
        prop_oneof![
            Just("["),
            Just("[?"),
            Just("[>"),
            Just("]"),
            Just("("),
            Just("#"),
            Just("P"),
            Just("")
        ],
        prop::collection::vec(number, 0..4),
        any::<u8>(),
    );
    prop_oneof![
        4 => sequence.prop_map(|(start, numbers, end)| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            let mut bytes = format!("\x1b{start}{}", numbers.join(";")).into_bytes();
            bytes.push(end);
            bytes
        }),
        2 => "[ -~äß漢🙂─█\n\r\t\x08\x07\x0e\x0f]{0,30}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever programs write and whoever sits on the keyboard: no panic, and nothing beside the rows.
    #[test]
    fn nothing_harms(pieces in prop::collection::vec((piece(), any::<u8>()), 0..60)) {
        let (mut screen, memory) = screen();
        for (bytes, key) in pieces {
            screen.write(&bytes);
            screen.key(key);
        }
        let memory = memory.0.lock().unwrap();
        prop_assert!(memory.chunks(GEOMETRY.pitch).all(|row| row[GEOMETRY.width..].iter().all(|&word| word == 0)));
    }
}
