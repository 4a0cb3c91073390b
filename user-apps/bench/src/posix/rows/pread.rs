//! `pread` of 4 KiB that are cached.
use crate::meter::{Meter, Outcome, must};

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let file = super::make_file(0xC3)?;
    let mut buffer = [0u8; super::PAGE];
    meter.figures(501, || {
        (buffer[0], buffer[super::PAGE - 1]) = (0, 0);
        must(file.read_at(&mut buffer) == super::PAGE as isize, "not read")?;
        must(buffer[0] == 0xC3 && buffer[super::PAGE - 1] == 0xC3, "another content")
    })
}
