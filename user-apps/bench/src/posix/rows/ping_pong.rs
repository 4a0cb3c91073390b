//! A byte to another process and one back, through two pipes.
use crate::meter::{Meter, Outcome, must};
use crate::raw::{Child, Descriptor};

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let (their_out, our_in) = Descriptor::pipe()?;
    let (our_out, their_in) = Descriptor::pipe()?;
    let child = Child::fork(|| {
        // While this process holds the writing end, its own reads never end.
        our_in.close();
        let mut byte = [0];
        while their_out.read(&mut byte) == 1 {
            if their_in.write(&[!byte[0]]) != 1 {
                return 1;
            }
        }
        0
    })?;
    let mut sent = 0u8;
    let figures = meter.figures(501, || {
        sent = sent.wrapping_add(1);
        let mut got = [sent];
        must(our_in.write(&[sent]) == 1 && our_out.read(&mut got) == 1, "no byte")?;
        must(got[0] == !sent, "another byte")
    })?;
    drop(our_in);
    must(child.wait() == Some(0), "the other process failed")?;
    Ok(figures)
}
