//! A terminal on a framebuffer, with a PS/2 keyboard.
//!
//! A [`Screen`] takes what programs write, escape sequences and all, and draws it; and takes scan codes of a keyboard and
//! gives the bytes that a terminal sends for them. The emulation is that of crate `os-terminal`; here are the glyphs
//! ([`Font`]), pixels ([`Canvas`]) and the queue of answers. It is a library: who owns framebuffer and keyboard drives it.
#![no_std]

extern crate alloc;

mod canvas;
mod font;
mod lines;
pub mod raw;
mod screen;

pub use canvas::{Canvas, Geometry, Pixels};
pub use font::{CELL_HEIGHT, CELL_WIDTH, Font};
pub use screen::Screen;
