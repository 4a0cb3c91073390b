//! Each native call: what its arguments are, and one right use of it, made ready, carried out and undone.
//!
//! Suites go over [`Call::ALL`] with this: `matrix` makes one argument after the other wrong, `paths` counts instructions. A call that has no
//! row in [`arguments::of`] or in [`Stage::prepare`] does not compile.

pub mod arguments;
mod names;
mod stage;

use serix_abi::{Call, Error};

use crate::raw::call;

pub use arguments::Argument;
pub use stage::Stage;

/// A right use of a call.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// Its arguments.
    pub arguments: [u64; 6],
    /// What was made for it alone, and by which call it ends: calls and their first arguments.
    undo: [Option<(Call, [u64; 3])>; 2],
}

impl Use {
    fn of(arguments: &[u64]) -> Self {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        Self { arguments: all, undo: [None; 2] }
    }

    /// With something that has to be undone afterwards, unless the call itself did.
    fn undone_by(mut self, what: Call, arguments: &[u64]) -> Self {
        let mut all = [0; 3];
        all[..arguments.len()].copy_from_slice(arguments);
        let free = self.undo.iter_mut().find(|place| place.is_none());
        *free.expect("few things are made for one call") = Some((what, all));
        self
    }

    /// Undoes what the call made, if it returned `value`, and what was made for it.
    pub fn undo(&self, what: Call, value: Option<u64>) {
        let made = value.and_then(|value| Some((ends(what)?, [value, 0, 0])));
        for (what, arguments) in made.into_iter().chain(self.undo.into_iter().flatten()) {
            // The call may have done it already.
            let _ = whole(what, &arguments);
        }
    }
}

/// The call that ends what a call makes.
const fn ends(what: Call) -> Option<Call> {
    match what {
        Call::Bind | Call::EventCreate | Call::GateCreate => Some(Call::Unbind),
        Call::Grant => Some(Call::Revoke),
        Call::SubtreeCreate => Some(Call::SubtreeDestroy),
        Call::EnvironmentCreate => Some(Call::EnvironmentDestroy),
        Call::DomainCreate => Some(Call::DomainDestroy),
        Call::RingCreate => Some(Call::RingDestroy),
        _ => None,
    }
}

/// A call, repeated while it answers `Again`.
///
/// # Errors
/// As the call.
pub fn whole(what: Call, arguments: &[u64]) -> Result<u64, Error> {
    loop {
        match call(what, arguments) {
            Err(Error::Again) => {}
            other => return other,
        }
    }
}
