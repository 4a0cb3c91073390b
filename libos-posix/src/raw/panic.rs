//! The end of a session whose libOS found itself broken.
use crate::session;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    session::log_line(format_args!("libos: {info}"));
    serix_sys::call::exit(session::STATUS_BROKEN)
}
