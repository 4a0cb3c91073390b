//! What a machine's screen shows, read as text from a picture of it.
//!
//! Kernel and libOS draw with the same glyphs, in cells that begin at the upper left; each cell is the character whose glyph is
//! nearest to its pixels.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const HEIGHT: usize = RasterHeight::Size16 as usize;
const WIDTH: usize = get_raster_width(FontWeight::Regular, RasterHeight::Size16);
const PIXELS: usize = WIDTH * HEIGHT;

/// Reads the text of a picture that QEMU's `screendump` wrote (PPM, raw).
pub(super) fn text(picture: &Path) -> Result<String> {
    let bytes = std::fs::read(picture)?;
    let (width, pixels) = pixels(&bytes).context("no raw PPM with 8 bits")?;
    let glyphs: Vec<_> = (' '..='~').filter_map(|c| Some((c, glyph(c)?))).collect();
    let mut text = String::new();
    for row in pixels.chunks_exact(width * HEIGHT) {
        let mut line: String =
            (0..width / WIDTH).map(|column| nearest(&cell(row, width, column), &glyphs)).collect();
        line.truncate(line.trim_end().len());
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Width, and the brightness of each pixel.
fn pixels(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut rest = bytes.strip_prefix(b"P6")?;
    let mut numbers = [0; 3];
    for number in &mut numbers {
        rest = rest.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = std::str::from_utf8(&rest[..digits]).ok()?.parse::<usize>().ok()?;
        rest = &rest[digits..];
    }
    let [width, height, most] = numbers;
    let rest = rest.get(1..)?;
    let is_whole = most == 255 && width > 0 && rest.len() >= width * height * 3;
    let brightest = |pixel: &[u8]| pixel.iter().copied().max().unwrap_or(0);
    is_whole.then(|| (width, rest.chunks_exact(3).map(brightest).collect()))
}

fn cell(row: &[u8], width: usize, column: usize) -> [u8; PIXELS] {
    let mut cell = [0; PIXELS];
    for (y, line) in cell.chunks_exact_mut(WIDTH).enumerate() {
        line.copy_from_slice(&row[y * width + column * WIDTH..][..WIDTH]);
    }
    // Whatever the colours: from 0 for the ground, which is at the edge, to 255.
    let ground = cell[0];
    let most = cell.iter().map(|part| part.abs_diff(ground)).max().unwrap_or(0);
    if most > 32 {
        cell.iter_mut().for_each(|part| {
            *part = (u32::from(part.abs_diff(ground)) * 255 / u32::from(most)) as u8;
        });
    } else {
        cell.fill(0);
    }
    cell
}

fn glyph(character: char) -> Option<&'static [u8]> {
    Some(get_raster(character, FontWeight::Regular, RasterHeight::Size16)?.pixels())
}

fn nearest(cell: &[u8; PIXELS], glyphs: &[(char, &[u8])]) -> char {
    let distance = |glyph: &[u8]| -> u32 {
        cell.iter().zip(glyph).map(|(one, other)| u32::from(one.abs_diff(*other))).sum()
    };
    glyphs.iter().min_by_key(|(_, glyph)| distance(glyph)).map_or(' ', |(character, _)| *character)
}

/// Requires text on the screen.
pub(super) fn expect(shown: &str, text: &str) -> Result<()> {
    ensure!(shown.contains(text), "no `{text}` on the screen:\n{}", shown.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_a_picture_is_read() {
        let (columns, rows) = (9, 2);
        let (width, height) = (columns * WIDTH + 2, rows * HEIGHT + 3);
        let mut pixels = vec![0; width * height * 3];
        for (column, character) in "# ls -l|x".chars().enumerate() {
            for (at, &part) in glyph(character).unwrap().iter().enumerate() {
                let (x, y) = (column * WIDTH + at % WIDTH, HEIGHT + at / WIDTH);
                // Yellow, and not quite so bright.
                pixels[(y * width + x) * 3..][..2].fill(part / 2 + 20);
            }
        }
        let file = std::env::temp_dir().join(format!("serix-screenshot-{}", std::process::id()));
        std::fs::write(
            &file,
            [format!("P6\n{width} {height}\n255\n").as_bytes(), &pixels].concat(),
        )
        .unwrap();
        let shown = text(&file);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(shown.unwrap(), "\n# ls -l|x\n");
    }
}
