//! `pwrite` of 4 KiB over what is cached.
use crate::meter::{Meter, Outcome, must};

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let file = super::make_file(1)?;
    let mut buffer = [0u8; super::PAGE];
    let figures = meter.figures(501, || {
        buffer[0] = buffer[0].wrapping_add(1);
        file.write_at(&buffer)
    })?;
    let mut read = [0u8; super::PAGE];
    must(file.read_at(&mut read) == super::PAGE as isize && read == buffer, "another content")?;
    Ok(figures)
}
