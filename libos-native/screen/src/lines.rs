//! Box-drawing characters (Unicode block 2500), which the font lacks: each is up to four arms from the middle of its cell.
use alloc::vec;
use alloc::vec::Vec;

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;
const FULL: u8 = 255;

/// The arms of a character; heavy, double and round ones are drawn as light ones.
const fn arms(character: char) -> Option<u8> {
    Some(match character as u32 {
        0x2500 | 0x2501 | 0x2504 | 0x2505 | 0x2508 | 0x2509 | 0x254c | 0x254d | 0x2550 => {
            LEFT | RIGHT
        }
        0x2502 | 0x2503 | 0x2506 | 0x2507 | 0x250a | 0x250b | 0x254e | 0x254f | 0x2551 => UP | DOWN,
        0x250c..=0x250f | 0x2552..=0x2554 | 0x256d => DOWN | RIGHT,
        0x2510..=0x2513 | 0x2555..=0x2557 | 0x256e => DOWN | LEFT,
        0x2514..=0x2517 | 0x2558..=0x255a | 0x2570 => UP | RIGHT,
        0x2518..=0x251b | 0x255b..=0x255d | 0x256f => UP | LEFT,
        0x251c..=0x2523 | 0x255e..=0x2560 => UP | DOWN | RIGHT,
        0x2524..=0x252b | 0x2561..=0x2563 => UP | DOWN | LEFT,
        0x252c..=0x2533 | 0x2564..=0x2566 => DOWN | LEFT | RIGHT,
        0x2534..=0x253b | 0x2567..=0x2569 => UP | LEFT | RIGHT,
        0x253c..=0x254b | 0x256a..=0x256c => UP | DOWN | LEFT | RIGHT,
        0x2574 | 0x2578 => LEFT,
        0x2575 | 0x2579 => UP,
        0x2576 | 0x257a => RIGHT,
        0x2577 | 0x257b => DOWN,
        _ => return None,
    })
}

/// Pixels of a box-drawing or block character, or `None` for another.
pub(crate) fn glyph(character: char, width: usize, height: usize) -> Option<Vec<Vec<u8>>> {
    let mut rows = vec![vec![0; width]; height];
    let mut fill = |columns: core::ops::Range<usize>, lines: core::ops::Range<usize>| {
        rows[lines].iter_mut().for_each(|row| row[columns.clone()].fill(FULL));
    };
    match character {
        '█' => fill(0..width, 0..height),
        '▀' => fill(0..width, 0..height / 2),
        '▄' => fill(0..width, height / 2..height),
        '▌' => fill(0..width / 2, 0..height),
        '▐' => fill(width / 2..width, 0..height),
        _ => {
            let arms = arms(character)?;
            let (x, y) = (width / 2, height / 2);
            for (arm, columns, lines) in [
                (UP, x..x + 1, 0..y + 1),
                (DOWN, x..x + 1, y..height),
                (LEFT, 0..x + 1, y..y + 1),
                (RIGHT, x..width, y..y + 1),
            ] {
                if arms & arm != 0 {
                    fill(columns, lines);
                }
            }
        }
    }
    Some(rows)
}
