//! Mounting: reading the superblock and the groups, replaying the journal, finishing orphans.
use crate::allocator::{Counts, Group, check_group, protection};
use crate::cache::Cache;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::file_system::{Ext4, Options};
use crate::inode::Nodes;
use crate::journal::{Journal, Log, Part};
use crate::kind::{Kind, Rules};
use crate::layout::directory;
use crate::layout::features::incompatible;
use crate::layout::group::{self, Descriptor};
use crate::layout::inode::ROOT;
use crate::layout::journal;
use crate::layout::superblock::{self, Changing, Superblock};
use crate::map::State;
use crate::name_hash::Hasher;
use crate::orphan::Orphans;
use crate::zones::Zones;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use serix_block::{BlockDevice, Page, SECTOR_SIZE};
use spin::Mutex;

/// Least blocks of one transaction that the largest operation fits in.
const MIN_TRANSACTION: usize = 192;
/// Descriptor blocks that are read at once.
const READ_AHEAD: u32 = 16;

impl<D: BlockDevice> Ext4<D> {
    /// Mounts the file system on a device. A journal that a crash left behind is replayed first.
    ///
    /// # Errors
    /// `NotExt4`, `Unsupported` with the feature's name, `Corrupt`, `Io`, `NoMemory`.
    pub async fn mount(device: D, options: Options) -> Result<Arc<Self>> {
        let (parsed, torn) = find_superblock(&device).await?;
        let needs_recovery = parsed.features.incompatible(incompatible::RECOVER);
        let mut mounted = Self::assemble(device, parsed, options.clone()).await?;
        if needs_recovery && mounted.rules.superblock.has_journal() {
            let mut log = mounted.find_log().await?;
            log.recover(&mounted.disk).await?;
            // Everything that was read may be older than what was replayed.
            let device = mounted.disk.into_device();
            let (parsed, _) = find_superblock(&device).await?;
            mounted = Self::assemble(device, parsed, options).await?;
        }
        // Either way the superblock is written again at the latest at unmount.
        mounted.prepare(needs_recovery || torn).await?;
        Ok(Arc::new(mounted))
    }

    /// What needs no journal: superblock, groups, caches.
    async fn assemble(device: D, parsed: Superblock, options: Options) -> Result<Self> {
        let block_size = parsed.block_size;
        let disk = Disk::new(device, block_size);
        if parsed.blocks > disk.blocks() {
            return Err(Error::corrupt_block("file system larger than the device", parsed.blocks));
        }
        let mut rules = rules(parsed);
        let protection = protection(&rules.superblock);
        let groups = read_groups(&disk, &rules.superblock, protection).await?;
        rules.zones = Zones::new(&rules.superblock, &groups);
        let superblock = &rules.superblock;
        let cache_blocks = (options.cache_bytes / block_size).max(MIN_TRANSACTION * 2);
        let cache = Cache::new(cache_blocks, block_size);
        let place = (superblock::OFFSET / block_size) as u64;
        let superblock_buffer = read_pinned(&disk, &cache, place).await?;
        let hasher =
            Hasher::new(superblock.hash_version, superblock.hash_unsigned, superblock.hash_seed);
        let read_only = options.read_only || superblock.features.forbids_writing().is_some();
        let limit = (cache_blocks / 4).max(MIN_TRANSACTION);
        let mounted = Self {
            counts: counts(&groups),
            journal: Journal::new(None, 1, limit),
            nodes: Nodes::default(),
            orphans: Orphans::default(),
            rename_lock: async_lock::Mutex::new(()),
            marked_dirty: AtomicBool::new(false),
            hasher: hasher.ok_or(Error::Unsupported("hash version of directories"))?,
            disk,
            options,
            rules,
            protection,
            superblock_buffer,
            groups,
            cache,
            read_only,
        };
        Ok(mounted)
    }

    /// Opens the log, reads the orphans and finishes them.
    async fn prepare(&mut self, was_dirty: bool) -> Result<()> {
        let limit = self.journal.limit;
        self.set_marked_dirty(was_dirty);
        let first_orphan = self.superblock_buffer.read(|bytes| {
            let at = superblock::OFFSET % bytes.len();
            Changing::parse(&bytes[at..], self.rules.superblock.features).last_orphan
        });
        if !self.read_only && self.rules.superblock.has_journal() {
            let log = self.find_log().await?;
            let limit = limit.min(log.capacity() as usize / 3);
            let first = log.superblock.sequence;
            self.journal = Journal::new(Some(log), first, limit);
        }
        self.any_node(ROOT).await?;
        if let Some(name) = self.rules.superblock.features.forbids_writing()
            && !self.options.read_only
        {
            (self.options.log)(format_args!("ext4: read-only because of feature {name}"));
        }
        if self.rules.superblock.state & superblock::STATE_ERROR != 0 {
            (self.options.log)(format_args!("ext4: an error was noted on disk; a check is due"));
        }
        if !self.read_only {
            self.load_orphans(first_orphan).await?;
            self.finish_orphans().await?;
        }
        Ok(())
    }

    /// Finds the journal through its inode.
    async fn find_log(&self) -> Result<Log> {
        let number = self.rules.superblock.journal_inode;
        if number == 0 {
            return Err(Error::Unsupported("journal on another device"));
        }
        let node = self.any_node(number).await?;
        let file = node.body.read().await;
        let block_size = self.disk.block_size() as u64;
        let blocks = file.size / block_size;
        let mut parts: Vec<Part> = Vec::new();
        let mut at = 0;
        while at < blocks {
            let run = self.map(&file, at as u32).await?.up_to(blocks);
            let State::Written(physical) = run.state else {
                return Err(Error::corrupt_inode("hole in the journal", number));
            };
            parts.push(Part { from: at as u32, len: run.len as u32, physical });
            at = run.end();
        }
        let first = parts.first().ok_or(Error::corrupt_inode("empty journal", number))?.physical;
        let bytes = self.disk.read_block(first).await?;
        let mut parsed =
            journal::Superblock::parse(&bytes).map_err(|what| Error::corrupt_block(what, first))?;
        if parsed.format.features & !journal::features::KNOWN != 0 {
            return Err(Error::Unsupported("an unknown feature of the journal"));
        }
        if u64::from(parsed.block_size) != block_size {
            return Err(Error::corrupt_block("journal block size", first));
        }
        if parsed.start == 0 {
            self.choose_format(&mut parsed);
        }
        if parsed.error != 0 {
            (self.options.log)(format_args!("ext4: the journal notes an error; a check is due"));
        }
        Log::new(parsed, bytes, parts)
    }

    /// How an empty log is written: with revoke records, and checksums where metadata have them.
    fn choose_format(&self, parsed: &mut journal::Superblock) {
        use journal::features::{BIT64, CSUM_V2, CSUM_V3, REVOKE};
        if parsed.format.version != journal::kind::SUPERBLOCK_2 {
            return;
        }
        parsed.format.features |= REVOKE;
        if self.rules.superblock.features.incompatible(incompatible::BIT64) {
            parsed.format.features |= BIT64;
        }
        if self.rules.has_checksums {
            parsed.format.features = parsed.format.features & !CSUM_V2 | CSUM_V3;
        }
    }
}

/// Reads the superblock, and says whether it was torn. Its sectors are not written as one; if its
/// checksum is wrong, but what never changes is as in the backup, the rest is believed: counts are
/// taken from the groups, and the journal has the superblock of what it replays.
async fn find_superblock<D: BlockDevice>(device: &D) -> Result<(Superblock, bool)> {
    let bytes = read_superblock(device, superblock::OFFSET as u64).await?;
    match Superblock::parse(&bytes) {
        Err(error) if error == superblock::TORN => {}
        other => return Ok((other?, false)),
    }
    let torn = Superblock::parse_torn(&bytes)?;
    if torn.group_count() < 2 || !torn.has_backup(1) {
        return Err(superblock::TORN);
    }
    let place = torn.group_start(1) * torn.block_size as u64;
    let backup = Superblock::parse(&read_superblock(device, place).await?)?;
    if torn.is_like(&backup) { Ok((torn, true)) } else { Err(superblock::TORN) }
}

/// Reads a superblock at a byte of the device.
async fn read_superblock<D: BlockDevice>(device: &D, place: u64) -> Result<Vec<u8>> {
    let page = device.allocate_page().ok_or(Error::NoMemory)?;
    let sector = place / SECTOR_SIZE as u64;
    let count = (superblock::SIZE / SECTOR_SIZE) as u32;
    if device.sector_count() < sector + u64::from(count) {
        return Err(Error::NotExt4);
    }
    let pages = core::slice::from_ref(&page);
    device.read(sector, count, 0, pages).await.map_err(|cause| Error::Io { block: 0, cause })?;
    let mut bytes = alloc::vec![0; superblock::SIZE];
    page.read(0, &mut bytes);
    Ok(bytes)
}

fn rules(superblock: Superblock) -> Rules {
    Rules {
        has_checksums: superblock.has_checksums(),
        seed: superblock.checksum_seed,
        directory: directory::Encoding {
            has_kind: superblock.features.incompatible(incompatible::FILETYPE),
            has_tail: superblock.has_checksums(),
        },
        inodes: superblock.inodes,
        inode_size: superblock.inode_size,
        superblock,
        zones: Zones::default(),
    }
}

/// A buffer outside every transaction so far.
async fn read_pinned<D: BlockDevice>(
    disk: &Disk<D>,
    cache: &Cache,
    block: u64,
) -> Result<Arc<crate::cache::Buffer>> {
    let bytes = disk.read_block(block).await?;
    let buffer = cache.fresh(block, Kind::Superblock);
    buffer.with(|contents| contents.bytes = bytes);
    Ok(buffer)
}

async fn read_groups<D: BlockDevice>(
    disk: &Disk<D>,
    superblock: &Superblock,
    protection: group::Protection,
) -> Result<Vec<Mutex<Group>>> {
    let count = superblock.group_count();
    let mut groups = Vec::with_capacity(count.min(1 << 16) as usize);
    let blocks = superblock.descriptor_blocks();
    let mut index = 0;
    while index < blocks {
        let first = superblock.descriptor_block(index);
        let contiguous =
            |ahead: &u32| superblock.descriptor_block(index + ahead) == first + u64::from(*ahead);
        let run = (1..READ_AHEAD.min(blocks - index)).take_while(contiguous).count() as u32 + 1;
        for bytes in disk.read_blocks(first, run).await? {
            for raw in bytes.chunks_exact(superblock.descriptor_size) {
                let number = groups.len() as u32;
                if u64::from(number) == count {
                    break;
                }
                if !group::is_intact(raw, number, protection) {
                    return Err(Error::corrupt_block("group descriptor checksum", first));
                }
                let descriptor = Descriptor::parse(raw);
                check_group(&descriptor, superblock)?;
                groups.push(Mutex::new(Group::new(descriptor)));
            }
        }
        index += run;
    }
    Ok(groups)
}

/// The groups' counts are those that count: the superblock's are a copy that may lag.
fn counts(groups: &[Mutex<Group>]) -> Counts {
    let counts = Counts::default();
    for group in groups {
        let descriptor = group.lock().descriptor;
        let (blocks, inodes) = (descriptor.free_blocks.into(), descriptor.free_inodes.into());
        counts.free_blocks.fetch_add(blocks, Ordering::Relaxed);
        counts.available.fetch_add(blocks, Ordering::Relaxed);
        counts.free_inodes.fetch_add(inodes, Ordering::Relaxed);
        counts.available_inodes.fetch_add(inodes, Ordering::Relaxed);
    }
    counts
}
