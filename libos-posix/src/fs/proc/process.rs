//! The files of `/proc/<pid>`.
use super::tables::{Descriptors, Threads};
use super::{Builder, ino, mounts};
use crate::file::Page;
use crate::fs::{Location, vfs};
use crate::process::{self as processes, Phase, Process};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::Ordering;
use serix_chroma::generated::{Folder, Target};
use serix_chroma::{PAGE_SIZE, VfsError, VfsResult};

/// Nanoseconds of a tick as programs count them (`USER_HZ` is 100).
const TICK_NS: u64 = 10_000_000;
/// Places of the folders.
const FD: u32 = 40;
const TASK: u32 = 41;

fn find(pid: u32) -> VfsResult<Arc<Process>> {
    processes::find(pid).map_err(|_| VfsError::NotFound)
}

/// The directory of a process.
pub(super) fn folder(pid: u32) -> Folder<Page> {
    let descriptors = Folder::new(ino(pid, FD)).dynamic(Arc::new(Descriptors(pid)));
    let threads = Folder::new(ino(pid, TASK)).dynamic(Arc::new(Threads(pid)));
    documents(Builder::new(pid, 0), pid)
        .folder("fd", ino(pid, FD), descriptors)
        .folder("task", ino(pid, TASK), threads)
        .folder
}

/// What process and thread directories have in common.
pub(super) fn documents(builder: Builder, pid: u32) -> Builder {
    let text = |make: fn(&Process) -> String| move || Ok(make(&*find(pid)?).into_bytes());
    let bytes = |make: fn(&Process) -> Vec<u8>| move || Ok(make(&*find(pid)?));
    builder
        .document("stat", 0o444, text(stat))
        .document("statm", 0o444, text(statm))
        .document("status", 0o444, text(status))
        .document("comm", 0o444, bytes(comm))
        .document("cmdline", 0o444, bytes(|process| process.space().arguments()))
        .document("environ", 0o400, bytes(|process| process.space().environment()))
        .document("maps", 0o444, bytes(|process| process.space().describe()))
        .document("limits", 0o444, text(limits))
        .document(
            "mounts",
            0o444,
            bytes(|process| mounts::mounts(&process.context().places().root)),
        )
        .document(
            "mountinfo",
            0o444,
            bytes(|process| mounts::mount_info(&process.context().places().root)),
        )
        .document("oom_score", 0o444, text(|_| "0\n".into()))
        .document("wchan", 0o444, text(|_| "0".into()))
        .link("cwd", PlaceLink(pid, |process| Some(process.context().places().working)))
        .link("root", PlaceLink(pid, |process| Some(process.context().places().root)))
        .link("exe", PlaceLink(pid, |process| process.space().executable()))
}

/// A link to a place that a process has.
struct PlaceLink(u32, fn(&Process) -> Option<Location>);

impl Target<Page> for PlaceLink {
    fn text(&self) -> VfsResult<Vec<u8>> {
        let place = self.place().ok_or(VfsError::NotFound)?;
        let (mut path, is_deleted) =
            vfs().path_of(&place, vfs().root()).unwrap_or((b"(unreachable)".to_vec(), false));
        if is_deleted {
            path.extend_from_slice(b" (deleted)");
        }
        Ok(path)
    }
    fn place(&self) -> Option<Location> {
        (self.1)(&*find(self.0).ok()?)
    }
}

/// The letter of the state, and its name.
fn phase(process: &Process) -> (char, &'static str) {
    let state = process.state.lock();
    match state.phase {
        Phase::Zombie(_) => ('Z', "zombie"),
        Phase::Exiting(_) => ('X', "dead"),
        Phase::Stopped => ('T', "stopped"),
        Phase::Running if state.threads.iter().any(|thread| thread.is_ready()) => ('R', "running"),
        Phase::Running if state.threads.iter().any(|thread| thread.is_uninterruptible()) => {
            ('D', "disk sleep")
        }
        Phase::Running => ('S', "sleeping"),
    }
}

fn name(process: &Process) -> String {
    String::from_utf8_lossy(&process.state.lock().name).into_owned()
}

fn comm(process: &Process) -> Vec<u8> {
    let mut name = process.state.lock().name.clone();
    name.push(b'\n');
    name
}

fn stat(process: &Process) -> String {
    let (letter, _) = phase(process);
    let name = name(process);
    let ticks = process.cpu_ns() / TICK_NS;
    let children = process.children_ns.load(Ordering::Relaxed) / TICK_NS;
    let start = process.started_ns / TICK_NS;
    let usage = process.space().usage();
    let (size, resident) = (usage.mapped_pages * PAGE_SIZE as u64, usage.resident_pages);
    let parent = process.parent_pid();
    let state = process.state.lock();
    let (pid, group, session, threads) =
        (process.pid, state.group, state.session, state.threads.len());
    let (terminal, foreground) = state.terminal.as_ref().map_or((0, -1), |terminal| {
        (terminal.packed_number(), i64::from(terminal.foreground_group()))
    });
    // Fields as in proc(5); those that mean nothing here are zero, as Linux leaves many.
    format!(
        "{pid} ({name}) {letter} {parent} {group} {session} {terminal} {foreground} 0 0 0 0 0 {ticks} 0 {children} 0 20 0 \
         {threads} 0 {start} {size} {resident} 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 \
         0 0 0 0 0 0 0 0\n"
    )
}

fn statm(process: &Process) -> String {
    let usage = process.space().usage();
    format!("{} {} 0 0 0 {} 0\n", usage.mapped_pages, usage.resident_pages, usage.mapped_pages)
}

fn status(process: &Process) -> String {
    let (letter, word) = phase(process);
    let (name, usage) = (name(process), process.space().usage());
    let kibibytes = |pages: u64| pages * (PAGE_SIZE as u64 / 1024);
    let descriptors =
        process.with_descriptors(|table| table.with(|table| table.numbers(0).count()));
    let mask = process.context().places().mask;
    let (pid, parent) = (process.pid, process.parent_pid());
    let state = process.state.lock();
    let ids = &state.credentials;
    let mut text = format!(
        "Name:\t{name}\nUmask:\t{mask:04o}\nState:\t{letter} ({word})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\n\
         PPid:\t{parent}\nTracerPid:\t0\nUid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nFDSize:\t{descriptors}\nGroups:\t",
        ids.uid, ids.euid, ids.suid, ids.fsuid, ids.gid, ids.egid, ids.sgid, ids.fsgid,
    );
    for group in ids.groups.iter() {
        let _ = write!(text, "{group} ");
    }
    let _ = write!(
        text,
        "\nVmSize:\t{:8} kB\nVmRSS:\t{:8} kB\nThreads:\t{}\n",
        kibibytes(usage.mapped_pages),
        kibibytes(usage.resident_pages),
        state.threads.len(),
    );
    text
}

fn limits(process: &Process) -> String {
    const NAMES: [(&str, &str); 16] = [
        ("cpu time", "seconds"),
        ("file size", "bytes"),
        ("data size", "bytes"),
        ("stack size", "bytes"),
        ("core file size", "bytes"),
        ("resident set", "bytes"),
        ("processes", "processes"),
        ("open files", "files"),
        ("locked memory", "bytes"),
        ("address space", "bytes"),
        ("file locks", "locks"),
        ("pending signals", "signals"),
        ("msgqueue size", "bytes"),
        ("nice priority", ""),
        ("realtime priority", ""),
        ("realtime timeout", "us"),
    ];
    let mut text = format!("{:<26}{:<21}{:<21}{}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    let state = process.state.lock();
    let show = |value: u64| match value {
        u64::MAX => String::from("unlimited"),
        value => format!("{value}"),
    };
    for (number, (name, unit)) in (0..).zip(NAMES) {
        let Ok(limit) = state.limits.get(number) else { continue };
        let (soft, hard) = (show(limit.rlim_cur), show(limit.rlim_max));
        let _ = writeln!(text, "{:<26}{soft:<21}{hard:<21}{unit}", format!("Max {name}"));
    }
    text
}
