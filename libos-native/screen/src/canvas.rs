//! Pixels: colours become words of the framebuffer.
use os_terminal::{DrawTarget, Rgb};

/// How a framebuffer of 32-bit pixels is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 32-bit words from one row to the next.
    pub pitch: usize,
    /// How far red, green and blue are shifted, in bits; each has eight.
    pub shifts: [u8; 3],
}

impl Geometry {
    /// Words from the first pixel to behind the last.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.pitch * self.height
    }

    /// Whether rows fit between one another, and there is room for a character.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        let [red, green, blue] = self.shifts;
        self.width >= crate::CELL_WIDTH
            && self.height >= crate::CELL_HEIGHT
            && self.pitch >= self.width
            && self.pitch.checked_mul(self.height).is_some()
            && red <= 24
            && green <= 24
            && blue <= 24
    }
}

/// Memory that is shown.
pub trait Pixels: Send {
    /// Sets the word at an index below [`Geometry::words`].
    fn set(&mut self, index: usize, word: u32);
}

impl Pixels for alloc::vec::Vec<u32> {
    fn set(&mut self, index: usize, word: u32) {
        self[index] = word;
    }
}

/// A framebuffer to draw in.
#[derive(Debug)]
pub struct Canvas<P> {
    geometry: Geometry,
    pixels: P,
}

impl<P: Pixels> Canvas<P> {
    /// `None` if the geometry makes no sense.
    pub fn new(geometry: Geometry, pixels: P) -> Option<Self> {
        geometry.is_sound().then_some(Self { geometry, pixels })
    }

    /// What is drawn in.
    pub fn pixels(&self) -> &P {
        &self.pixels
    }
}

impl<P: Pixels> DrawTarget for Canvas<P> {
    fn size(&self) -> (usize, usize) {
        (self.geometry.width, self.geometry.height)
    }

    #[inline]
    fn draw_pixel(&mut self, x: usize, y: usize, (red, green, blue): Rgb) {
        let Geometry { width, height, pitch, shifts } = self.geometry;
        if x < width && y < height {
            let parts = [red, green, blue].into_iter().zip(shifts);
            let word = parts.fold(0, |word, (part, shift)| word | u32::from(part) << shift);
            self.pixels.set(y * pitch + x, word);
        }
    }
}
