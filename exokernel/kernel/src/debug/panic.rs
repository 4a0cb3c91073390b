//! The end: message, backtrace, exit.
use super::log::last_words;
use super::symbols::Symbol;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use serix_hal::cpu::backtrace;
use serix_hal::device::exit;

static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    if PANICKED.swap(true, Ordering::SeqCst) {
        // A panic while panicking: the message is out, the backtrace is what failed.
        exit::exit(exit::PANIC);
    }
    last_words(format_args!("PANIC: {}", info.message()));
    if let Some(location) = info.location() {
        last_words(format_args!("  at {location}"));
    }
    backtrace::walk(|address| last_words(format_args!("  {}", Symbol(address))));
    exit::exit(exit::PANIC)
}
