//! Everything that is decided before the first session runs.

mod common;
mod gpt;
mod image;
mod plan;
