//! The session: what it was given, how it starts its first program, and how it ends.
mod boot;
mod log;
mod options;
mod root;

pub use boot::{Disk, boot, disks, finish, start};
pub use log::log_line;
pub(crate) use log::oops;
pub use options::{Options, options};

use serix_sys::Slot;
use spin::Once;

/// Status of a session whose libOS found itself broken.
pub const STATUS_BROKEN: i32 = 125;

/// Slots of the binding table that the session works with.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// The first environment.
    pub environment: Slot,
    /// The subtree of session memory.
    pub session_memory: Slot,
    /// The kernel log, or none.
    pub log: Slot,
    /// The link to the host, or none.
    pub link: Slot,
    /// The event that wakes the session.
    pub event: Slot,
}

impl Default for Resources {
    fn default() -> Self {
        let (environment, session_memory) = (Slot::NONE, Slot::NONE);
        Self { environment, session_memory, log: Slot::NONE, link: Slot::NONE, event: Slot::NONE }
    }
}

static RESOURCES: Once<Resources> = Once::new();

/// Says once what the session has.
pub(crate) fn set_resources(resources: Resources) {
    RESOURCES.call_once(|| resources);
}

/// What the session has.
#[inline]
#[must_use]
pub fn resources() -> &'static Resources {
    static NOTHING: Resources = Resources {
        environment: Slot::NONE,
        session_memory: Slot::NONE,
        log: Slot::NONE,
        link: Slot::NONE,
        event: Slot::NONE,
    };
    RESOURCES.get().unwrap_or(&NOTHING)
}
