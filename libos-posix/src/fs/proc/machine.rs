//! The files of `/proc` about the machine.
use super::{Builder, ino};
use crate::fs::disk::numbered;
use crate::fs::vfs;
use crate::memory;
use crate::process as processes;
use crate::raw::kernel;
use crate::sched;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering;
use serix_chroma::PAGE_SIZE;
use serix_sys::abi::{Call, info};

const NANOSECONDS: u64 = 1_000_000_000;
/// Nanoseconds of a tick as programs count them (`USER_HZ` is 100).
const TICK_NS: u64 = NANOSECONDS / 100;
/// Place of the first file of `/proc/sys`, behind those of `/proc` itself.
const SYS: u32 = 100;
/// Place of the first file of `/proc/serix`: what Linux has no word for.
const SERIX: u32 = 200;

pub(super) fn add(builder: Builder) -> Builder {
    builder
        .text("meminfo", meminfo)
        .text("uptime", uptime)
        .text("loadavg", loadavg)
        .text("stat", stat)
        .text("cpuinfo", cpuinfo)
        .text("version", version)
        .text("filesystems", filesystems)
        .text("cmdline", || String::from("\n"))
        .text("devices", devices)
        .text("partitions", partitions)
        .text("swaps", || String::from("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"))
        .text("vmstat", vmstat)
        .folder("sys", ino(0, SYS), sys())
        .folder("serix", ino(0, SERIX), serix())
}

fn serix() -> serix_chroma::generated::Folder<crate::file::Page> {
    Builder::new(0, SERIX)
        .text("counters", counters)
        .text("call-sites", crate::patch::describe)
        .folder
}

fn sys() -> serix_chroma::generated::Folder<crate::file::Page> {
    let random =
        Builder::new(0, SYS + 10).text("uuid", uuid).text("entropy_avail", || "256\n".into());
    let kernel = Builder::new(0, SYS + 20)
        .text("ostype", || line(crate::syscall::SYSTEM_NAME))
        .text("osrelease", || line(crate::syscall::RELEASE))
        .text("version", || line(&crate::syscall::version()))
        .text("hostname", || line(&crate::syscall::host_name()))
        .text("pid_max", || line("32768"))
        .text("cap_last_cap", || line("40"))
        .folder("random", ino(0, SYS + 10), random.folder);
    let vm = Builder::new(0, SYS + 40)
        .text("overcommit_memory", || line("1"))
        .text("max_map_count", || line("65530"));
    let fs = Builder::new(0, SYS + 50)
        .text("file-max", || line("65536"))
        .text("pipe-max-size", || line("1048576"));
    Builder::new(0, SYS)
        .folder("kernel", ino(0, SYS + 20), kernel.folder)
        .folder("vm", ino(0, SYS + 40), vm.folder)
        .folder("fs", ino(0, SYS + 50), fs.folder)
        .folder
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

fn uuid() -> String {
    // Version 4, variant 1 (RFC 9562, 5.4).
    let high = kernel::random() & !0xF000 | 0x4000;
    let low = kernel::random() & !(3 << 62) | 2 << 62;
    let (a, b, c) = (high >> 32, high >> 16 & 0xFFFF, high & 0xFFFF);
    format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}\n", low >> 48, low & 0xFFFF_FFFF_FFFF)
}

fn kibibytes(pages: u64) -> u64 {
    pages * (PAGE_SIZE as u64 / 1024)
}

fn meminfo() -> String {
    let (free, total) = memory::usage();
    let (free, total) = (free as u64, total as u64);
    let cached = vfs().cache().page_count();
    let mut text = String::new();
    for (name, pages) in [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", (free + cached).min(total)),
        ("Buffers", 0),
        ("Cached", cached),
        ("SwapCached", 0),
        ("Active", total - free),
        ("Inactive", cached),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", vfs().cache().dirty_count()),
        ("Writeback", 0),
        ("Shmem", 0),
        ("SReclaimable", 0),
    ] {
        let _ = writeln!(text, "{:<16}{:>8} kB", format!("{name}:"), kibibytes(pages));
    }
    text
}

fn hundredths(ns: u64) -> String {
    format!("{}.{:02}", ns / NANOSECONDS, ns % NANOSECONDS / (NANOSECONDS / 100))
}

fn uptime() -> String {
    let (_, idle_ns) = sched::statistics();
    format!("{} {}\n", hundredths(kernel::now_ns()), hundredths(idle_ns))
}

/// Without averages over time: what runs now is the best estimate there is.
fn loadavg() -> String {
    let (ready, all) = (sched::ready_count(), processes::process_count());
    let last = processes::all().last().map_or(0, |process| process.pid);
    format!("{ready}.00 {ready}.00 {ready}.00 {ready}/{all} {last}\n")
}

fn stat() -> String {
    let (switches, idle_ns) = sched::statistics();
    let now = kernel::now_ns();
    let (busy, idle) = (now.saturating_sub(idle_ns) / TICK_NS, idle_ns / TICK_NS);
    let boot = kernel::info().epoch_ns / NANOSECONDS;
    let all = processes::all();
    let last = all.last().map_or(0, |process| process.pid);
    format!(
        "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\nintr 0\nctxt {switches}\n\
         btime {boot}\nprocesses {last}\nprocs_running {}\nprocs_blocked 0\n",
        sched::ready_count(),
    )
}

fn cpuinfo() -> String {
    let info = kernel::info();
    let mut text = String::new();
    for core in 0..info.core_count.max(1) {
        let mhz = info.tsc_hz / 1_000_000;
        let _ = write!(
            text,
            "processor\t: {core}\ncpu MHz\t\t: {mhz}.000\naddress sizes\t: 48 bits virtual\n\n"
        );
    }
    text
}

fn version() -> String {
    use crate::syscall::{RELEASE, SYSTEM_NAME};
    format!("{SYSTEM_NAME} version {RELEASE} (serix) {}\n", crate::syscall::version())
}

fn filesystems() -> String {
    "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tramfs\nnodev\tdevtmpfs\nnodev\tdevpts\n\text4\n".to_string()
}

fn devices() -> String {
    "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\n\
     Block devices:\n240 disk\n"
        .to_string()
}

/// The kernel's counters since boot, of all sessions together: `NAME VALUE`, a line each.
fn counters() -> String {
    let counters = &kernel::info().counters;
    let mut text = String::new();
    for (name, counter) in [
        ("foreign_calls", &counters.foreign_calls),
        ("faults", &counters.faults),
        ("switches", &counters.switches),
        ("timer_interrupts", &counters.timer_interrupts),
        ("device_interrupts", &counters.device_interrupts),
        ("halts", &counters.halts),
        ("block_transfers", &counters.block_transfers),
        ("stream_transfers", &counters.stream_transfers),
        ("pages_mapped", &counters.pages_mapped),
        ("bad_tokens", &counters.bad_tokens),
    ] {
        let _ = writeln!(text, "{name} {}", counter.load(Ordering::Relaxed));
    }
    if kernel::info().histograms_on == 1 {
        histograms(&mut text);
    }
    text
}

/// One line for each native call that was made, and each other row: its count, then the buckets, whose bounds are the
/// first line.
fn histograms(text: &mut String) {
    let bounds = (0..info::BUCKETS - 1)
        .map(|bucket| format!("<{}", 1 << (bucket as u32 + info::FIRST_BUCKET_SHIFT)));
    let bounds: Vec<_> = bounds.collect();
    let _ = writeln!(text, "ticks count {} more", bounds.join(" "));
    let calls = Call::ALL.iter().map(|call| (*call as usize, call.signature().0));
    let others = [
        (info::row::UPCALL, "upcall"),
        (info::row::SWITCH, "switch"),
        (info::row::SHOOTDOWN, "shootdown"),
        (info::row::INTERRUPT, "interrupt"),
    ];
    for (row, name) in calls.chain(others) {
        let histogram = &kernel::info().histograms[row];
        if histogram.count() > 0 {
            let _ = write!(text, "{name} {}", histogram.count());
            for bucket in &histogram.buckets {
                let _ = write!(text, " {}", bucket.load(Ordering::Relaxed));
            }
            text.push('\n');
        }
    }
}

/// The session's disks; a block is 1 KiB.
fn partitions() -> String {
    let mut text = String::from("major minor  #blocks  name\n\n");
    for (number, disk) in numbered() {
        let (blocks, name) = (disk.sectors / 2, String::from_utf8_lossy(&disk.name));
        let _ = writeln!(text, "{:4}  {:7} {blocks:10} {name}", number.major, number.minor);
    }
    text
}

fn vmstat() -> String {
    let (free, _) = memory::usage();
    let cache = vfs().cache();
    let (cached, dirty) = (cache.page_count(), cache.dirty_count());
    format!("nr_free_pages {free}\nnr_file_pages {cached}\nnr_dirty {dirty}\npgpgin 0\npgpgout 0\n")
}
