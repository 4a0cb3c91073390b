//! The kernel's text on the framebuffer, until ring 3 takes the framebuffer over.
//!
//! It does not scroll, for reading a framebuffer is slow: behind the last line comes the first, and the line after the newest
//! is blank.
use crate::address::FrameNumber;
use crate::memory::kernel_map::map_device;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use serix_abi::start::Framebuffer;

const HEIGHT: u32 = RasterHeight::Size16 as u32;
const WIDTH: u32 = get_raster_width(FontWeight::Regular, RasterHeight::Size16) as u32;
/// Most bytes of the framebuffer that are mapped: of a larger picture, the upper part is used.
const MAPPED_MAX: u32 = 4 << 20;
/// A word whose bytes are all one.
const GREY: u32 = 0x0101_0101;

/// Where text goes.
#[derive(Debug)]
pub struct Screen {
    pixels: *mut u32,
    /// Words of a row.
    pitch: u32,
    columns: u32,
    rows: u32,
    column: u32,
    row: u32,
}

// SAFETY: The framebuffer belongs to no core, and whoever has the `Screen` is the only one to write to it.
unsafe impl Send for Screen {}

impl Screen {
    /// Maps the framebuffer whose first frame is `first`; `None` if it has no 32-bit pixels or no room for text.
    ///
    /// # Safety
    /// The framebuffer lies there in that layout, and ring 3 has not got it yet.
    #[must_use]
    pub unsafe fn new(first: FrameNumber, layout: &Framebuffer) -> Option<Self> {
        let lines = layout.height.min(MAPPED_MAX / layout.pitch.max(1));
        let (columns, rows) = (layout.width / WIDTH, lines / HEIGHT);
        let fits = layout.pitch / 4 >= layout.width && layout.pitch.is_multiple_of(4);
        if layout.bits_per_pixel != 32 || !fits || columns == 0 || rows < 2 {
            return None;
        }
        // SAFETY: 1. The caller vouches for the frames. 2. A framebuffer is device memory.
        let pixels = unsafe { map_device(first.start(), (layout.pitch * lines) as usize) }?;
        let mut screen = Self {
            pixels: pixels.cast(),
            pitch: layout.pitch / 4,
            columns,
            rows,
            column: 0,
            row: 0,
        };
        (0..rows).for_each(|row| screen.clear(row));
        Some(screen)
    }

    /// Shows text; what does not fit in a line is left out.
    pub fn write(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '\n' => {
                    self.row = (self.row + 1) % self.rows;
                    self.column = 0;
                    self.clear(self.row);
                }
                _ if self.column < self.columns => {
                    self.draw(character);
                    self.column += 1;
                }
                _ => {}
            }
        }
    }

    fn draw(&mut self, character: char) {
        let raster = |c| get_raster(c, FontWeight::Regular, RasterHeight::Size16);
        let Some(glyph) = raster(character).or_else(|| raster('?')) else { return };
        let first = self.row * HEIGHT * self.pitch + self.column * WIDTH;
        for (y, line) in (0..).zip(glyph.rows()) {
            for (x, &part) in (0..).zip(line) {
                // Grey is grey however red, green and blue are ordered.
                self.set(first + y * self.pitch + x, u32::from(part) * GREY);
            }
        }
    }

    fn clear(&mut self, row: u32) {
        let first = row * HEIGHT * self.pitch;
        (first..first + HEIGHT * self.pitch).for_each(|index| self.set(index, 0));
    }

    #[inline]
    fn set(&mut self, index: u32, word: u32) {
        // SAFETY: `index` is below `rows * HEIGHT * pitch`, which `new` mapped; nobody reads it but the device.
        unsafe { self.pixels.add(index as usize).write_volatile(word) };
    }
}
