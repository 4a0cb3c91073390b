//! A byte into a pipe and out of it again, by one process.
use crate::meter::{Meter, Outcome, must};
use crate::raw::Descriptor;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let (out, into) = Descriptor::pipe()?;
    let mut sent = 0u8;
    meter.figures(1001, || {
        sent = sent.wrapping_add(1);
        let mut got = [!sent];
        must(into.write(&[sent]) == 1 && out.read(&mut got) == 1, "no byte")?;
        must(got[0] == sent, "another byte")
    })
}
