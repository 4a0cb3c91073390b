//! Storage of grant nodes: chunks of 63, each in a frame that the grantor paid for.
use crate::domain::{MAX_NODE_CHUNKS, Resources};
use serix_abi::Error;
use serix_core::grant::{Node, NodeStore, State};
use serix_core::{DomainId, NodeId};

/// Nodes in a chunk.
const NODES: usize = 63;
/// A node's id is chunk * 64 + place.
const STRIDE: u32 = 64;

/// A frame of nodes.
#[repr(C)]
pub(crate) struct NodeChunk {
    nodes: [Node; NODES],
    payer: DomainId,
    used: u32,
}

impl NodeChunk {
    fn new(payer: DomainId) -> Self {
        Self { nodes: [Node::FREE; NODES], payer, used: 0 }
    }

    /// The first node in use, by place.
    pub(crate) fn first_used(&self) -> Option<u32> {
        self.nodes.iter().position(|node| node.state() != State::Free).map(|place| place as u32)
    }
}

/// Id of a node by chunk and place.
pub(crate) fn node_id(chunk: u32, place: u32) -> NodeId {
    NodeId(chunk * STRIDE + place)
}

impl NodeStore for Resources {
    #[inline(always)]
    fn node(&self, id: NodeId) -> Option<&Node> {
        let chunk = self.node_chunks.get(id.0 / STRIDE)?;
        chunk.nodes.get((id.0 % STRIDE) as usize)
    }

    #[inline(always)]
    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.changes += 1;
        let chunk = self.node_chunks.get_mut(id.0 / STRIDE)?;
        chunk.nodes.get_mut((id.0 % STRIDE) as usize)
    }

    fn allocate(&mut self, payer: DomainId) -> Option<NodeId> {
        let index = self.index_of(payer)?;
        let domain = self.domains.get(index)?;
        let with_room =
            domain.node_chunks[..domain.node_chunk_count].iter().copied().find(|chunk| {
                self.node_chunks.get(*chunk).is_some_and(|chunk| chunk.used < NODES as u32)
            });
        let chunk = match with_room {
            Some(chunk) => chunk,
            None => self.new_chunk(index, payer)?,
        };
        let nodes = self.node_chunks.get_mut(chunk)?;
        let place = nodes.nodes.iter().position(|node| node.state() == State::Free)?;
        nodes.used += 1;
        Some(node_id(chunk, place as u32))
    }

    fn release(&mut self, id: NodeId) {
        let chunk = id.0 / STRIDE;
        let Some(nodes) = self.node_chunks.get_mut(chunk) else { return };
        nodes.used -= 1;
        if nodes.used > 0 {
            return;
        }
        let payer = nodes.payer;
        let Some(frame) = self.node_chunks.remove(chunk) else { return };
        let Some(index) = self.index_of(payer) else { return };
        if let Some(domain) = self.domains.get_mut(index) {
            let count = domain.node_chunk_count;
            if let Some(place) =
                domain.node_chunks[..count].iter().position(|known| *known == chunk)
            {
                domain.node_chunks[place] = domain.node_chunks[count - 1];
                domain.node_chunk_count -= 1;
            }
        }
        self.put_object(index, frame);
    }
}

impl Resources {
    /// Why a domain got no node: frames help, or they do not.
    pub(super) fn no_node(&self, domain: u32) -> Error {
        match self.domains.get(domain) {
            Some(owner) if owner.left == 0 || owner.node_chunk_count == MAX_NODE_CHUNKS => {
                Error::TableFull
            }
            _ => Error::NoFrames,
        }
    }

    fn new_chunk(&mut self, domain: u32, payer: DomainId) -> Option<u32> {
        let chunk = self.node_chunks.next()?;
        if self.domains.get(domain)?.node_chunk_count == MAX_NODE_CHUNKS {
            return None;
        }
        let frame = self.take_object(domain).ok()?;
        self.node_chunks.insert(frame, NodeChunk::new(payer));
        let domain = self.domains.get_mut(domain)?;
        let place = domain.node_chunk_count;
        domain.node_chunks[place] = chunk;
        domain.node_chunk_count += 1;
        Some(chunk)
    }
}
