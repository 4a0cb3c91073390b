//! Calls about the system as a whole.
use crate::memory::UserAddress;
use crate::process::{current_process, rseq};
use crate::raw::kernel;
use crate::{Errno, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use spin::Mutex;

/// What `uname` calls the system: programs choose their behaviour by it.
pub const SYSTEM_NAME: &str = "Linux";
/// The Linux version whose behaviour the calls follow.
pub const RELEASE: &str = "6.1.0-serix";
/// Which build this is.
#[must_use]
pub fn version() -> String {
    let commit = &crate::session::options().commit;
    let version = env!("CARGO_PKG_VERSION");
    match commit.is_empty() {
        true => format!("#1 Serix {version}"),
        false => format!("#1 Serix {version} ({commit})"),
    }
}

const MACHINE: &str = "x86_64";
/// Longest host name.
const NAME_MAX: usize = 64;
const GRND_KNOWN: u32 = 7;
/// `GRND_RANDOM | GRND_INSECURE`, which contradict each other.
const GRND_BOTH: u32 = 6;

static HOST_NAME: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The host name.
#[must_use]
pub fn host_name() -> String {
    let name = HOST_NAME.lock().clone();
    if name.is_empty() { "serix".into() } else { String::from_utf8_lossy(&name).into_owned() }
}

pub(super) fn uname(names: UserAddress) -> Result<()> {
    // The six fields of `struct new_utsname`, in its order.
    let host = host_name();
    let version = version();
    let texts = [SYSTEM_NAME, &host, RELEASE, &version, MACHINE, "(none)"];
    let mut value = [[0u8; NAME_MAX + 1]; 6];
    for (field, text) in value.iter_mut().zip(texts) {
        field.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    }
    names.write(&value)
}

pub(super) fn sethostname(name: UserAddress, length: usize) -> Result<()> {
    if !current_process().state.lock().credentials.is_privileged() {
        return Err(Errno::EPERM);
    }
    if length > NAME_MAX {
        return Err(Errno::EINVAL);
    }
    let new: Vec<u8> = name.read_vec(length)?;
    *HOST_NAME.lock() = new;
    Ok(())
}

pub(super) fn getrandom(buffer: UserAddress, length: usize, flags: u32) -> Result<usize> {
    if flags & !GRND_KNOWN != 0 || flags & GRND_BOTH == GRND_BOTH {
        return Err(Errno::EINVAL);
    }
    let length = length.min(i32::MAX as usize);
    let mut done = 0;
    while done < length {
        let word = kernel::random().to_le_bytes();
        let part = word.len().min(length - done);
        match buffer.add(done as u64).write_bytes(&word[..part]) {
            Ok(()) => done += part,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

pub(super) fn rseq(area: u64, length: u32, flags: u32, signature: u32) -> Result<()> {
    rseq::register(area, length, flags, signature)
}

/// One core runs a session, so threads see each other's stores in order: the barriers have nothing to do.
pub(super) fn membarrier(command: u32, flags: u32) -> Result<u32> {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    const KNOWN: u32 = GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED;
    match command {
        _ if flags != 0 => Err(Errno::EINVAL),
        QUERY => Ok(KNOWN),
        GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// The kernel's log is not the session's to read.
pub(super) fn syslog(kind: u32, _buffer: UserAddress, _length: usize) -> Result<u32> {
    if kind > 10 { Err(Errno::EINVAL) } else { Err(Errno::EPERM) }
}
