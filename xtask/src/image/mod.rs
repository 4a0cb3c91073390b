//! The root image: a tree of files, made into ext4 inside a GPT disk image.
//!
//! Owns the default tree, the image's layout, the cache of images by their inputs' hash, the
//! image that `--keep` keeps, and the boot disk, which holds loader, kernel and root partition.
//! Invariant: the same inputs give the same bytes, whoever builds them.

pub(crate) mod boot_disk;
mod cache;
pub(crate) mod command;
mod esp;
mod ext4;
mod gpt;
mod keep;
mod skeleton;
mod sparse;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub(crate) use cache::Cached;
pub(crate) use gpt::partition_names;
pub(crate) use keep::Kept;
pub(crate) use tree::Addition;

use crate::places::Places;
use crate::report::Progress;
use tree::Tree;

/// GPT name of the partition that holds the root file system.
pub(crate) const ROOT_PARTITION: &str = "serix-root";
/// Where that partition starts: 1 MiB, as everywhere.
const PARTITION_START: u64 = 1 << 20;

/// What `--rootfs` says.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The distribution's busybox in a small system of its own.
    Busybox(PathBuf),
    /// A folder that holds the whole tree.
    Folder(PathBuf),
    /// A disk image with the partition, or an ext4 file system alone.
    Image(PathBuf),
}

/// The root image for these inputs, from the cache where it is there.
pub(crate) fn root_image(
    places: &Places,
    source: &Source,
    additions: &[Addition],
    progress: &mut Progress,
) -> Result<Cached> {
    match source {
        Source::Image(image) => {
            ensure!(additions.is_empty(), "--add does not go with an image as --rootfs");
            existing(places, image, progress)
        }
        Source::Folder(folder) => {
            let mut tree = Tree::default();
            tree.add(&Addition { host: folder.clone(), guest: "/".into() })?;
            built(places, tree, additions, progress)
        }
        Source::Busybox(busybox) => built(places, skeleton::tree(busybox)?, additions, progress),
    }
}

fn built(
    places: &Places,
    mut tree: Tree,
    additions: &[Addition],
    progress: &mut Progress,
) -> Result<Cached> {
    for addition in additions {
        tree.add(addition)?;
    }
    let hash = tree.hash()?;
    cache::find_or_make(places, &hash, |image, scratch| {
        progress.busy();
        ext4::build(&tree, image, scratch)
    })
}

/// An image that someone else made: a whole disk as it is, a bare file system inside a disk.
fn existing(places: &Places, image: &Path, progress: &mut Progress) -> Result<Cached> {
    let names = partition_names(image);
    if names.as_ref().is_ok_and(|names| names.iter().any(|name| name == ROOT_PARTITION)) {
        return Ok(Cached::foreign(image));
    }
    ensure!(
        ext4::is_file_system(image)?,
        "{} has neither a partition {ROOT_PARTITION} nor an ext4 file system",
        image.display()
    );
    let hash =
        tree::hash_file(image).with_context(|| format!("cannot read {}", image.display()))?;
    cache::find_or_make(places, &hash, |disk, _| {
        progress.busy();
        let length = image.metadata()?.len();
        gpt::create(disk, length)?;
        sparse::copy(image, disk, PARTITION_START)
    })
}
