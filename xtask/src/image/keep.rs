//! The image of `--keep`: written by the guest and found again next time.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::{Cached, sparse};
use crate::build::Lock;
use crate::places::Places;

/// The kept image, for one run at a time.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The image, which the guest writes.
    pub(crate) image: PathBuf,
    _lock: Lock,
}

impl Kept {
    /// Finds the kept image, or makes it as a copy of `base`.
    ///
    /// # Errors
    /// Another run has it, or its inputs changed and `fresh` is not asked for.
    pub(crate) fn open(places: &Places, base: &Cached, fresh: bool) -> Result<Self> {
        let folder = places.serix_folder(".")?;
        let (image, inputs) = (folder.join("root.img"), folder.join("root.img.inputs"));
        let shown = image.display();
        let Some(lock) = Lock::take(&folder.join("root.img.lock"))? else {
            bail!("{shown} is in use by another run");
        };
        ensure!(!base.hash.is_empty(), "--keep does not go with a disk image as --rootfs");
        if image.exists() && !fresh {
            let made_from = std::fs::read_to_string(&inputs).unwrap_or_default();
            ensure!(
                made_from == base.hash,
                "what goes into {shown} has changed since it was made; --fresh makes it anew and \
                 loses what it holds"
            );
            return Ok(Self { image, _lock: lock });
        }
        let new = folder.join("root.img.new");
        // What a killed run left is in the way, and need not be there.
        let _ = std::fs::remove_file(&new);
        sparse::copy(&base.image, &new, 0)?;
        std::fs::rename(&new, &image).with_context(|| format!("cannot make {shown}"))?;
        // Last: an image without its inputs is refused, one with those of another would not be.
        std::fs::write(&inputs, &base.hash).context("cannot write root.img.inputs")?;
        Ok(Self { image, _lock: lock })
    }
}
