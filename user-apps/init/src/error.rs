//! Why the sessions of a manifest cannot be started, in words for people.

use alloc::string::String;
use core::fmt;

use crate::gpt::GptError;
use crate::image::ImageError;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The kernel's start information is unusable.
    StartInfo,
    /// There is no boot module `manifest`.
    NoManifest,
    /// The manifest does not say what it should.
    Manifest(serix_manifest::Error),
    /// The machine itself is too small for init.
    NoReserve,
    /// A call of init's own preparation failed.
    Prepare(&'static str, serix_sys::Error),
    /// A session cannot be had.
    Session(String, Reason),
}

/// Why one session cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No boot module of this name.
    NoModule(String),
    /// The module is no libOS image.
    Image(String, ImageError),
    /// The session's memory is too small for its image; KiB that it needs.
    TooSmall(u64),
    /// So many KiB are wanted, so many there.
    Memory(u64, u64),
    /// So many cores are wanted, so many there.
    Cores(usize, usize),
    /// So many slices are wanted on this core, so many there.
    Slices(u32, u32, u64),
    /// No such disk.
    NoDevice(String, usize),
    /// No usable partition table on this disk.
    Table(String, GptError),
    /// No partition of this name on this disk.
    NoPartition(String, String),
    /// Another entry already has the sectors of this partition.
    Taken(String, String),
    /// The name of a disk has more than 16 bytes.
    LongName(String),
    /// More resources than a start block can name.
    TooMany,
    /// `console` names a device that the machine does not have.
    NoConsole(&'static str),
    /// `device` names one that the machine does not have.
    NoSuchDevice(&'static str),
    /// Another session has this device.
    DeviceTaken(&'static str),
    /// A kernel call failed while the session was made.
    Kernel(&'static str, serix_sys::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartInfo => f.write_str("the kernel's start information is damaged"),
            Self::NoManifest => f.write_str("there is no boot module `manifest`"),
            Self::Manifest(error) => write!(f, "manifest, {error}"),
            Self::NoReserve => f.write_str("too little memory to start anything"),
            Self::Prepare(step, error) => write!(f, "cannot {step}: {error:?}"),
            Self::Session(name, reason) => write!(f, "session {name}: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule(name) => write!(f, "there is no boot module `{name}`"),
            Self::Image(name, error) => write!(f, "`{name}` is no libOS image: {error}"),
            Self::TooSmall(kib) => write!(f, "its image needs at least {kib} KiB of memory"),
            Self::Memory(wanted, there) => {
                write!(f, "{wanted} KiB of memory wanted, {there} KiB left")
            }
            Self::Cores(wanted, there) => {
                write!(
                    f,
                    "{wanted} cores wanted, {there} there (`cores = all` takes what there is)"
                )
            }
            Self::Slices(core, wanted, there) => {
                write!(f, "{wanted} slices wanted on core {core}, {there} left")
            }
            Self::NoDevice(name, 0) => write!(f, "no disk `{name}`: this machine has no disks"),
            Self::NoDevice(name, 1) => write!(f, "no disk `{name}`: this machine has one disk"),
            Self::NoDevice(name, n) => write!(f, "no disk `{name}`: this machine has {n} disks"),
            Self::Table(name, error) => write!(f, "`{name}` {error}"),
            Self::NoPartition(device, name) => write!(f, "no partition `{name}` on `{device}`"),
            Self::Taken(device, name) => {
                write!(f, "partition `{name}` of `{device}` is given away already")
            }
            Self::LongName(name) => write!(f, "disk name `{name}` has more than 16 bytes"),
            Self::TooMany => {
                f.write_str("more disks, devices and pieces of memory than fit a start block")
            }
            Self::NoConsole(name) => write!(f, "this machine has no {name}"),
            Self::NoSuchDevice("framebuffer") => {
                f.write_str("this machine has no framebuffer (under xtask: `--display`)")
            }
            Self::NoSuchDevice(name) => write!(f, "this machine has no {name}"),
            Self::DeviceTaken(name) => write!(f, "device `{name}` is given away already"),
            Self::Kernel(step, error) => write!(f, "cannot {step}: {error:?}"),
        }
    }
}

impl core::error::Error for Failure {}
