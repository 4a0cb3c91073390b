//! `fork`, the child ends at once, `wait`.
use crate::meter::{Meter, Outcome, must};
use crate::raw::Child;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    meter.figures(101, || must(Child::fork(|| 9)?.wait() == Some(9), "another status"))
}
