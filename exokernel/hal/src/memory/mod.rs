//! Frames, page tables, kernel objects in frames, and access to user memory.
pub mod boot_image;
pub mod frames;
pub mod heap;
pub mod info;
pub mod kernel_map;
pub mod object;
pub mod paging;
pub mod record;
pub mod user;
