//! `pwrite` of 4 KiB over what is cached.
use crate::meter::{Meter, Outcome, must};
use std::cell::Cell;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let file = super::make_file(1)?;
    let mut buffer = [0u8; super::PAGE];
    let written = Cell::new(0u8);
    let write = || {
        buffer[0] = buffer[0].wrapping_add(1);
        buffer[super::PAGE - 1] = !buffer[0];
        written.set(buffer[0]);
        file.write_at(&buffer)
    };
    meter.figures_checked(501, write, || {
        let mut read = [0u8; super::PAGE];
        must(file.read_at(&mut read) == super::PAGE as isize, "not read")?;
        let ends = (read[0], read[super::PAGE - 1]);
        must(ends == (written.get(), !written.get()), "another content")
    })
}
