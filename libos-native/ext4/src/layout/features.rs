//! Feature flags: which are understood, and how a mount answers to the others.
use crate::error::Error;

/// Compatible features: ignoring them is safe.
pub(crate) mod compatible {
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const DIR_INDEX: u32 = 0x20;
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;
}

/// Read-only-compatible features: who does not know them may not write.
pub(crate) mod read_only {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const LARGE_FILE: u32 = 0x2;
    pub(crate) const HUGE_FILE: u32 = 0x8;
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const DIR_NLINK: u32 = 0x20;
    pub(crate) const EXTRA_ISIZE: u32 = 0x40;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    pub(crate) const ORPHAN_PRESENT: u32 = 0x1_0000;
    /// Everything that is written right.
    pub(crate) const KNOWN: u32 = SPARSE_SUPER
        | LARGE_FILE
        | HUGE_FILE
        | GDT_CSUM
        | DIR_NLINK
        | EXTRA_ISIZE
        | METADATA_CSUM
        | ORPHAN_PRESENT;
}

/// Incompatible features: who does not know them may not even read.
pub(crate) mod incompatible {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BIT64: u32 = 0x80;
    pub(crate) const FLEX_BG: u32 = 0x200;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGEDIR: u32 = 0x4000;
    /// Everything that is understood.
    pub(crate) const KNOWN: u32 =
        FILETYPE | RECOVER | META_BG | EXTENTS | BIT64 | FLEX_BG | CSUM_SEED | LARGEDIR;
}

const INCOMPATIBLE_NAMES: [(u32, &str); 9] = [
    (0x1, "compression"),
    (0x8, "journal_dev"),
    (0x100, "mmp"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
    (u32::MAX, "an unknown incompatible feature"),
];

const READ_ONLY_NAMES: [(u32, &str); 9] = [
    (0x4, "btree_dir"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x800, "replica"),
    (0x1000, "readonly"),
    (0x2000, "project"),
    (0x8000, "verity"),
    (u32::MAX, "an unknown read-only-compatible feature"),
];

fn first_name(unknown: u32, names: &[(u32, &'static str)]) -> Option<&'static str> {
    names.iter().find(|(flag, _)| unknown & flag != 0).map(|(_, name)| *name)
}

/// The three words of feature flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) compatible: u32,
    pub(crate) incompatible: u32,
    pub(crate) read_only: u32,
}

impl Features {
    /// Fails with the name of the first feature without which nothing can be read right.
    pub(crate) fn check_readable(self) -> Result<(), Error> {
        match first_name(self.incompatible & !incompatible::KNOWN, &INCOMPATIBLE_NAMES) {
            Some(name) => Err(Error::Unsupported(name)),
            None => Ok(()),
        }
    }

    /// The name of the first feature that forbids writing.
    pub(crate) fn forbids_writing(self) -> Option<&'static str> {
        first_name(self.read_only & !read_only::KNOWN, &READ_ONLY_NAMES)
    }

    pub(crate) fn compatible(self, flag: u32) -> bool {
        self.compatible & flag != 0
    }

    pub(crate) fn incompatible(self, flag: u32) -> bool {
        self.incompatible & flag != 0
    }

    pub(crate) fn read_only(self, flag: u32) -> bool {
        self.read_only & flag != 0
    }
}
