//! The devices that are the same for every libOS: null, zero, full, random and urandom.
use crate::vfs::Context;
use crate::{
    Credentials, Destination, DeviceNumber, FileKind, Inode, Metadata, MetadataChange, OpenIntent,
    Page, Reply, Source, Vfs, VfsError, VfsResult,
};
use alloc::sync::Arc;
use core::any::Any;

/// Gives random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Most bytes that one read of random bytes gives, so that none takes for ever.
const RANDOM_READ_MAX: usize = 32 << 20;
/// Most bytes that one read of zeroes gives.
const ZERO_READ_MAX: usize = 1 << 30;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Zero,
    Full,
    Random,
}

/// A memory device, as Linux numbers them under major 1.
struct MemoryDevice {
    kind: Kind,
    number: DeviceNumber,
    entropy: Arc<dyn Entropy>,
}

const STANDARD: [(&[u8], Kind, u32); 5] = [
    (b"/dev/null", Kind::Null, 3),
    (b"/dev/zero", Kind::Zero, 5),
    (b"/dev/full", Kind::Full, 7),
    (b"/dev/random", Kind::Random, 8),
    (b"/dev/urandom", Kind::Random, 9),
];

const MEMORY_MAJOR: u32 = 1;

/// Registers the devices of this module, and makes their nodes in `/dev`, which must be there.
///
/// # Errors
/// Those of making the nodes; that one is there already is none.
pub async fn install<P: Page>(vfs: &Vfs<P>, entropy: Arc<dyn Entropy>) -> VfsResult<()> {
    for (path, kind, minor) in STANDARD {
        let number = DeviceNumber { major: MEMORY_MAJOR, minor };
        let device = MemoryDevice { kind, number, entropy: entropy.clone() };
        vfs.register_device(FileKind::CharDevice, number, Arc::new(device));
        make_node(vfs, path, number, 0o666).await?;
    }
    Ok(())
}

/// Makes the node of a character device as the privileged user, unless the name is taken.
///
/// # Errors
/// Those of [`Vfs::create`] other than `Exists`.
pub async fn make_node<P: Page>(
    vfs: &Vfs<P>,
    path: &[u8],
    number: DeviceNumber,
    mode: u32,
) -> VfsResult<()> {
    let credentials = Credentials::root();
    let context: Context<'_, P> = vfs.root_context(&credentials);
    match vfs.create(context, path, FileKind::CharDevice, mode, number).await {
        Err(VfsError::Exists) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

impl MemoryDevice {
    fn random<P>(&self, into: &mut dyn Destination<P>) -> usize {
        let wanted = into.remaining().min(RANDOM_READ_MAX);
        let mut done = 0;
        while done < wanted {
            let mut bytes = [0; 256];
            let part = (wanted - done).min(bytes.len());
            self.entropy.fill(&mut bytes[..part]);
            let stored = into.put(&bytes[..part]);
            done += stored;
            if stored < part {
                break;
            }
        }
        done
    }
}

impl<P: Page> Inode<P> for MemoryDevice {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        let ino = u64::from(self.number.minor);
        let mut metadata = Metadata::unstored(ino, FileKind::CharDevice, 0o666);
        metadata.device = self.number;
        Reply::done(metadata)
    }

    fn set_metadata(&self, _: MetadataChange) -> Reply<'_, ()> {
        Reply::fail(VfsError::Permission)
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn read<'a>(
        &'a self,
        _offset: u64,
        into: &'a mut dyn Destination<P>,
        _intent: OpenIntent,
    ) -> Reply<'a, usize> {
        let wanted = into.remaining();
        let (done, wanted) = match self.kind {
            Kind::Null => (0, 0),
            Kind::Zero | Kind::Full => (into.put_zeroes(wanted.min(ZERO_READ_MAX)), wanted),
            Kind::Random => (self.random(into), wanted),
        };
        Reply::Ready(crate::user::transferred(done, wanted))
    }

    fn write<'a>(
        &'a self,
        _offset: u64,
        from: &'a mut dyn Source<P>,
        _intent: OpenIntent,
    ) -> Reply<'a, usize> {
        match self.kind {
            Kind::Full => Reply::fail(VfsError::NoSpace),
            // What is written is not looked at: entropy from programs is not needed.
            _ => Reply::done(from.remaining()),
        }
    }
}
