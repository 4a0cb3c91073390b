//! Glyphs: Noto Sans Mono as far as the crate has it, and box-drawing characters that are drawn here.
use crate::lines;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use os_terminal::font::{ContentInfo, FontManager, Rasterized};

const SIZE: RasterHeight = RasterHeight::Size16;
/// Pixels across a character.
pub const CELL_WIDTH: usize = get_raster_width(FontWeight::Regular, SIZE);
/// Pixels from one line of text to the next.
pub const CELL_HEIGHT: usize = SIZE as usize;
/// Shown for what there is no glyph for.
const UNKNOWN: char = '\u{fffd}';

/// The glyphs, made when they are first needed.
#[derive(Debug, Default)]
pub struct Font {
    glyphs: BTreeMap<(char, bool), Vec<Vec<u8>>>,
}

impl Font {
    /// The intensities of a character's pixels, row by row; `None` if it has no glyph.
    #[must_use]
    pub fn glyph(character: char, is_bold: bool) -> Option<Vec<Vec<u8>>> {
        let weight = if is_bold { FontWeight::Bold } else { FontWeight::Regular };
        let drawn = || lines::glyph(character, CELL_WIDTH, CELL_HEIGHT);
        let raster = get_raster(character, weight, SIZE);
        raster.map(|raster| raster.rows().map(<[u8]>::to_vec).collect()).or_else(drawn)
    }
}

impl FontManager for Font {
    fn size(&self) -> (usize, usize) {
        (CELL_WIDTH, CELL_HEIGHT)
    }

    fn rasterize(&mut self, info: ContentInfo) -> Rasterized<'_> {
        // What has no glyph is one entry, so that the table is bounded by the glyphs that there are.
        let mut key = (info.content, info.bold);
        if !self.glyphs.contains_key(&key) && Self::glyph(key.0, key.1).is_none() {
            key.0 = UNKNOWN;
        }
        let make = || Self::glyph(key.0, key.1).unwrap_or_else(blank);
        Rasterized::GrayVec(self.glyphs.entry(key).or_insert_with(make))
    }
}

fn blank() -> Vec<Vec<u8>> {
    alloc::vec![alloc::vec![0; CELL_WIDTH]; CELL_HEIGHT]
}
