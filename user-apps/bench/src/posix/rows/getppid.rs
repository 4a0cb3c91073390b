//! `getppid`: the shortest call that libraries do not answer themselves.
use crate::meter::{Meter, Outcome, must};
use crate::raw;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let parent = raw::getppid();
    meter.figures(1001, || must(raw::getppid() == parent, "another parent"))
}
