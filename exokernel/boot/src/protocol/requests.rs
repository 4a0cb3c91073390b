//! Finding the kernel's requests in its loaded image.
//!
//! A request is 8-byte aligned: four words of id, a revision, a slot for the response's address,
//! and fields of its own. Invariant: a [`Found`] lies inside the image with all fields that its
//! feature has in revision 0.

use alloc::vec::Vec;

use super::BASE_REVISION;
use crate::error::Error;

const START_MARKER: [u64; 4] =
    [0xf6b8_f4b3_9de7_d1ae, 0xfab9_1a69_40fc_b9cf, 0x785c_6ed0_15d3_e316, 0x181e_920a_7852_b9d9];
const END_MARKER: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];
const BASE_REVISION_TAG: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];
const COMMON: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];

const REVISION: usize = 4;
const RESPONSE: usize = 5;
const FIELDS: usize = 6;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident: $first:literal, $second:literal, $fields:literal;)*) => {
        /// What a kernel can ask this loader for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Feature { $($(#[$doc])* $name,)* }

        impl Feature {
            fn from_id(id: [u64; 2]) -> Option<Feature> {
                match id { $([$first, $second] => Some(Feature::$name),)* _ => None }
            }

            /// Words after the response slot in revision 0.
            fn field_count(self) -> usize {
                match self { $(Feature::$name => $fields,)* }
            }
        }
    };
}

features! {
    /// Name and version of the loader.
    BootloaderInfo: 0xf550_38d8_e2a1_202f, 0x2794_26fc_f5f5_9740, 0;
    /// Command line of the kernel.
    ExecutableCmdline: 0x4b16_1536_e598_651e, 0xb390_ad4a_2f1f_303a, 0;
    /// BIOS or UEFI.
    FirmwareType: 0x8c2f_75d9_0bef_28a8, 0x7045_a468_8eac_00c3, 0;
    /// A stack of at least so many bytes.
    StackSize: 0x224e_f046_0a8e_8926, 0xe1cb_0fc2_5f46_ea3d, 1;
    /// Where the direct map starts.
    Hhdm: 0x48dc_f1cb_8ad2_b852, 0x6398_4e95_9a98_244b, 0;
    /// Framebuffers.
    Framebuffer: 0x9d58_27dc_d881_dd75, 0xa314_8604_f6fa_b11b, 0;
    /// Four or five levels of paging.
    PagingMode: 0x95c1_a0ed_ab09_44cb, 0xa4e5_cb38_42f7_488a, 1;
    /// Start of the other CPUs.
    Mp: 0x95a6_7b81_9a1b_857e, 0xa0b6_1b72_3b6a_73e0, 1;
    /// The memory map.
    MemoryMap: 0x67cf_3d9d_378a_806f, 0xe304_acdf_c50c_3c62, 0;
    /// Another entry point than the ELF file's.
    EntryPoint: 0x13d8_6c03_5a1c_d3e1, 0x2b0c_aa89_d8f3_026a, 1;
    /// The kernel's own file.
    ExecutableFile: 0xad97_e90e_83f1_ed67, 0x31eb_5d1c_5ff2_3b69, 0;
    /// The modules.
    Module: 0x3e7e_2797_02be_32af, 0xca1c_4f3b_d128_0cee, 0;
    /// The ACPI root pointer.
    Rsdp: 0xc5e7_7b6b_397e_7b43, 0x2763_7845_accd_cf3c, 0;
    /// Seconds since 1970 at boot.
    DateAtBoot: 0x5027_46e1_84c0_88aa, 0xfbc5_ec83_e632_7893, 0;
    /// Physical and virtual base of the kernel.
    ExecutableAddress: 0x71ba_7686_3cc5_5f63, 0xb264_4a48_c516_a487, 0;
}

/// A request in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What is asked for.
    pub feature: Feature,
    at: usize,
}

/// The loaded image with its requests.
#[derive(Debug)]
pub struct Requests<'a> {
    image: &'a mut [u64],
    found: Vec<Found>,
}

impl<'a> Requests<'a> {
    /// Finds all requests in `image` and acknowledges its base revision tag.
    ///
    /// A tag above [`BASE_REVISION`] stays unacknowledged, as the protocol wants it: the kernel
    /// sees that it runs under revision 4 and decides.
    ///
    /// # Errors
    /// [`Error::BaseRevision`] for a tag below it or no tag (which means revision 0);
    /// [`Error::Protocol`] when a request occurs twice or is cut off by the image's end.
    pub fn scan(image: &'a mut [u64]) -> Result<Requests<'a>, Error> {
        let range = between_markers(image);
        acknowledge(&mut image[range.clone()])?;
        let mut found: Vec<Found> = Vec::new();
        let mut from = range.start;
        while let Some(at) = find(&image[from..range.end], &COMMON).map(|at| from + at) {
            from = at + COMMON.len();
            let id = image[from..].first_chunk::<2>().copied();
            let Some(feature) = id.and_then(Feature::from_id) else { continue };
            if at + FIELDS + feature.field_count() > image.len() {
                return Err(Error::Protocol("a request is cut off by the image's end"));
            }
            if found.iter().any(|other| other.feature == feature) {
                return Err(Error::Protocol("the same request twice"));
            }
            found.push(Found { feature, at });
        }
        Ok(Requests { image, found })
    }

    /// The request for `feature`, if the kernel makes it.
    #[must_use]
    pub fn get(&self, feature: Feature) -> Option<Found> {
        self.found.iter().copied().find(|found| found.feature == feature)
    }

    /// All requests, in the image's order.
    #[must_use]
    pub fn all(&self) -> Vec<Found> {
        self.found.clone()
    }

    /// The revision that a request is made in.
    #[must_use]
    pub fn revision(&self, request: Found) -> u64 {
        self.image[request.at + REVISION]
    }

    /// Field number `index` of a request, if it lies in the image.
    #[must_use]
    pub fn field(&self, request: Found, index: usize) -> Option<u64> {
        self.image.get(request.at + FIELDS + index).copied()
    }

    /// The first field of the request for `feature`, if the kernel makes that request.
    #[must_use]
    pub fn field_of(&self, feature: Feature) -> Option<u64> {
        self.get(feature).and_then(|request| self.field(request, 0))
    }

    /// Stores the response's address.
    pub fn answer(&mut self, request: Found, address: u64) {
        self.image[request.at + RESPONSE] = address;
    }
}

fn between_markers(image: &[u64]) -> core::ops::Range<usize> {
    let start = find(image, &START_MARKER).map_or(0, |at| at + START_MARKER.len());
    let end = find(&image[start..], &END_MARKER);
    start..end.map_or(image.len(), |at| start + at)
}

/// Where `pattern` begins. Compares one word at first: images are large, and this runs on each boot.
fn find(image: &[u64], pattern: &[u64]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = image[from..].iter().position(|word| *word == pattern[0]) {
        if image[from + at..].starts_with(pattern) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn acknowledge(image: &mut [u64]) -> Result<(), Error> {
    let tag = find(image, &BASE_REVISION_TAG).ok_or(Error::BaseRevision(0))?;
    let revision = image.get_mut(tag + 2).ok_or(Error::BaseRevision(0))?;
    match *revision {
        BASE_REVISION => *revision = 0,
        older if older < BASE_REVISION => return Err(Error::BaseRevision(older)),
        _ => {}
    }
    image[tag + 1] = BASE_REVISION;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use limine::BaseRevision;
    use limine::request::*;

    /// The words of a request as crate `limine` lays it out.
    pub(crate) fn words<T>(value: &T) -> Vec<u64> {
        assert_eq!((size_of::<T>() % 8, align_of::<T>()), (0, 8));
        let start = core::ptr::from_ref(value).cast::<u64>();
        // SAFETY: 1. `value` is size_of::<T>() bytes of words without padding (requests are
        // `repr(C)` structures of 64-bit fields). 2. The copy ends before the borrow does.
        unsafe { core::slice::from_raw_parts(start, size_of::<T>() / 8) }.to_vec()
    }

    fn image(parts: &[Vec<u64>]) -> Vec<u64> {
        parts.concat()
    }

    #[test]
    fn requests_of_crate_limine_are_found() {
        let mut image = image(&[
            vec![1, 2, 3],
            words(&BaseRevision::with_revision(4)),
            words(&HhdmRequest::new()),
            vec![7],
            words(&StackSizeRequest::new().with_size(0x12345)),
        ]);
        let mut requests = Requests::scan(&mut image).unwrap();
        let features: Vec<_> = requests.all().iter().map(|f| f.feature).collect();
        assert_eq!(features, [Feature::Hhdm, Feature::StackSize]);
        assert_eq!(requests.field_of(Feature::StackSize), Some(0x12345));
        assert_eq!(requests.field_of(Feature::Mp), None);
        let hhdm = requests.get(Feature::Hhdm).unwrap();
        requests.answer(hhdm, 42);
        assert_eq!(image[4..6], [4, 0], "revision 4 is acknowledged");
        assert_eq!(image[6 + RESPONSE], 42);
    }

    #[test]
    fn every_request_of_the_crate_has_its_feature() {
        let parts = [
            words(&BaseRevision::with_revision(4)),
            words(&BootloaderInfoRequest::new()),
            words(&ExecutableCmdlineRequest::new()),
            words(&FirmwareTypeRequest::new()),
            words(&StackSizeRequest::new()),
            words(&HhdmRequest::new()),
            words(&FramebufferRequest::new()),
            words(&PagingModeRequest::new()),
            words(&MpRequest::new()),
            words(&MemoryMapRequest::new()),
            words(&ExecutableFileRequest::new()),
            words(&ModuleRequest::new()),
            words(&RsdpRequest::new()),
            words(&DateAtBootRequest::new()),
            words(&ExecutableAddressRequest::new()),
        ];
        let mut image = image(&parts);
        assert_eq!(Requests::scan(&mut image).unwrap().all().len(), parts.len() - 1);
    }

    #[test]
    fn markers_bound_the_search() {
        let mut image = image(&[
            words(&HhdmRequest::new()),
            words(&RequestsStartMarker::new()),
            words(&BaseRevision::with_revision(4)),
            words(&RsdpRequest::new()),
            words(&RequestsEndMarker::new()),
            words(&MemoryMapRequest::new()),
        ]);
        let requests = Requests::scan(&mut image).unwrap();
        let features: Vec<_> = requests.all().iter().map(|f| f.feature).collect();
        assert_eq!(features, [Feature::Rsdp]);
    }

    #[test]
    fn base_revisions() {
        let scan = |revision| {
            let mut image = words(&BaseRevision::with_revision(revision));
            Requests::scan(&mut image).map(drop).map(|()| image)
        };
        assert_eq!(scan(4).unwrap()[1..], [4, 0]);
        assert_eq!(scan(6).unwrap()[1..], [4, 6], "not acknowledged");
        assert_eq!(scan(3), Err(Error::BaseRevision(3)));
        assert_eq!(Requests::scan(&mut [0; 9]).map(drop), Err(Error::BaseRevision(0)));
    }

    #[test]
    fn doubled_and_cut_requests_are_refused() {
        let tag = words(&BaseRevision::with_revision(4));
        let hhdm = words(&HhdmRequest::new());
        let mut doubled = image(&[tag.clone(), hhdm.clone(), hhdm.clone()]);
        let refused = Requests::scan(&mut doubled).map(drop);
        assert_eq!(refused, Err(Error::Protocol("the same request twice")));
        for length in 4..hhdm.len() {
            let mut cut = image(&[tag.clone(), hhdm[..length].to_vec()]);
            assert!(Requests::scan(&mut cut).is_err(), "{length}");
        }
    }
}
