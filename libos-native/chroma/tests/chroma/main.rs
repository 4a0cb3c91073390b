//! Chroma as a libOS uses it, over the RAM disk and over a slow disk with faults.
mod data;
mod model;
mod names;
mod special;
mod support;
