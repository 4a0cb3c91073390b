//! A file is made, closed and removed.
use crate::meter::{Meter, Outcome, must};
use crate::raw::{self, Descriptor, OpenMode};

pub(super) fn row(meter: &mut Meter) -> Outcome {
    const NEW: &std::ffi::CStr = c"/tmp/bench-new";
    let make_and_remove = || {
        Descriptor::open(NEW, OpenMode::Create)?.closed()?;
        must(raw::unlink(NEW), "not removed")
    };
    meter.figures_checked(201, make_and_remove, || {
        must(raw::size_of_file(NEW).is_none(), "still there")
    })
}
