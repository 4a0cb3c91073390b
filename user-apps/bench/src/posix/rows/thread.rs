//! `pthread_create` of a thread that ends at once, and `pthread_join`.
use crate::meter::{Meter, Outcome, must};
use crate::raw;

pub(super) fn row(meter: &mut Meter) -> Outcome {
    let mut token = 0;
    meter.figures(101, || {
        token += 1;
        must(raw::thread_round_trip(token)? == token, "another result")
    })
}
