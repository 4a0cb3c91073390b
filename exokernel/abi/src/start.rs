//! What the first domain finds when it starts.

/// Where the kernel maps the [`StartInfo`] page, read-only, in the first environment.
pub const START_INFO_ADDRESS: u64 = 0x7F80_0000_1000;
/// Where the kernel maps boot modules, read-only, one after the other.
pub const MODULES_ADDRESS: u64 = 0x7F90_0000_0000;
/// Identifies a [`StartInfo`].
pub const START_MAGIC: u64 = u64::from_le_bytes(*b"serix-01");
/// Slots that a [`StartInfo`] can name.
pub const MAX_RESOURCES: usize = 64;
/// Modules that a [`StartInfo`] can name.
pub const MAX_MODULES: usize = 16;

/// Why a domain ended; the upper half of `DomainStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EndReason {
    /// It called `Exit`.
    Exit = 1,
    /// A fault with no fault entry, or upcalls nested past the bound. The status is the vector.
    Fault = 2,
    /// Its creator destroyed it.
    Destroyed = 3,
    /// Frames were taken back that it had handed over to the kernel: to its account, or as a page of a dispatcher, ring or record.
    Revoked = 4,
}

/// A resource that the first domain holds, already bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Resource {
    /// A [`crate::token::Kind`].
    pub kind: u32,
    /// The slot.
    pub slot: u32,
    /// First unit: frame number, sector, slice.
    pub base: u64,
    /// Units.
    pub count: u64,
    /// Device number for blocks and consoles, core for slices, for interrupts the ISA's number of the line; else zero.
    pub device: u32,
    /// For frames: how many at the end of the range the first domain itself uses (image, modules, account).
    pub in_use: u32,
}

/// How the picture lies in the first device frames, if the machine has a framebuffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Framebuffer {
    /// Pixels in a row; zero if there is no framebuffer.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub pitch: u32,
    /// Bits of a pixel.
    pub bits_per_pixel: u16,
    /// Bits of red, and the lowest one's number.
    pub red: [u8; 2],
    /// The same of green.
    pub green: [u8; 2],
    /// The same of blue.
    pub blue: [u8; 2],
    /// Zero.
    pub reserved: u16,
}

/// A boot module, mapped read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Module {
    /// Address in the first environment.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// Name: last part of the path, NUL-padded.
    pub name: [u8; 48],
}

/// The page at [`START_INFO_ADDRESS`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct StartInfo {
    /// [`START_MAGIC`].
    pub magic: u64,
    /// Resources used.
    pub resource_count: u32,
    /// Modules used.
    pub module_count: u32,
    /// Slot of the first domain's own environment.
    pub environment: u32,
    /// Objects that this domain and all that it makes can have at once.
    pub objects: u32,
    /// Resources.
    pub resources: [Resource; MAX_RESOURCES],
    /// Modules.
    pub modules: [Module; MAX_MODULES],
    /// The framebuffer, whose frames are a resource of kind `DeviceFrames`.
    pub framebuffer: Framebuffer,
}

const _: () = assert!(size_of::<StartInfo>() <= crate::PAGE_SIZE);
