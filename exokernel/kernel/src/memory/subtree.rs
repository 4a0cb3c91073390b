//! Subtrees: page tables that several environments of a domain attach.
use crate::kernel::Kernel;
use serix_abi::Error;
use serix_abi::token::{Kind, Rights};
use serix_core::{DomainId, NodeId};
use serix_hal::memory::paging::Root;

/// A third-level page table with what is below it.
pub(crate) struct Subtree {
    pub(crate) domain: u32,
    /// The same domain, by its id.
    pub(crate) owner: DomainId,
    pub(crate) node: NodeId,
    pub(crate) root: Root,
    pub(crate) attachments: u32,
}

impl Kernel {
    /// Makes a subtree in `owner`, bound in the table of `caller`.
    pub(crate) fn subtree_create(&mut self, caller: u32, owner: u32) -> Result<u32, Error> {
        let id = self.resources.domains.get(owner).ok_or(Error::Dead)?.id;
        let index = self.subtrees.next().ok_or(Error::TableFull)?;
        let node = self.object_node(owner, Kind::Subtree, index)?;
        let taken = self.resources.take_object(owner);
        let frame = taken.inspect_err(|_| self.drop_node(node))?;
        let root = self
            .resources
            .tables(owner)
            .and_then(|(frames, mut source)| Root::subtree(frames, &mut source));
        let Some(root) = root else {
            self.resources.put_object(owner, frame);
            self.drop_node(node);
            return Err(Error::NoFrames);
        };
        self.subtrees
            .insert(frame, Subtree { domain: owner, owner: id, node, root, attachments: 0 });
        self.resources.count_object(owner, Kind::Subtree, true);
        let rights = Rights::CONTROL.with(Rights::MAP).with(Rights::GRANT);
        self.resources
            .bind_node(caller, node, rights, index)
            .inspect_err(|_| while self.subtree_end_step(index) {})
    }

    /// Goes on destroying a subtree that is attached nowhere; false when it is gone.
    pub(crate) fn subtree_end_step(&mut self, index: u32) -> bool {
        let Some(tree) = self.subtrees.get_mut(index) else { return false };
        let (owner, node) = (tree.domain, tree.node);
        let Some((frames, mut source)) = self.resources.tables(owner) else { return false };
        if tree.root.tear_down_step(frames, &mut source) {
            return true;
        }
        if self.delegations_end_step(owner, node) {
            return true;
        }
        if let Some((frame, tree)) = self.subtrees.remove_value(index) {
            self.resources.count_object(owner, Kind::Subtree, false);
            if let Some((frames, mut source)) = self.resources.tables(owner) {
                tree.root.free(frames, &mut source);
            }
            self.resources.put_object(owner, frame);
        }
        self.drop_node(node);
        false
    }
}
