//! What `stat` tells and `chmod`, `chown`, `utimensat` change.
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::layout::inode::{FileKind, Inode, Time};
use serix_block::BlockDevice;

/// What is known of an inode besides its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The inode's number.
    pub inode: u32,
    /// Distinguishes inodes that had the same number.
    pub generation: u32,
    /// What it is.
    pub kind: FileKind,
    /// The low 12 bits of the mode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names; 1 for a directory with too many to count.
    pub links: u32,
    /// Length in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub sectors: u64,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    /// Last read.
    pub accessed: Time,
    /// Last write.
    pub modified: Time,
    /// Last change of contents or attributes.
    pub changed: Time,
    /// Creation; `None` where inodes are too small to tell.
    pub created: Option<Time>,
}

/// A change of attributes; `None` leaves one as it is. `changed` is set to now unless given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// The low 12 bits of the mode.
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Last read.
    pub accessed: Option<Time>,
    /// Last write.
    pub modified: Option<Time>,
    /// Last change.
    pub changed: Option<Time>,
}

impl AttributeChange {
    fn apply(&self, body: &mut Inode, now: Time) {
        if let Some(mode) = self.mode {
            body.mode = body.mode & 0xf000 | mode & 0xfff;
        }
        body.uid = self.uid.unwrap_or(body.uid);
        body.gid = self.gid.unwrap_or(body.gid);
        body.accessed = self.accessed.unwrap_or(body.accessed);
        body.modified = self.modified.unwrap_or(body.modified);
        body.changed = self.changed.unwrap_or(now);
    }

    fn is_only_size(&self) -> bool {
        Self { size: None, ..*self } == Self::default()
    }
}

impl<D: BlockDevice> Ext4<D> {
    /// All attributes of an inode.
    ///
    /// # Errors
    /// `Stale`, `Corrupt`, `Io`.
    pub async fn attributes(&self, number: u32) -> Result<Attributes> {
        let node = self.node(number).await?;
        let body = node.body.read().await;
        self.attributes_of(&node, &body)
    }

    #[inline(always)]
    pub(crate) fn attributes_of(&self, node: &Node, body: &Inode) -> Result<Attributes> {
        let kind = body.kind().ok_or(Error::corrupt_inode("inode mode", body.number))?;
        let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharacterDevice);
        Ok(Attributes {
            inode: body.number,
            generation: body.generation,
            kind,
            mode: body.mode & 0xfff,
            uid: body.uid,
            gid: body.gid,
            links: body.links.into(),
            size: body.size,
            // What is promised to pages that are not written yet counts as taken.
            sectors: body.sectors + node.reservation.lock().promised() * self.sectors_per_block(),
            device: if is_device { body.device() } else { (0, 0) },
            accessed: body.accessed,
            modified: body.modified,
            changed: body.changed,
            created: (body.extra_size >= 24).then_some(body.created),
        })
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// Those of [`Self::truncate`].
    pub async fn set_attributes(&self, number: u32, change: AttributeChange) -> Result<()> {
        if let Some(size) = change.size {
            self.truncate(number, size).await?;
            if change.is_only_size() {
                return Ok(());
            }
        }
        let node = self.node(number).await?;
        let mut body = node.body.write().await;
        let handle = self.begin(2).await?;
        change.apply(&mut body, self.now());
        node.note_change(handle.transaction(), false);
        let outcome = self.store(&handle, &body).await;
        handle.finish(outcome)
    }
}
