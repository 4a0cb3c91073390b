//! The EFI system partition: a FAT32 volume, the same bytes for the same files.

use std::io::{Cursor, Write};

use anyhow::{Context, Result};
use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

/// The least that is FAT32 with clusters of one sector, as firmware expects it, and room for more files.
const LEAST: u64 = 64 << 20;
const CLUSTER: u32 = 512;

/// The time of every file: that of the root image's, [`super::tree::EPOCH`].
#[derive(Debug)]
struct FixedTime;

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        Date { year: 2023, month: 11, day: 14 }
    }

    fn get_current_date_time(&self) -> DateTime {
        let time = Time { hour: 22, min: 13, sec: 20, millis: 0 };
        DateTime { date: self.get_current_date(), time }
    }
}

/// A file of the volume: its absolute path, and what it holds.
pub(super) type File = (String, Vec<u8>);

/// The bytes of a volume with these files.
pub(super) fn volume(files: &[File], id: u32) -> Result<Vec<u8>> {
    let used: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let size = (used * 2).next_multiple_of(1 << 20).max(LEAST);
    let size = usize::try_from(size)?;
    let mut bytes = vec![0; size];
    let form = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER)
        .volume_id(id)
        .volume_label(*b"SERIX BOOT ");
    fatfs::format_volume(Cursor::new(&mut bytes), form).context("cannot format the boot volume")?;
    let options = FsOptions::new().time_provider(&FixedTime);
    let volume = FileSystem::new(Cursor::new(&mut bytes), options)?;
    for (path, contents) in files {
        write(&volume, path, contents).with_context(|| format!("cannot write {path}"))?;
    }
    volume.unmount()?;
    Ok(bytes)
}

fn write(
    volume: &FileSystem<Cursor<&mut Vec<u8>>>,
    path: &str,
    contents: &[u8],
) -> std::io::Result<()> {
    let mut folder = volume.root_dir();
    let mut names = path.trim_start_matches('/').split('/').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_some() {
            folder = folder.create_dir(name)?;
            continue;
        }
        let mut file = folder.create_file(name)?;
        file.write_all(contents)?;
        file.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn files() -> Vec<File> {
        let file = |path: &str, bytes: &[u8]| (path.to_owned(), bytes.to_vec());
        let long = vec![7; 3 << 20];
        [file("/EFI/BOOT/BOOTX64.EFI", b"loader"), file("/serix/libos-posix", &long)]
            .into_iter()
            .chain([file("/limine.conf", b"")])
            .collect()
    }

    #[test]
    fn files_are_read_as_they_were_written() {
        let mut bytes = volume(&files(), 7).unwrap();
        assert_eq!(bytes, volume(&files(), 7).unwrap(), "the same files give the same bytes");
        let volume = FileSystem::new(Cursor::new(&mut bytes), FsOptions::new()).unwrap();
        assert_eq!((volume.fat_type(), volume.volume_id()), (FatType::Fat32, 7));
        for (path, contents) in files() {
            let mut found = Vec::new();
            let mut file = volume.root_dir().open_file(&path[1..]).unwrap();
            file.read_to_end(&mut found).unwrap();
            assert!(found == contents, "{path}");
        }
    }
}
