//! Extended attributes: in the inode behind its fields, and in one block that inodes may share.
use crate::error::Result;
use crate::file_system::Ext4;
use crate::journal::Handle;
use crate::kind::Kind;
use crate::layout::bytes::{put_u32, u32_at};
use crate::layout::inode::Inode;
use serix_block::BlockDevice;

const REFERENCES: usize = 4;

impl<D: BlockDevice> Ext4<D> {
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
