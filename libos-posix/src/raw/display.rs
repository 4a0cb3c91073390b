//! The framebuffer and the keyboard that the session's creator gave to the session.
use super::{DISPLAY_ADDRESS, kernel};
use crate::session::resources;
use serix_screen::raw::Mapped;
use serix_screen::{Canvas, Geometry};
use serix_session::{NamedToken, Purpose};
use serix_sys::abi::map::MapFlags;
use serix_sys::abi::start::Framebuffer;
use serix_sys::{Slot, call, memory as native};

/// Parts of a device by the names that they have in a start block.
const FRAMEBUFFER: &[u8] = b"framebuffer";
const KEYBOARD: &[u8] = b"keyboard";
/// Bit of the session's event for the keyboard's interrupt; it ends a wait, nothing more.
const KEYBOARD_BIT: u64 = 2;
/// The status register: something to read; it comes from the mouse.
const READABLE: u8 = 1;
const FROM_MOUSE: u8 = 1 << 5;

fn bind(tokens: &[NamedToken], purpose: Purpose, name: &[u8]) -> impl Iterator<Item = Slot> {
    let is_it = move |token: &&NamedToken| {
        let text = token.name.split(|byte| *byte == 0).next();
        token.purpose == purpose as u32 && text == Some(name)
    };
    tokens.iter().filter(is_it).filter_map(|token| call::bind(&token.token).ok())
}

/// Maps the framebuffer; `None` if the session has none, or one that cannot be drawn in.
pub(crate) fn canvas(tokens: &[NamedToken], picture: &Framebuffer) -> Option<Canvas<Mapped>> {
    let [red, green, blue] = [picture.red, picture.green, picture.blue];
    if picture.bits_per_pixel != 32 || [red, green, blue].iter().any(|part| part[0] != 8) {
        return None;
    }
    let geometry = Geometry {
        width: picture.width as usize,
        height: picture.height as usize,
        pitch: picture.pitch as usize / 4,
        shifts: [red[1], green[1], blue[1]],
    };
    let frames = bind(tokens, Purpose::DeviceFrames, FRAMEBUFFER).next()?;
    let count = call::slot_query(frames).ok()?.count;
    if !geometry.is_sound() || geometry.words() as u64 * 4 > count << 12 {
        return None;
    }
    let flags = MapFlags::WRITE.with(MapFlags::NO_EXECUTE);
    let space = resources().session_memory;
    // SAFETY: the display's part of session memory, where nothing else is ever mapped.
    let map = || unsafe { native::map_range(space, DISPLAY_ADDRESS, frames, 0, count, flags) };
    kernel::funded(map).ok()?;
    // SAFETY: 1. Just mapped writable, as many words as the frames hold at least. 2. Called once, by the session's start, and
    // nothing else uses these addresses. 3. They stay mapped: if the frames are revoked a write faults, and that ends the session.
    let pixels = unsafe { Mapped::new(DISPLAY_ADDRESS as *mut u32, geometry.words()) };
    Canvas::new(geometry, pixels)
}

/// The keyboard's half of its controller.
#[derive(Debug)]
pub(crate) struct Keyboard {
    data: Slot,
    status: Slot,
    interrupt: Slot,
}

impl Keyboard {
    /// Binds it; `None` if the session has none.
    pub(crate) fn start(tokens: &[NamedToken]) -> Option<Self> {
        let mut ports = bind(tokens, Purpose::Ports, KEYBOARD);
        let (data, status) = (ports.next()?, ports.next()?);
        let interrupt = bind(tokens, Purpose::Interrupt, KEYBOARD).next()?;
        call::interrupt_bind(interrupt, resources().event, KEYBOARD_BIT).ok()?;
        Some(Self { data, status, interrupt })
    }

    /// Lets the line signal again; then come the bytes that wait.
    pub(crate) fn acknowledge(&self) {
        // Not bound any more: then nothing will come either.
        let _ = call::interrupt_acknowledge(self.interrupt);
    }

    /// A byte of the keyboard, if one waits.
    pub(crate) fn read(&self) -> Option<u8> {
        loop {
            let status = call::port_read(self.status, 0).ok()? as u8;
            if status & READABLE == 0 {
                return None;
            }
            let byte = call::port_read(self.data, 0).ok()? as u8;
            if status & FROM_MOUSE == 0 {
                return Some(byte);
            }
        }
    }
}
