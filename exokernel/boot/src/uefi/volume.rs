//! Files of the boot volume, read whole into memory of their own below 4 GiB.

use core::ops::Range;
use core::slice;

use serix_boot::error::Error;
use uefi::boot::{self, AllocateType, MemoryType, PAGE_SIZE};
use uefi::proto::media::file::{Directory, File, FileAttribute, FileInfo, FileMode, RegularFile};
use uefi::{CStr16, Status};

const MAX_PATH: usize = 256;
const BELOW_4_GIB: u64 = 0xffff_ffff;

/// The root of the volume that the firmware loaded this program from.
pub(super) struct Volume {
    root: Directory,
}

impl Volume {
    pub(super) fn open() -> Result<Volume, Error> {
        let system = boot::get_image_file_system(boot::image_handle());
        let root = system.and_then(|mut system| system.open_volume());
        let root = root.map_err(|_| Error::Firmware("the boot volume cannot be opened"))?;
        Ok(Volume { root })
    }

    /// The file's physical bytes, or `None` when there is no such file.
    pub(super) fn read(&mut self, path: &str) -> Result<Option<Range<u64>>, Error> {
        let mut name = [0; MAX_PATH];
        let path = path.replace('/', "\\");
        let path = CStr16::from_str_with_buf(&path, &mut name);
        let path = path.map_err(|_| Error::Firmware("a path is too long for UEFI"))?;
        let opened = self.root.open(path, FileMode::Read, FileAttribute::empty());
        let handle = match opened {
            Ok(handle) => handle,
            Err(error) if error.status() == Status::NOT_FOUND => return Ok(None),
            Err(_) => return Err(UNREADABLE),
        };
        handle.into_regular_file().map(read_whole).transpose()
    }
}

const UNREADABLE: Error = Error::Firmware("a file on the boot volume cannot be read");

/// FileInfo's fixed part is 80 bytes, then comes the name.
#[repr(align(8))]
struct InfoBuffer([u8; 80 + 2 * MAX_PATH]);

fn read_whole(mut file: RegularFile) -> Result<Range<u64>, Error> {
    let mut buffer = InfoBuffer([0; 80 + 2 * MAX_PATH]);
    let info = file.get_info::<FileInfo>(&mut buffer.0).map_err(|_| UNREADABLE)?;
    let size = usize::try_from(info.file_size()).map_err(|_| UNREADABLE)?;
    let pages = size.div_ceil(PAGE_SIZE).max(1);
    let place = AllocateType::MaxAddress(BELOW_4_GIB);
    let memory = boot::allocate_pages(place, MemoryType::LOADER_DATA, pages);
    let memory = memory.map_err(|_| Error::OutOfMemory(size as u64, "a file"))?;
    // SAFETY: 1. The firmware gave these pages to this program alone. 2. `write_bytes` initialises
    // them before they are borrowed.
    let bytes = unsafe {
        memory.write_bytes(0, pages * PAGE_SIZE);
        slice::from_raw_parts_mut(memory.as_ptr(), size)
    };
    let mut done = 0;
    while done < size {
        match file.read(&mut bytes[done..]) {
            Ok(0) | Err(_) => return Err(UNREADABLE),
            Ok(count) => done += count,
        }
    }
    let start = memory.as_ptr() as u64;
    Ok(start..start + size as u64)
}

/// The bytes of a file that was read.
pub(super) fn bytes(range: &Range<u64>) -> &'static [u8] {
    // SAFETY: 1. Ranges come from `read_whole`, which initialised them. 2. Nobody writes to them or
    // frees them. 3. UEFI maps memory identically.
    unsafe { slice::from_raw_parts(range.start as *const u8, (range.end - range.start) as usize) }
}
