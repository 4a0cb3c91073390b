//! Images, good and bad.

use crate::common::{Segment, elf, good_segments};
use proptest::prelude::*;
use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_init::image::{Image, ImageError};
use serix_session::IMAGE_ADDRESS;

fn error(segments: &[Segment<'_>]) -> ImageError {
    Image::parse(&elf(segments)).unwrap_err()
}

#[test]
fn a_good_image_says_what_goes_where() {
    let bytes = elf(&good_segments());
    let image = Image::parse(&bytes).unwrap();
    assert_eq!((image.pages, image.entry), (4, IMAGE_ADDRESS));
    let [code, data] = image.segments[..] else { panic!("two segments") };
    assert_eq!((code.first_page, code.pages, code.flags), (0, 1, MapFlags::default()));
    assert_eq!((data.first_page, data.pages), (1, 3));
    assert_eq!(data.flags, MapFlags::WRITE.with(MapFlags::NO_EXECUTE));
    let page = |number| {
        let mut page = [0; PAGE_SIZE];
        image.fill(number, &mut page);
        page
    };
    assert!(page(0)[..100].iter().all(|&byte| byte == 0xC3));
    assert!(page(0)[100..].iter().all(|&byte| byte == 0));
    assert_eq!(&page(1)[0x80..0x84], b"data");
    assert_eq!(page(1).iter().filter(|&&byte| byte != 0).count(), 4);
    assert_eq!(page(2), [0; PAGE_SIZE]);
}

#[test]
fn each_bad_segment_is_told() {
    let [code, data] = good_segments();
    assert_eq!(error(&[]), ImageError::Empty);
    assert_eq!(error(&[data]), ImageError::BadEntry);
    let write_code = Segment { flags: 7, ..code };
    assert_eq!(error(&[write_code]), ImageError::WritableCode(0));
    assert_eq!(error(&[code, Segment { memory_size: 1, ..data }]), ImageError::Truncated(1));
    for address in [0, 0x400000, IMAGE_ADDRESS - 1, IMAGE_ADDRESS + (64 << 20), u64::MAX] {
        assert_eq!(error(&[code, Segment { address, ..data }]), ImageError::Misplaced(1));
    }
    let huge = Segment { memory_size: u64::MAX, ..data };
    assert_eq!(error(&[code, huge]), ImageError::Misplaced(1));
    let same_page = Segment { address: IMAGE_ADDRESS + 200, ..data };
    assert_eq!(error(&[code, same_page]), ImageError::Overlap(1));
    assert_eq!(error(&[data, code]), ImageError::Overlap(1));
}

#[test]
fn each_bad_header_is_told() {
    let with = |at: usize, value: &[u8]| {
        let mut bytes = elf(&good_segments());
        bytes[at..at + value.len()].copy_from_slice(value);
        Image::parse(&bytes).map(|image| image.pages)
    };
    assert_eq!(Image::parse(b""), Err(ImageError::NotElf));
    assert_eq!(with(0, b"MZ"), Err(ImageError::NotElf));
    assert_eq!(with(4, &[1]), Err(ImageError::NotExecutable));
    assert_eq!(with(16, &3_u16.to_le_bytes()), Err(ImageError::NotExecutable));
    assert_eq!(with(18, &183_u16.to_le_bytes()), Err(ImageError::NotExecutable));
    assert_eq!(with(32, &u64::MAX.to_le_bytes()), Err(ImageError::BadHeaders));
    assert_eq!(with(32, &68_u64.to_le_bytes()), Err(ImageError::BadHeaders));
    assert_eq!(with(54, &0_u16.to_le_bytes()), Err(ImageError::BadHeaders));
    assert_eq!(with(56, &u16::MAX.to_le_bytes()), Err(ImageError::BadHeaders));
    assert_eq!(with(24, &(IMAGE_ADDRESS + 0x1080).to_le_bytes()), Err(ImageError::BadEntry));
    assert_eq!(with(24, &u64::MAX.to_le_bytes()), Err(ImageError::BadEntry));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = bytes;
        check(&bytes)?;
        let magic = [0x7F, b'E', b'L', b'F', 2, 1, 1, 0];
        let length = bytes.len().min(8);
        bytes[..length].copy_from_slice(&magic[..length]);
        check(&bytes)?;
    }

    #[test]
    fn damaged_images_are_read_or_refused(
        at in 0_usize..176, value in any::<u64>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = elf(&good_segments());
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        check(&bytes)?;
        check(&bytes[..cut.index(bytes.len())])?;
    }
}

/// What the invariant of `Image` promises.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(image) = Image::parse(bytes) else { return Ok(()) };
    prop_assert!(image.pages <= 16 * 1024);
    let mut end = 0;
    for segment in &image.segments {
        prop_assert!(segment.first_page >= end && segment.pages > 0);
        end = segment.first_page + segment.pages;
        let is_code = !segment.flags.has(MapFlags::NO_EXECUTE);
        prop_assert!(!(is_code && segment.flags.has(MapFlags::WRITE)));
        image.fill(segment.first_page, &mut [0; PAGE_SIZE]);
        image.fill(end - 1, &mut [0; PAGE_SIZE]);
    }
    Ok(())
}
