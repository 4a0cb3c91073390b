//! The framebuffer, in the mode that the firmware left it.

use serix_boot::protocol::responses::Framebuffer;
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams};
use uefi::proto::console::gop::{GraphicsOutput, PixelBitmask, PixelFormat};

/// The first graphics output that has memory to draw in.
pub(super) fn find() -> Option<Framebuffer> {
    let handle = boot::get_handle_for_protocol::<GraphicsOutput>().ok()?;
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // Exclusively would take it from the firmware's console, which still shows errors.
    // SAFETY: It is only asked for its mode, and closed on return.
    let output = unsafe {
        boot::open_protocol::<GraphicsOutput>(params, OpenProtocolAttributes::GetProtocol)
    };
    let mut output = output.ok()?;
    let mode = output.current_mode_info();
    let masks = match mode.pixel_format() {
        PixelFormat::Rgb => [(8, 0), (8, 8), (8, 16)],
        PixelFormat::Bgr => [(8, 16), (8, 8), (8, 0)],
        PixelFormat::Bitmask => masks(mode.pixel_bitmask()?),
        PixelFormat::BltOnly => return None,
    };
    let (width, height) = mode.resolution();
    let address = output.frame_buffer().as_mut_ptr() as u64;
    Some(Framebuffer {
        address,
        width: width as u64,
        height: height as u64,
        // All of UEFI's pixel formats that can be drawn in take 32 bits.
        pitch: mode.stride() as u64 * 4,
        bits_per_pixel: 32,
        masks,
    })
}

fn masks(bits: PixelBitmask) -> [(u8, u8); 3] {
    [bits.red, bits.green, bits.blue]
        .map(|mask| (mask.count_ones() as u8, mask.trailing_zeros() as u8 & 31))
}
