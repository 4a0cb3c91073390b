//! Files that are made when they are opened.
use crate::{
    Credentials, Destination, FileKind, Inode, Metadata, MetadataChange, OpenIntent, Page, Reply,
    Source, VfsError, VfsResult,
};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::any::Any;

/// Longest text that is accepted in one write.
const ACCEPT_MAX: usize = 4096;

/// Makes the contents of a document.
pub trait Contents: Send + Sync + 'static {
    /// The contents now.
    ///
    /// # Errors
    /// `NotFound` if what they tell of is gone, and so on.
    fn generate(&self) -> VfsResult<Vec<u8>>;

    /// Takes what was written in one call.
    ///
    /// # Errors
    /// `Access` unless writing means something here.
    fn accept(&self, written: &[u8]) -> VfsResult<()> {
        let _ = written;
        Err(VfsError::Access)
    }
}

impl<F: Fn() -> VfsResult<Vec<u8>> + Send + Sync + 'static> Contents for F {
    fn generate(&self) -> VfsResult<Vec<u8>> {
        self()
    }
}

/// A file whose contents are made when it is opened.
pub struct Document {
    metadata: Metadata,
    contents: Arc<dyn Contents>,
}

impl Document {
    /// A document with this number and these permission bits, owned by user and group 0.
    #[must_use]
    pub fn new(ino: u64, mode: u32, contents: impl Contents) -> Arc<Self> {
        Self::with(Metadata::unstored(ino, FileKind::Regular, mode), Arc::new(contents))
    }

    /// A document with this metadata.
    #[must_use]
    pub fn with(metadata: Metadata, contents: Arc<dyn Contents>) -> Arc<Self> {
        Arc::new(Self { metadata, contents })
    }
}

impl<P: Page> Inode<P> for Document {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        Reply::done(self.metadata)
    }

    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        refuse_change(change)
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn open<'a>(
        &'a self,
        intent: OpenIntent,
        _credentials: &'a Credentials,
    ) -> Reply<'a, Option<Arc<dyn Inode<P>>>> {
        let bytes = match intent.contains(OpenIntent::READ) {
            true => self.contents.generate(),
            false => Ok(Vec::new()),
        };
        Reply::Ready(bytes.map(|bytes| {
            let opened: Arc<dyn Inode<P>> = Arc::new(Opened {
                metadata: self.metadata,
                contents: self.contents.clone(),
                bytes,
            });
            Some(opened)
        }))
    }
}

/// An emptied document is no change, as with `echo 1 >/proc/sys/x`; others are refused.
pub(super) fn refuse_change<'a>(change: MetadataChange) -> Reply<'a, ()> {
    let only_size = MetadataChange { size: change.size, ..MetadataChange::default() };
    match change == only_size {
        true => Reply::done(()),
        false => Reply::fail(VfsError::Permission),
    }
}

/// The contents as they were when the document was opened.
struct Opened {
    metadata: Metadata,
    contents: Arc<dyn Contents>,
    bytes: Vec<u8>,
}

impl Opened {
    fn take<P>(&self, from: &mut dyn Source<P>) -> VfsResult<usize> {
        let len = from.remaining();
        if len > ACCEPT_MAX {
            return Err(VfsError::Invalid);
        }
        let mut bytes = vec![0; len];
        if from.take(&mut bytes) < len {
            return Err(VfsError::Fault);
        }
        self.contents.accept(&bytes)?;
        Ok(len)
    }
}

impl<P: Page> Inode<P> for Opened {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        Reply::done(Metadata { size: self.bytes.len() as u64, ..self.metadata })
    }

    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        refuse_change(change)
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn read<'a>(
        &'a self,
        offset: u64,
        into: &'a mut dyn Destination<P>,
        _intent: OpenIntent,
    ) -> Reply<'a, usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let part = &rest[..rest.len().min(into.remaining())];
        Reply::Ready(crate::user::transferred(into.put(part), part.len()))
    }

    fn write<'a>(
        &'a self,
        _offset: u64,
        from: &'a mut dyn Source<P>,
        _intent: OpenIntent,
    ) -> Reply<'a, usize> {
        Reply::Ready(self.take(from))
    }
}
