//! How a session starts: what its creator leaves in its memory.
//!
//! A session's first dispatcher enters the libOS image at its ELF entry point with upcalls disabled, rdi =
//! address of a [`SessionStart`], rsp = top of a stack, GS base zero, an empty binding table, and this address
//! space (docs/decisions/0003-address-map.md): image at [`IMAGE_ADDRESS`], and after it, page by page, the start
//! block and the stack, all in the subtree of slot [`SESSION_TOP_SLOT`]; the dispatcher page at
//! [`DISPATCHER_ADDRESS`]; the information page at [`INFO_ADDRESS`].
#![no_std]

use serix_abi::start::Framebuffer;

/// Top-level slot of session memory.
pub const SESSION_TOP_SLOT: u64 = 254;
/// Where a libOS image is linked; start of session memory.
pub const IMAGE_ADDRESS: u64 = 0x7F00_0000_0000;
/// Where a libOS may map all frames of the session one after the other.
pub const FRAME_MAP_ADDRESS: u64 = 0x7F40_0000_0000;
/// Top-level slot of the page-table window.
pub const WINDOW_TOP_SLOT: u64 = 253;
/// Start of the page-table window.
pub const WINDOW_ADDRESS: u64 = 0x7E80_0000_0000;
/// Private libOS memory of an environment; its first dispatcher's page.
pub const DISPATCHER_ADDRESS: u64 = 0x7E00_0000_0000;
/// The information page.
pub const INFO_ADDRESS: u64 = 0x7F80_0000_0000;
/// Bytes of the stack on which the libOS image is entered.
pub const START_STACK_SIZE: u64 = 64 * 1024;
/// Identifies a [`SessionStart`].
pub const SESSION_MAGIC: u64 = u64::from_le_bytes(*b"session1");
/// Tokens in a [`SessionStart`].
pub const MAX_TOKENS: usize = 32;

/// What a [`NamedToken`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Frames of the session. The first such token holds the image; see `frames_used`.
    Frames = 1,
    /// The session's first environment.
    Environment = 2,
    /// The subtree of session memory.
    SessionMemory = 3,
    /// A disk extent; `name` is the manifest's.
    Disk = 4,
    /// The link to the host.
    Link = 5,
    /// The kernel log.
    Log = 6,
    /// Slices of a core, for running domains of its own.
    Slices = 7,
    /// A device's frames; `name` is the manifest's of the device.
    DeviceFrames = 8,
    /// An interrupt line; `name` says what signals: `keyboard` or `mouse`.
    Interrupt = 9,
    /// I/O ports; `name` is the manifest's of the device, and its tokens are in the order of their ports.
    Ports = 10,
}

/// A token for the session to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NamedToken {
    /// A [`Purpose`].
    pub purpose: u32,
    /// Zero.
    pub reserved: u32,
    /// Units (frames, sectors), for planning before the bind.
    pub count: u64,
    /// NUL-padded name, for disks and devices.
    pub name: [u8; 16],
    /// The token.
    pub token: [u8; 48],
}

/// The start block, at the page after the image.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SessionStart {
    /// [`SESSION_MAGIC`].
    pub magic: u64,
    /// First address after image, start block and stack: the rest of session memory is unmapped.
    pub memory_end: u64,
    /// Frames at the start of the first frame token that image, start block, stack, dispatcher page and the
    /// domain's account already took.
    pub frames_used: u64,
    /// Tokens used.
    pub token_count: u64,
    /// Address of the session's part of the manifest (text, as the manifest crate parses it).
    pub manifest_address: u64,
    /// Bytes of it.
    pub manifest_size: u64,
    /// Tokens.
    pub tokens: [NamedToken; MAX_TOKENS],
    /// How the picture lies in the device frames named `framebuffer`, if there are any.
    pub framebuffer: Framebuffer,
}

const _: () = assert!(size_of::<SessionStart>() <= serix_abi::PAGE_SIZE);
