//! Images by the hash of their inputs.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::build::Lock;
use crate::places::{Places, create_folder};

/// Images that are kept when nobody uses them.
const KEPT: usize = 6;

/// An image that stays as it is while this is held.
#[derive(Debug)]
pub(crate) struct Cached {
    /// The image; not to be written.
    pub(crate) image: PathBuf,
    /// The hash of its inputs; empty for an image of someone else's.
    pub(crate) hash: String,
    _lock: Option<Lock>,
}

impl Cached {
    /// An image of the user's own.
    pub(super) fn foreign(image: &Path) -> Self {
        Self { image: image.to_owned(), hash: String::new(), _lock: None }
    }
}

/// The image with this hash; if there is none, `make` writes it, with an empty folder to work in.
pub(super) fn find_or_make(
    places: &Places,
    hash: &str,
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<Cached> {
    let folder = places.serix_folder("images")?;
    let _turn = Lock::wait(&folder.join("lock"))?;
    let image = folder.join(format!("{hash}.img"));
    if !image.exists() {
        prune(&folder);
        let scratch = folder.join("new");
        // What a killed run left is in the way.
        let _ = std::fs::remove_dir_all(&scratch);
        create_folder(&scratch)?;
        let new = scratch.join("image");
        let made = make(&new, &scratch);
        let placed =
            made.and_then(|()| std::fs::rename(&new, &image).context("cannot keep the image"));
        std::fs::remove_dir_all(&scratch).context("cannot clean up behind the image")?;
        placed?;
    }
    let lock = Lock::share(&image)?;
    // The time of the last use decides what is pruned; a file system without times prunes worse.
    let _ = std::fs::File::options().append(true).open(&image)?.set_modified(SystemTime::now());
    Ok(Cached { image, hash: hash.to_owned(), _lock: lock })
}

/// Removes the images used longest ago that nobody uses.
fn prune(folder: &Path) {
    let Ok(entries) = folder.read_dir() else { return };
    let images =
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "img"));
    let mut images: Vec<_> = images
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    images.sort();
    let spare = (images.len() + 1).saturating_sub(KEPT);
    for (_, image) in images.into_iter().take(spare) {
        if let Ok(Some(_lock)) = Lock::take(&image) {
            // An image that cannot be removed costs room, nothing else.
            let _ = std::fs::remove_file(&image);
        }
    }
}
