//! `mmap` of 64 KiB, one page touched, `munmap`.
use crate::meter::{Meter, Outcome, must};
use crate::raw::Mapping;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    meter.figures(501, || {
        let memory = Mapping::anonymous(64 << 10)?;
        memory.write(0, 0x5A);
        must(memory.read(0) == 0x5A && memory.read(1) == 0, "another content")
    })
}
