//! `stat` of a file in a folder of the root.
use crate::meter::{Meter, Outcome, must};
use crate::raw;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let _file = super::make_file(1)?;
    meter.figures(501, || must(raw::size_of_file(super::FILE) == Some(4096), "another size"))
}
