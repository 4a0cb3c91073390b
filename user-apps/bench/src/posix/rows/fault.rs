//! The first write to a page of anonymous memory.
use crate::meter::{Meter, Outcome, must};
use crate::raw::Mapping;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    const ROUNDS: usize = 501;
    let memory = Mapping::anonymous((ROUNDS + 2) * super::PAGE)?;
    let mut next = 0;
    meter.figures(ROUNDS, || {
        let at = next;
        next += super::PAGE;
        memory.write(at, 0x5A);
        must(memory.read(at) == 0x5A && memory.read(at + 1) == 0, "another content")
    })
}
