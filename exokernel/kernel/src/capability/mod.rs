//! Capabilities: grant nodes, sealed tokens, binding tables.
mod bind;
mod grant;
mod nodes;
mod revoke;

pub(crate) use bind::{BindingChunk, DEVICE_SHIFT, SLOT_CHUNKS};
pub(crate) use nodes::NodeChunk;
pub(crate) use revoke::Revocation;
