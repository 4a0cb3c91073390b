//! Images, good and bad.

use crate::common::{Segment, elf, good_segments};
use proptest::prelude::*;
use serix_abi::PAGE_SIZE;
use serix_abi::map::MapFlags;
use serix_init::image::{Image, ImageError};
use serix_loader::LoadError;
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

/// Whether the loader refuses the segments; it has tests of its own.
fn is_malformed(segments: &[Segment<'_>]) -> bool {
    matches!(error(segments), ImageError::Load(LoadError::Malformed(_)))
}

#[test]
fn each_bad_segment_is_told() {
    let [code, data] = good_segments();
    assert!(is_malformed(&[]));
    assert!(is_malformed(&[code, Segment { memory_size: 1, ..data }]));
    assert!(is_malformed(&[data, code]));
    let write_code = Segment { flags: 7, ..code };
    assert_eq!(error(&[write_code]), ImageError::WritableCode(0));
    for address in [IMAGE_ADDRESS + (64 << 20), IMAGE_ADDRESS + (1 << 39)] {
        assert_eq!(error(&[code, Segment { address, ..data }]), ImageError::Misplaced);
    }
    for address in [0x1000, 0x400000, IMAGE_ADDRESS - 0x10000] {
        assert_eq!(error(&[Segment { address, ..data }, code]), ImageError::Misplaced);
    }
    let same_page = Segment { address: IMAGE_ADDRESS + 200, ..data };
    assert_eq!(error(&[code, same_page]), ImageError::SharedPage(1));
}

#[test]
fn each_bad_header_is_told() {
    let with = |at: usize, value: &[u8]| {
        let mut bytes = elf(&good_segments());
        bytes[at..at + value.len()].copy_from_slice(value);
        Image::parse(&bytes).map(|image| image.pages)
    };
    let not_executable = Err(ImageError::Load(LoadError::NotExecutable));
    assert_eq!(Image::parse(b"").map(|image| image.pages), not_executable);
    assert_eq!(with(0, b"MZ"), not_executable);
    assert_eq!(with(4, &[1]), not_executable);
    assert_eq!(with(18, &183_u16.to_le_bytes()), not_executable);
    assert_eq!(with(16, &3_u16.to_le_bytes()), Err(ImageError::PositionIndependent));
    for (at, value) in [(32, u64::MAX), (32, 1 << 40)] {
        let answer = with(at, &value.to_le_bytes());
        assert!(matches!(answer, Err(ImageError::Load(LoadError::Malformed(_)))), "{answer:?}");
    }
    assert_eq!(with(24, &(IMAGE_ADDRESS + 0x1080).to_le_bytes()), Err(ImageError::BadEntry));
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
