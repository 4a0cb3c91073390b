//! Wait and signal between cores: every interleaving, by loom.
//!
//! The protocol is the kernel's: events change under one lock; a core whose dispatcher blocked lets the lock go and halts
//! until an interrupt; who wakes a dispatcher sends its core one. An interrupt that comes before the halt stays
//! pending, so `Notify`, which remembers one notification, stands for it. A lost wake-up is a deadlock, which loom reports.
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p serix-core --test watch_loom`; empty without it.
#![cfg(loom)]

use loom::sync::{Arc, Mutex, Notify};
use loom::thread;
use serix_core::watch::{Wait, Waiter, WaiterId, WaiterStore, Watch};

const WAITERS: usize = 2;

struct Waiters([Waiter; WAITERS]);

impl WaiterStore for Waiters {
    fn waiter_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        self.0.get_mut(id.0 as usize)
    }
}

/// What the lock protects.
struct Locked {
    watch: Watch,
    waiters: Waiters,
    /// What each woken dispatcher will return with.
    replies: [Option<u64>; WAITERS],
}

struct Machine {
    kernel: Mutex<Locked>,
    interrupts: [Notify; WAITERS],
}

impl Machine {
    fn new() -> Arc<Self> {
        let locked = Locked {
            watch: Watch::new(),
            waiters: Waiters([Waiter::IDLE; WAITERS]),
            replies: [None; WAITERS],
        };
        Arc::new(Self { kernel: Mutex::new(locked), interrupts: [Notify::new(), Notify::new()] })
    }

    /// Waits for a bit of `mask` on core `id`.
    fn wait(&self, id: u32, mask: u64) -> u64 {
        {
            let kernel = &mut *self.kernel.lock().expect("not poisoned");
            match kernel.watch.wait(&mut kernel.waiters, WaiterId(id), mask) {
                Wait::Ready(bits) => return bits,
                Wait::Blocked => {}
                Wait::Refused => panic!("the waiter is idle and the queue short"),
            }
        }
        loop {
            self.interrupts[id as usize].wait();
            let reply = self.kernel.lock().expect("not poisoned").replies[id as usize].take();
            if let Some(bits) = reply {
                return bits;
            }
        }
    }

    fn signal(&self, bits: u64) {
        let mut woken = [false; WAITERS];
        {
            let Locked { watch, waiters, replies } =
                &mut *self.kernel.lock().expect("not poisoned");
            watch.signal(waiters, bits, |id, ready| {
                replies[id.0 as usize] = Some(ready);
                woken[id.0 as usize] = true;
            });
        }
        for (core, woken) in woken.into_iter().enumerate() {
            if woken {
                self.interrupts[core].notify();
            }
        }
    }

    /// The deadline of core `id`'s waiter: whether it was still waiting.
    fn expire(&self, id: u32) -> bool {
        let kernel = &mut *self.kernel.lock().expect("not poisoned");
        kernel.watch.cancel(&mut kernel.waiters, WaiterId(id))
    }
}

#[test]
fn a_signal_reaches_the_waiter() {
    loom::model(|| {
        let machine = Machine::new();
        let other = machine.clone();
        let signaller = thread::spawn(move || other.signal(1));
        assert_eq!(machine.wait(0, 1), 1);
        signaller.join().expect("no panic");
    });
}

#[test]
fn bits_of_two_signallers_are_all_delivered() {
    loom::model(|| {
        let machine = Machine::new();
        let threads = [1, 2].map(|bit| {
            let machine = machine.clone();
            thread::spawn(move || machine.signal(bit))
        });
        let mut got = 0;
        while got != 3 {
            let bits = machine.wait(0, 3);
            assert_eq!(bits & got, 0, "delivered twice");
            got |= bits;
        }
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(machine.kernel.lock().expect("not poisoned").watch.bits(), 0);
    });
}

#[test]
fn two_waiters_get_a_bit_each() {
    loom::model(|| {
        let machine = Machine::new();
        let other = machine.clone();
        let second = thread::spawn(move || other.wait(1, 2));
        let other = machine.clone();
        let signaller = thread::spawn(move || other.signal(3));
        assert_eq!(machine.wait(0, 1), 1);
        assert_eq!(second.join().expect("no panic"), 2);
        signaller.join().expect("no panic");
    });
}

#[test]
fn a_deadline_never_swallows_a_bit() {
    loom::model(|| {
        let machine = Machine::new();
        {
            let kernel = &mut *machine.kernel.lock().expect("not poisoned");
            let wait = kernel.watch.wait(&mut kernel.waiters, WaiterId(0), 1);
            assert_eq!(wait, Wait::Blocked);
        }
        let other = machine.clone();
        let signaller = thread::spawn(move || other.signal(1));
        let timed_out = machine.expire(0);
        signaller.join().expect("no panic");
        let kernel = machine.kernel.lock().expect("not poisoned");
        assert_eq!(kernel.replies[0], (!timed_out).then_some(1));
        assert_eq!(kernel.watch.bits(), u64::from(timed_out));
    });
}
