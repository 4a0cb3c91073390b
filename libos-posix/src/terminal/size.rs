//! The size of a terminal's window.

/// Rows and columns of characters, width and height in pixels: `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size(pub [u16; 4]);

impl Size {
    /// Of so many characters; nobody knows the pixels.
    #[must_use]
    pub const fn of_characters(rows: u16, columns: u16) -> Self {
        Self([rows, columns, 0, 0])
    }
}
