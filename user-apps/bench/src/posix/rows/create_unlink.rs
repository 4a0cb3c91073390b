//! A file is made, closed and removed.
use crate::meter::{Meter, Outcome, must};
use crate::raw::{self, Descriptor, OpenMode};

pub(super) fn row(meter: &mut Meter) -> Outcome {
    const NEW: &std::ffi::CStr = c"/tmp/bench-new";
    let figures = meter.figures(201, || {
        Descriptor::open(NEW, OpenMode::Create)?.closed()?;
        must(raw::unlink(NEW), "not removed")
    })?;
    must(raw::size_of_file(NEW).is_none(), "still there")?;
    Ok(figures)
}
