//! The manifest: plain text that says which sessions `init` starts and what each may have.
//!
//! Owns the types, the parser (errors with line numbers) and the writer. It knows nothing of how
//! sessions are started; `init` reads it on the machine, `xtask` writes it on the host.
//!
//! Invariant: [`parse`](fn@parse) of what a checked [`Manifest`] displays as is that same manifest.
//!
//! ```text
//! # comment
//! [session main]
//! libos = libos-posix              # boot module that holds the libOS
//! memory = rest                    # or 48M: frames for the session
//! cores = 1                        # or all: cores that it runs on
//! slices = 8                       # time slices on each of them
//! disk root = disk0:serix-root rw  # NAME = DEVICE:PARTITION rw|ro
//! device = keyboard                # framebuffer | keyboard [optional]: what a driver in the libOS needs
//! console = link                   # link | log | link log | none
//! program = "/bin/sh" "-c" "echo hi\n"
//! env = "PATH=/bin"
//! option = strace                  # handed to the libOS as it is
//! restart = never                  # never | on-failure
//! ```
//!
//! `disk`, `device`, `env` and `option` may stand several times. `libos` and `memory` must be there; the
//! others have the defaults of [`Session::new`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod parse;
mod text;
mod write;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use parse::parse;

/// Most bytes of a manifest.
pub const TEXT_MAX: usize = 64 * 1024;
/// Most sessions of a manifest.
pub const SESSIONS_MAX: usize = 16;
/// Most bytes of a name.
pub const NAME_MAX: usize = 64;

/// All that is started at boot, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// At most [`SESSIONS_MAX`].
    pub sessions: Vec<Session>,
}

/// One domain with its libOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Unique in the manifest.
    pub name: String,
    /// Boot module that holds the libOS.
    pub libos: String,
    /// Frames that it gets.
    pub memory: Memory,
    /// Cores that it runs on.
    pub cores: Cores,
    /// Time slices that it gets on each of its cores.
    pub slices: u32,
    /// Extents that it gets, with unique names.
    pub disks: Vec<Disk>,
    /// Devices that it drives, each once.
    pub devices: Vec<DeviceUse>,
    /// What it may talk to.
    pub console: Console,
    /// Program and its arguments; empty if the libOS is all there is.
    pub program: Vec<Vec<u8>>,
    /// `NAME=VALUE` strings.
    pub env: Vec<Vec<u8>>,
    /// Words for the libOS.
    pub options: Vec<String>,
    /// What `init` does when it ends.
    pub restart: Restart,
}

impl Session {
    /// Slices on each core where the manifest says nothing.
    pub const SLICES_DEFAULT: u32 = 8;

    /// A session with the defaults for all that a manifest may leave out.
    #[must_use]
    pub fn new(name: &str, libos: &str, memory: Memory) -> Self {
        Self {
            name: name.into(),
            libos: libos.into(),
            memory,
            cores: Cores::Count(1),
            slices: Self::SLICES_DEFAULT,
            disks: Vec::new(),
            devices: Vec::new(),
            console: Console::default(),
            program: Vec::new(),
            env: Vec::new(),
            options: Vec::new(),
            restart: Restart::Never,
        }
    }
}

/// How many cores a session runs on. More than one is for a libOS whose environments may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All that the machine has.
    All,
    /// So many, not zero.
    Count(u32),
}

/// How many frames a session gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// All that the other sessions leave. At most one session has this.
    Rest,
    /// So many bytes, not zero.
    Bytes(u64),
}

/// An extent of a disk, by the name of its GPT partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What the libOS calls it.
    pub name: String,
    /// What the kernel calls the device.
    pub device: String,
    /// Its GPT partition name.
    pub partition: String,
    /// Rights on it.
    pub access: Access,
}

/// A device of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceUse {
    /// Which.
    pub device: Device,
    /// `optional`: on a machine without it the session starts all the same.
    pub optional: bool,
}

/// A device that a libOS may drive itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `framebuffer`: the frames of the picture.
    Framebuffer,
    /// `keyboard`: ports and interrupts of the keyboard controller, with its mouse.
    Keyboard,
}

impl Device {
    /// Every device.
    pub const ALL: [Self; 2] = [Self::Framebuffer, Self::Keyboard];

    /// The manifest's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framebuffer => "framebuffer",
            Self::Keyboard => "keyboard",
        }
    }
}

/// Rights on an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `ro`
    ReadOnly,
    /// `rw`
    ReadWrite,
}

/// Which consoles a session may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// The framed channel to the host: standard input, output, errors and the exit status.
    pub link: bool,
    /// The kernel log.
    pub log: bool,
}

/// What happens when a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It stays ended.
    Never,
    /// It is started again unless its program ended with status 0.
    OnFailure,
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Counted from 1; the line that is wrong or, where something is missing, the session's.
    pub line: usize,
    /// What should stand there.
    pub expected: &'static str,
    /// What does.
    pub found: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}, found {}", self.line, self.expected, self.found)
    }
}

impl core::error::Error for Error {}
