//! The file system on the host, judged by e2fsprogs and by an independent reader.
//!
//! What takes long runs only with `SERIX_LONG=1` in the environment; a part of it runs always.
mod basics;
mod checksums;
mod common;
mod corrupt;
mod crash;
mod errors;
mod faults;
mod gate;
mod large;
mod limits;
mod linux;
mod model;
mod random;
mod raw;
mod replay;
mod together;
mod vfs;
mod xattrs;
