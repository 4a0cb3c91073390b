//! No wake-up is lost and none is made up.

use crate::watch::{Wait, Waiter, WaiterId, WaiterStore, Watch};

/// Waiters in an array.
pub(crate) struct ArrayStore<const N: usize>(pub(crate) [Waiter; N]);

impl<const N: usize> WaiterStore for ArrayStore<N> {
    fn waiter_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        self.0.get_mut(id.0 as usize)
    }
}

/// One call, with the waiter taken modulo what there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Wait for bits.
    Wait(u32, u64),
    /// Set bits.
    Signal(u64),
    /// Give up.
    Cancel(u32),
    /// Evict the first.
    Evict,
}

/// What the waiters should be doing: masks in the order in which they came.
struct Model<const N: usize> {
    queue: [(u32, u64); N],
    count: usize,
    bits: u64,
}

impl<const N: usize> Model<N> {
    fn place(&self, id: u32) -> Option<usize> {
        self.queue[..self.count].iter().position(|(waiting, _)| *waiting == id)
    }

    fn remove(&mut self, place: usize) {
        self.queue.copy_within(place + 1..self.count, place);
        self.count -= 1;
    }

    fn wait(&mut self, id: u32, mask: u64) -> Wait {
        if self.place(id).is_some() || mask == 0 {
            return Wait::Refused;
        }
        let ready = self.bits & mask;
        self.bits &= !ready;
        if ready != 0 {
            return Wait::Ready(ready);
        }
        self.queue[self.count] = (id, mask);
        self.count += 1;
        Wait::Blocked
    }

    /// The first in the queue that can go, with the bits it gets.
    fn wake_one(&mut self) -> Option<(u32, u64)> {
        let bits = self.bits;
        let ready = |entry: &(u32, u64)| entry.1 & bits != 0;
        let place = self.queue[..self.count].iter().position(ready)?;
        let (id, mask) = self.queue[place];
        self.bits &= !mask;
        self.remove(place);
        Some((id, mask & bits))
    }
}

/// Any sequence of calls agrees with the model: each bit that was set is delivered to the longest waiting one that waits
/// for it, or stays set; afterwards nobody waits for a bit that is set.
pub(crate) fn agrees_with_a_queue<const N: usize>(steps: &[Step]) {
    let mut store = ArrayStore([Waiter::IDLE; N]);
    let mut watch = Watch::new();
    let mut model = Model { queue: [(0, 0); N], count: 0, bits: 0 };
    let number = |id: u32| id % N as u32;
    for step in steps {
        match *step {
            Step::Wait(id, mask) => {
                let id = number(id);
                assert_eq!(watch.wait(&mut store, WaiterId(id), mask), model.wait(id, mask));
            }
            Step::Signal(bits) => {
                model.bits |= bits;
                watch.signal(&mut store, bits, |id, ready| {
                    assert_eq!(model.wake_one(), Some((id.0, ready)));
                });
                assert_eq!(model.wake_one(), None, "a wake-up was lost");
            }
            Step::Cancel(id) => {
                let place = model.place(number(id));
                assert_eq!(watch.cancel(&mut store, WaiterId(number(id))), place.is_some());
                place.into_iter().for_each(|place| model.remove(place));
            }
            Step::Evict => {
                let first = (model.count > 0).then(|| WaiterId(model.queue[0].0));
                assert_eq!(watch.evict(&mut store), first);
                first.into_iter().for_each(|_| model.remove(0));
            }
        }
        assert_eq!((watch.bits(), watch.waiters() as usize), (model.bits, model.count));
        for (id, waiter) in store.0.iter().enumerate() {
            assert_eq!(waiter.is_queued(), model.place(id as u32).is_some());
        }
    }
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::watch::MAX_WAITERS;
    use proptest::prelude::*;

    fn any_step() -> impl Strategy<Value = Step> {
        let bits = prop_oneof![4 => 0..16_u64, 1 => any::<u64>()];
        prop_oneof![
            3 => (any::<u32>(), bits.clone()).prop_map(|(id, mask)| Step::Wait(id, mask)),
            2 => bits.prop_map(Step::Signal),
            1 => any::<u32>().prop_map(Step::Cancel),
            1 => Just(Step::Evict),
        ]
    }

    proptest! {
        #![proptest_config(crate::properties::config())]

        #[test]
        fn any_order(steps in proptest::collection::vec(any_step(), 0..200)) {
            agrees_with_a_queue::<8>(&steps);
        }
    }

    #[test]
    fn a_queue_has_a_bound_and_polling_has_not() {
        let mut store = ArrayStore([Waiter::IDLE; MAX_WAITERS as usize + 1]);
        let mut watch = Watch::default();
        for id in 0..MAX_WAITERS {
            assert_eq!(watch.wait(&mut store, WaiterId(id), 1), Wait::Blocked);
        }
        assert_eq!(watch.wait(&mut store, WaiterId(MAX_WAITERS), 2), Wait::Refused);
        watch.signal(&mut store, 2, |_, _| panic!("nobody waits for this"));
        assert_eq!(watch.poll(1), 0);
        assert_eq!(watch.wait(&mut store, WaiterId(MAX_WAITERS), 3), Wait::Ready(2));
        assert_eq!(watch.wait(&mut store, WaiterId(MAX_WAITERS + 1), 1), Wait::Refused);
    }
}

/// Harnesses for Kani.
#[cfg(kani)]
pub mod proofs {
    use super::*;
    use crate::kani;

    fn any_step() -> Step {
        match kani::any::<u8>() % 4 {
            0 => Step::Wait(kani::any(), kani::any()),
            1 => Step::Signal(kani::any()),
            2 => Step::Cancel(kani::any()),
            _ => Step::Evict,
        }
    }

    /// Five calls with three waiters.
    #[cfg_attr(feature = "real-kani", kani::proof, kani::unwind(8))]
    pub fn no_wakeup_is_lost() {
        let steps = [any_step(), any_step(), any_step(), any_step(), any_step()];
        agrees_with_a_queue::<3>(&steps);
    }
}
