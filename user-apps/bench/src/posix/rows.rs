//! The rows: one file for each, its name in the table, and the order in which they are measured.

mod clock_gettime;
mod create_unlink;
mod exec;
mod fault;
mod fork;
mod getppid;
mod mmap_touch;
mod mprotect_fault;
mod open_close;
mod ping_pong;
mod pipe;
mod pread;
mod pwrite;
mod sched_yield;
mod signal;
mod stat;
mod thread;
mod write_null;

use crate::meter::{Meter, Outcome};

/// Measures one row.
pub(crate) type Body = fn(&mut Meter) -> Outcome;

/// A file on the RAM disk, for the rows about files.
const FILE: &std::ffi::CStr = c"/tmp/bench";
/// Bytes that the file rows transfer.
const PAGE: usize = 4096;

/// All rows.
pub(crate) const ALL: [(&str, Body); 19] = [
    ("getppid", getppid::row),
    ("write-null", write_null::row),
    ("pipe", pipe::row),
    ("ping-pong", ping_pong::row),
    ("fork", fork::row),
    ("vfork-exec", exec::with_vfork),
    ("fork-exec", exec::with_fork),
    ("signal", signal::row),
    ("thread", thread::row),
    ("fault", fault::row),
    ("mprotect-fault", mprotect_fault::row),
    ("mmap-touch", mmap_touch::row),
    ("pread", pread::row),
    ("pwrite", pwrite::row),
    ("stat", stat::row),
    ("open-close", open_close::row),
    ("create-unlink", create_unlink::row),
    ("sched-yield", sched_yield::row),
    ("clock-gettime", clock_gettime::row),
];

/// Iterations of `rep` instructions in a row, each of which counts as one, where they are much of it: a page is zeroed or copied by
/// words, on either system.
pub(crate) fn rep_iterations(row: &str) -> usize {
    match row {
        "fault" | "mmap-touch" | "pread" | "pwrite" => PAGE / 8,
        _ => 0,
    }
}

/// Makes the file of the file rows: one page of this byte.
fn make_file(byte: u8) -> Result<crate::raw::Descriptor, String> {
    use crate::raw::{Descriptor, OpenMode};
    let file = Descriptor::open(FILE, OpenMode::ReadWrite)?;
    file.write_at(&[byte; PAGE])?;
    Ok(file)
}
