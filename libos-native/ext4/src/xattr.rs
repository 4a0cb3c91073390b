//! Extended attributes: in the inode behind its fields, and in one block that inodes may share.
use crate::allocator::Budget;
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::attributes::{
    self as area, Attribute, BLOCK_HEADER, INODE_HEADER, MAGIC, full_name, split_name,
};
use crate::layout::bytes::{put_u32, u32_at};
use crate::layout::inode::{BASE_SIZE, Inode};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serix_block::BlockDevice;

const REFERENCES: usize = 4;

/// How to set an extended attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrMode {
    /// Make or replace.
    #[default]
    Any,
    /// Fail with `Exists` if it is there.
    Create,
    /// Fail with `NoAttribute` if it is not there.
    Replace,
}

/// An inode's attributes, by where they are.
struct Lists {
    inode: Vec<Attribute>,
    block: Vec<Attribute>,
}

impl Lists {
    /// Takes an attribute out.
    fn take(&mut self, prefix: u8, name: &[u8]) -> Option<Attribute> {
        for list in [&mut self.inode, &mut self.block] {
            let is_it = |one: &Attribute| one.prefix == prefix && one.name == name;
            if let Some(at) = list.iter().position(is_it) {
                return Some(list.remove(at));
            }
        }
        None
    }

    fn all(&self) -> impl Iterator<Item = &Attribute> {
        self.inode.iter().chain(&self.block)
    }
}

/// Where attributes begin in a raw inode, if it has room for any.
fn inode_start(raw_size: usize, extra_size: u16) -> Option<usize> {
    let start = BASE_SIZE + usize::from(extra_size);
    (extra_size > 0 && start + INODE_HEADER + 4 <= raw_size).then_some(start)
}

impl<D: BlockDevice> Ext4<D> {
    /// The value of an attribute, named with its prefix (`user.color`).
    ///
    /// # Errors
    /// `NoAttribute`, `NotSupported` for an unknown prefix, `Corrupt`, `Io`.
    pub async fn xattr(&self, number: u32, name: &[u8]) -> Result<Vec<u8>> {
        let (prefix, rest) = split_name(name)?;
        let node = self.node(number).await?;
        let body = node.body.read().await;
        let found = self.attribute_lists(&body).await?.take(prefix, rest);
        found.map(|found| found.value).ok_or(Error::NoAttribute)
    }

    /// The names of all attributes.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, `Stale`.
    pub async fn xattr_names(&self, number: u32) -> Result<Vec<Vec<u8>>> {
        let node = self.node(number).await?;
        let body = node.body.read().await;
        Ok(self.attribute_lists(&body).await?.all().filter_map(full_name).collect())
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// `Exists` and `NoAttribute` by mode, `NoSpace` also if inode and block are full of them,
    /// `NotSupported` for an unknown prefix.
    pub async fn set_xattr(
        &self,
        number: u32,
        name: &[u8],
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        let (prefix, rest) = split_name(name)?;
        self.check_writable()?;
        let node = self.node(number).await?;
        let mut body = node.body.write().await;
        let mut lists = self.attribute_lists(&body).await?;
        match (lists.take(prefix, rest).is_some(), mode) {
            (true, XattrMode::Create) => return Err(Error::Exists),
            (false, XattrMode::Replace) => return Err(Error::NoAttribute),
            _ => {}
        }
        let new = Attribute { prefix, name: rest.to_vec(), value: value.to_vec() };
        self.place_attribute(&mut lists, &body, new)?;
        self.store_attributes(&node, &mut body, lists).await
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// `NoAttribute`, `NotSupported` for an unknown prefix.
    pub async fn remove_xattr(&self, number: u32, name: &[u8]) -> Result<()> {
        let (prefix, rest) = split_name(name)?;
        self.check_writable()?;
        let node = self.node(number).await?;
        let mut body = node.body.write().await;
        let mut lists = self.attribute_lists(&body).await?;
        lists.take(prefix, rest).ok_or(Error::NoAttribute)?;
        self.store_attributes(&node, &mut body, lists).await
    }

    fn inode_space(&self, body: &Inode) -> usize {
        let size = self.rules.superblock.inode_size;
        inode_start(size, body.extra_size).map_or(0, |start| size - start - INODE_HEADER)
    }

    /// Puts an attribute where it fits, the inode first.
    fn place_attribute(&self, lists: &mut Lists, body: &Inode, new: Attribute) -> Result<()> {
        lists.inode.push(new);
        if area::space(&lists.inode) <= self.inode_space(body) {
            return Ok(());
        }
        lists.block.extend(lists.inode.pop());
        let fits = area::space(&lists.block) <= self.disk.block_size() - BLOCK_HEADER;
        if fits { Ok(()) } else { Err(Error::NoSpace) }
    }

    async fn attribute_lists(&self, body: &Inode) -> Result<Lists> {
        let corrupt = |what| Error::corrupt_inode(what, body.number);
        let inode = self
            .read_raw(body.number, |raw| match inode_start(raw.len(), body.extra_size) {
                Some(start) if u32_at(raw, start) == MAGIC => {
                    let first = start + INODE_HEADER;
                    area::parse(raw, first, first)
                }
                _ => Ok(Vec::new()),
            })
            .await?
            .map_err(corrupt)?;
        let block = if body.attributes == 0 {
            Vec::new()
        } else {
            let buffer = self.buffer(body.attributes, Kind::Attributes).await?;
            buffer.read(|bytes| area::parse(bytes, BLOCK_HEADER, 0)).map_err(corrupt)?
        };
        Ok(Lists { inode, block })
    }

    async fn store_attributes(
        &self,
        node: &Arc<Node>,
        body: &mut Inode,
        mut lists: Lists,
    ) -> Result<()> {
        area::sort(&mut lists.block);
        let budget = self.promise(1).await?;
        let handle = self.begin(12).await?;
        let outcome = async {
            self.store_attribute_block(&handle, &budget, body, &lists.block).await?;
            body.changed = self.now();
            self.edit_raw(&handle, body, |raw| store_in_inode(raw, body.extra_size, &lists.inode))
                .await
        }
        .await;
        node.note_change(handle.transaction(), false);
        handle.finish(outcome)
    }

    async fn store_attribute_block(
        &self,
        handle: &Handle<'_, D>,
        budget: &Budget<'_, D>,
        body: &mut Inode,
        list: &[Attribute],
    ) -> Result<()> {
        if list.is_empty() {
            return self.free_attributes(handle, body).await;
        }
        let shared = match body.attributes {
            0 => true,
            block => {
                let buffer = self.buffer(block, Kind::Attributes).await?;
                buffer.read(|bytes| u32_at(bytes, REFERENCES)) > 1
            }
        };
        let buffer = if shared {
            self.free_attributes(handle, body).await?;
            let goal = self.inode_goal_block(body);
            body.attributes = self.allocate_block(handle, budget, goal).await?;
            body.sectors += self.sectors_per_block();
            self.cache.fresh(body.attributes, Kind::Attributes)
        } else {
            self.buffer(body.attributes, Kind::Attributes).await?
        };
        handle.edit(&buffer, Kind::Attributes, |bytes| {
            area::store_header(bytes, list);
            area::store(bytes, BLOCK_HEADER, 0, list, true);
        });
        Ok(())
    }

    /// Lets go of an inode's attribute block.
    pub(crate) async fn free_attributes(
        &self,
        handle: &Handle<'_, D>,
        body: &mut Inode,
    ) -> Result<()> {
        let block = core::mem::take(&mut body.attributes);
        if block == 0 {
            return Ok(());
        }
        body.sectors = body.sectors.saturating_sub(self.sectors_per_block());
        let buffer = self.buffer(block, Kind::Attributes).await?;
        let others = buffer.read(|bytes| u32_at(bytes, REFERENCES)).saturating_sub(1);
        if others > 0 {
            handle.edit(&buffer, Kind::Attributes, |bytes| put_u32(bytes, REFERENCES, others));
            return Ok(());
        }
        handle.forget(block);
        self.free_blocks(handle, block, 1).await
    }
}

/// Writes the attributes that are in the inode.
fn store_in_inode(raw: &mut [u8], extra_size: u16, list: &[Attribute]) {
    let Some(start) = inode_start(raw.len(), extra_size) else { return };
    if list.is_empty() {
        raw[start..].fill(0);
        return;
    }
    let first = start + INODE_HEADER;
    put_u32(raw, start, MAGIC);
    area::store(raw, first, first, list, false);
}
