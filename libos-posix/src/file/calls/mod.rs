//! The Linux calls about files: decode, check, act.
//!
//! Handlers take typed values and answer a [`crate::Result`]; `syscall::table` says which number each has.
mod attributes;
mod control;
mod copy;
mod epoll;
mod lock;
mod mount;
mod open;
mod path;
mod pipe;
mod poll;
mod space;
mod stat;
mod transfer;
mod xattr;

pub use attributes::*;
pub use control::*;
pub use copy::*;
pub use epoll::*;
pub use lock::flock;
pub use mount::*;
pub use open::*;
pub use path::*;
pub use pipe::*;
pub use poll::*;
pub use space::*;
pub use stat::*;
pub use transfer::*;
pub use xattr::*;
