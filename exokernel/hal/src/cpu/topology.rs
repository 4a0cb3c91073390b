//! What CPUID says of the core that asks: its class, whose cache it shares, how fast its TSC runs.
//!
//! Pure but for the reader, so that answers of other processors can stand in for this one's.
use raw_cpuid::{CacheType, CpuId, CpuIdReader};
use serix_abi::info::{CoreInfo, core_class};

/// Hybrid information, one per core (Intel SDM vol. 2A, CPUID leaf 0x1A): bits 31 to 24 of EAX are the kind.
const HYBRID: u32 = 0x1A;
const ATOM: u32 = 0x20;
const CORE: u32 = 0x40;
/// A rate that CPUID tells is believed if it is so near to the measured one: one part in so many.
const NEAR: u64 = 1000;

/// One of [`core_class`].
fn class(reader: &impl CpuIdReader) -> u32 {
    if reader.cpuid1(0).eax < HYBRID {
        return core_class::UNKNOWN;
    }
    match reader.cpuid1(HYBRID).eax >> 24 {
        ATOM => core_class::EFFICIENCY,
        CORE => core_class::PERFORMANCE,
        _ => core_class::UNKNOWN,
    }
}

/// The lowest APIC id among those that share the last cache of the core with this id; the id itself if the CPU does not tell. Two
/// cores share that cache if this is the same for both.
fn cache_group<R: CpuIdReader>(id: &CpuId<R>, apic_id: u32) -> u32 {
    let caches = id.get_cache_parameters().into_iter().flatten();
    let holds_data = |kind| matches!(kind, CacheType::Data | CacheType::Unified);
    let last = caches.filter(|cache| holds_data(cache.cache_type())).max_by_key(|at| at.level());
    // So many ids are reserved for those that share it: a power of two, or the next one.
    let ids = last.map_or(1, |cache| cache.max_cores_for_cache()).next_power_of_two() as u32;
    apic_id & !(ids - 1)
}

/// What is said of the core that `reader` reads on, which has this APIC id.
pub(crate) fn core_from<R: CpuIdReader>(reader: R, apic_id: u32) -> CoreInfo {
    let class = class(&reader);
    let cache_group = cache_group(&CpuId::with_cpuid_reader(reader), apic_id);
    CoreInfo { apic_id, class, cache_group, running: 1 }
}

/// What is said of this core, which has this APIC id.
#[must_use]
pub fn this_core(apic_id: u32) -> CoreInfo {
    core_from(raw_cpuid::CpuIdReaderNative, apic_id)
}

/// The rate of the TSC in hertz: what leaves 0x15 and 0x16 say, if they do and it is about what was measured; else the measured one. (An
/// emulator may pass another machine's leaves on; the base frequency of leaf 0x16 is rounded.)
pub(crate) fn tsc_hertz<R: CpuIdReader>(reader: R, measured: u64) -> u64 {
    let id = CpuId::with_cpuid_reader(reader);
    let told = id.get_tsc_info().and_then(|tsc| {
        let (numerator, denominator) = (tsc.numerator(), tsc.denominator());
        if numerator == 0 || denominator == 0 {
            return None;
        }
        let crystal = u64::from(tsc.nominal_frequency());
        let base =
            || Some(u64::from(id.get_processor_frequency_info()?.processor_base_frequency()));
        match crystal {
            0 => base().map(|mhz| mhz * 1_000_000),
            crystal => Some(crystal * u64::from(numerator) / u64::from(denominator)),
        }
    });
    told.filter(|told| told.abs_diff(measured) <= measured / NEAR).unwrap_or(measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use raw_cpuid::CpuIdResult;

    /// A line of a dump: leaf, subleaf, EAX, EBX, ECX, EDX.
    type Line = [u32; 6];

    /// A processor whose answers are a dump; what is not in it is zero.
    fn of(dump: &'static [Line]) -> impl CpuIdReader {
        move |leaf: u32, subleaf: u32| {
            let line = dump.iter().find(|line| line[..2] == [leaf, subleaf]);
            let [_, _, eax, ebx, ecx, edx] = *line.unwrap_or(&[0; 6]);
            CpuIdResult { eax, ebx, ecx, edx }
        }
    }

    const INTEL: [u32; 3] = [0x756E_6547, 0x6C65_746E, 0x4965_6E69];
    const AMD: [u32; 3] = [0x6874_7541, 0x444D_4163, 0x6974_6E65];

    /// A performance core of an Alder Lake desktop processor: 32 of 128 ids in use, 38.4 MHz crystal.
    const ALDER_LAKE_P: &[Line] = &[
        [0, 0, 0x20, INTEL[0], INTEL[1], INTEL[2]],
        [4, 0, 0xFC00_4121, 0x02C0_003F, 0x3F, 0],
        [4, 1, 0xFC00_4122, 0x01C0_003F, 0x3F, 0],
        [4, 2, 0xFC01_C143, 0x0240_003F, 0x7FF, 0],
        [4, 3, 0xFC1F_C163, 0x0240_003F, 0xBFFF, 4],
        [0x15, 0, 2, 0xA6, 0x0249_F000, 0],
        [0x16, 0, 0xC80, 0x1450, 0x64, 0],
        [0x1A, 0, 0x4000_0001, 0, 0, 0],
    ];
    /// An efficiency core of the same: its second-level cache is shared by four.
    const ALDER_LAKE_E: &[Line] = &[
        [0, 0, 0x20, INTEL[0], INTEL[1], INTEL[2]],
        [4, 0, 0xFC00_4121, 0x01C0_003F, 0x3F, 0],
        [4, 1, 0xFC00_4122, 0x01C0_003F, 0x7F, 0],
        [4, 2, 0xFC01_C143, 0x03C0_003F, 0x7FF, 0],
        [4, 3, 0xFC1F_C163, 0x0240_003F, 0xBFFF, 4],
        [0x15, 0, 2, 0xA6, 0x0249_F000, 0],
        [0x1A, 0, 0x2000_0001, 0, 0, 0],
    ];
    /// A low-power core of a Meteor Lake laptop, apart from the others: no third-level cache.
    const METEOR_LAKE_LOW_POWER: &[Line] = &[
        [0, 0, 0x23, INTEL[0], INTEL[1], INTEL[2]],
        [4, 0, 0xFC00_4121, 0x01C0_003F, 0x3F, 0],
        [4, 1, 0xFC00_4122, 0x01C0_003F, 0x7F, 0],
        [4, 2, 0xFC01_C143, 0x03C0_003F, 0x7FF, 0],
        [0x1A, 0, 0x2000_0002, 0, 0, 0],
    ];
    /// Skylake: not hybrid; the crystal's rate is not told, the base frequency is.
    const SKYLAKE: &[Line] = &[
        [0, 0, 0x16, INTEL[0], INTEL[1], INTEL[2]],
        [4, 0, 0x1C00_4121, 0x01C0_003F, 0x3F, 0],
        [4, 1, 0x1C00_4122, 0x01C0_003F, 0x3F, 0],
        [4, 2, 0x1C00_4143, 0x00C0_003F, 0x3FF, 0],
        [4, 3, 0x1C03_C163, 0x03C0_003F, 0x1FFF, 6],
        [0x15, 0, 2, 0x14E, 0, 0],
        [0x16, 0, 0xFA0, 0x1068, 0x64, 0],
    ];
    /// Zen 3 with two dies of 16 threads, each with its cache; leaf 4 is not AMD's.
    const ZEN_3: &[Line] = &[
        [0, 0, 0x10, AMD[0], AMD[1], AMD[2]],
        [0x8000_0000, 0, 0x8000_0023, AMD[0], AMD[1], AMD[2]],
        [0x8000_001D, 0, 0x0000_4121, 0x01C0_003F, 0x3F, 0],
        [0x8000_001D, 1, 0x0000_4122, 0x01C0_003F, 0x3F, 0],
        [0x8000_001D, 2, 0x0000_4143, 0x01C0_003F, 0x3FF, 2],
        [0x8000_001D, 3, 0x0003_C163, 0x03C0_003F, 0x7FFF, 1],
    ];
    /// One that tells nothing.
    const MUTE: &[Line] = &[[0, 0, 1, INTEL[0], INTEL[1], INTEL[2]]];

    fn core(dump: &'static [Line], apic_id: u32) -> (u32, u32) {
        let CoreInfo { class, cache_group, .. } = core_from(of(dump), apic_id);
        (class, cache_group)
    }

    #[test]
    fn hybrid_cores_have_a_class() {
        assert_eq!(core(ALDER_LAKE_P, 0), (core_class::PERFORMANCE, 0));
        assert_eq!(core(ALDER_LAKE_P, 14), (core_class::PERFORMANCE, 0));
        assert_eq!(core(ALDER_LAKE_E, 0x40), (core_class::EFFICIENCY, 0));
        assert_eq!(core(METEOR_LAKE_LOW_POWER, 0x40), (core_class::EFFICIENCY, 0x40));
        assert_eq!(core(METEOR_LAKE_LOW_POWER, 0x42), (core_class::EFFICIENCY, 0x40));
    }

    #[test]
    fn others_have_none() {
        for (dump, group) in [(SKYLAKE, 0), (ZEN_3, 0), (MUTE, 7)] {
            assert_eq!(core(dump, 7), (core_class::UNKNOWN, group));
        }
    }

    #[test]
    fn groups_are_those_that_share_the_last_cache() {
        assert_eq!(core(ZEN_3, 15).1, 0);
        assert_eq!(core(ZEN_3, 16).1, 16);
        assert_eq!(core(ZEN_3, 31).1, 16);
        assert_eq!(core(SKYLAKE, 16).1, 16, "another package");
    }

    #[test]
    fn the_tsc_rate_is_told_or_measured() {
        assert_eq!(tsc_hertz(of(ALDER_LAKE_P), 3_187_000_000), 3_187_200_000);
        assert_eq!(tsc_hertz(of(SKYLAKE), 4_001_000_000), 4_000_000_000);
        // The base frequency is rounded by eight megahertz: what was measured is better.
        assert_eq!(tsc_hertz(of(SKYLAKE), 4_008_000_000), 4_008_000_000);
        assert_eq!(tsc_hertz(of(SKYLAKE), 1_000_000_000), 1_000_000_000, "an emulator's");
        assert_eq!(tsc_hertz(of(ZEN_3), 3_400_123_456), 3_400_123_456);
        assert_eq!(tsc_hertz(of(MUTE), 5), 5);
    }
}
