//! Copies that keep holes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::SeekFrom as Sparse;
use rustix::io::Errno;

/// Copies what `from` holds to `to`, from `offset` on; `to` exists and is longer, or is made.
pub(super) fn copy(from: &Path, to: &Path, offset: u64) -> Result<()> {
    let length = from.metadata().map(|metadata| metadata.len());
    let length = length.with_context(|| format!("cannot read {}", from.display()))?;
    copy_part(from, 0..length, to, offset)
}

/// Copies what `from` holds in `part` to `to`, where the part begins at `offset`.
pub(super) fn copy_part(from: &Path, part: Range<u64>, to: &Path, offset: u64) -> Result<()> {
    copy_data(from, part, to, offset)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn copy_data(from: &Path, part: Range<u64>, to: &Path, offset: u64) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = File::options().write(true).create(true).truncate(false).open(to)?;
    if to.metadata()?.len() < offset + (part.end - part.start) {
        to.set_len(offset + (part.end - part.start))?;
    }
    let mut at = part.start;
    while let Some((start, end)) = next_data(&from, at, part.end)? {
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(offset + (start - part.start)))?;
        io::copy(&mut (&mut from).take(end - start), &mut to)?;
        at = end;
    }
    to.flush()
}

/// The next stretch of data from `at` to `length`.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    match rustix::fs::seek(file, Sparse::Data(at)) {
        Ok(start) if start >= length => Ok(None),
        Ok(start) => {
            let end = rustix::fs::seek(file, Sparse::Hole(start))?;
            Ok(Some((start, end.min(length))))
        }
        Err(Errno::NXIO) => Ok(None),
        // A file system that knows no holes.
        Err(Errno::INVAL) => Ok(Some((at, length))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn data_is_copied_and_holes_stay_holes() {
        let folder = std::env::temp_dir().join(format!("serix-sparse-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"middle", 40 << 20).unwrap();
        copy(&from, &to, 1 << 20).unwrap();
        let copied = File::open(&to).unwrap();
        let mut bytes = [0; 8];
        copied.read_exact_at(&mut bytes, (41 << 20) - 1).unwrap();
        assert_eq!(&bytes, b"\0middle\0");
        let metadata = copied.metadata().unwrap();
        assert_eq!(metadata.len(), 65 << 20);
        assert!(metadata.blocks() * 512 < 8 << 20, "{} blocks", metadata.blocks());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
