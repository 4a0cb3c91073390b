//! Capabilities: grant nodes, sealed tokens, binding tables.
mod bind;
mod end;
mod grant;
mod nodes;
mod record;
mod revoke;

pub(crate) use bind::{DEVICE_SHIFT, Found, Slots};
pub(crate) use grant::Granting;
pub(crate) use nodes::NodeChunk;
pub(crate) use record::Record;
pub(crate) use revoke::Revocation;
