//! The kernel's part of the address map (docs/decisions/0003-address-map.md).

/// First address that ring 3 may never map: the last page of the user half stays empty, so that the address
/// after any `syscall` is canonical.
pub const USER_END: u64 = 0x7FFF_FFFF_F000;
/// First page that ring 3 may map.
pub const USER_START: u64 = 0x1000;
/// Bytes that a top-level slot covers.
pub const TOP_SLOT_SIZE: u64 = 1 << 39;
/// Top-level slots of the user half.
pub const USER_TOP_SLOTS: u64 = 256;
/// User code selector, as Linux has it.
pub const USER_CODE_SELECTOR: u64 = 0x33;
/// User data selector, as Linux has it.
pub const USER_DATA_SELECTOR: u64 = 0x2b;
