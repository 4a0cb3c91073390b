//! The end of a session whose libOS found itself broken.
use crate::session;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => {
            session::log_line(format_args!("libos: panicked at {place}: {}", info.message()))
        }
        None => session::log_line(format_args!(
            "libos: panicked at an unknown place: {}",
            info.message()
        )),
    }
    super::backtrace(super::frame_pointer(), |address| {
        session::log_line(format_args!("libos:   called from {address:#x}"));
    });
    serix_sys::call::exit(session::STATUS_BROKEN)
}
