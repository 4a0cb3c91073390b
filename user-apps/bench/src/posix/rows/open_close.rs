//! `open` of a file for reading, and `close`.
use crate::meter::{Meter, Outcome};
use crate::raw::{Descriptor, OpenMode};

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let _file = super::make_file(1)?;
    meter.figures(501, || Descriptor::open(super::FILE, OpenMode::Read)?.closed())
}
