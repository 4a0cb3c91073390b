//! Arguments and results as text, the way strace(1) writes them.
use super::kinds::Kind;
use super::names;
use crate::memory::UserAddress;
use crate::raw::plain::Plain;
use crate::signal::SignalInfo;
use crate::signal::info::Origin;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Bytes of a string that are shown.
const SHOWN: usize = 32;
/// Elements of a list that are shown.
const ELEMENTS: usize = 16;
/// Strings of an argument list that are counted.
const COUNTED: usize = 100_000;

/// The arguments of a call, and its result once it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) registers: &'a [u64; 6],
    pub(super) result: i64,
}

/// An argument as text; one whose memory cannot be read, or that was not filled, is an address.
pub(super) fn argument(kind: Kind, index: usize, values: Values<'_>) -> String {
    let value = values.registers[index];
    let succeeded = values.result >= 0;
    if kind.is_out() && (!succeeded || value == 0) {
        return pointer(value);
    }
    match kind {
        Kind::Int => format!("{}", value as i32),
        Kind::Long => format!("{}", value as i64),
        Kind::Size => format!("{value}"),
        Kind::Hex if value == 0 => "0".into(),
        Kind::Hex => format!("{value:#x}"),
        Kind::Mode | Kind::CreationMode => mode(value as u32),
        Kind::Pointer => pointer(value),
        Kind::Directory if value as i32 == linux::AT_FDCWD => "AT_FDCWD".into(),
        Kind::Directory => format!("{}", value as i32),
        Kind::Flags(table) if core::ptr::eq(table, names::PROTECTION) && value == 0 => {
            "PROT_NONE".into()
        }
        Kind::Flags(table) => names::flags(table, value),
        Kind::Choice(table) => names::choice(table, value & 0xFFFF_FFFF),
        Kind::Open => names::open_flags(value),
        Kind::Clone => clone_flags(value),
        Kind::Futex => futex(value),
        Kind::Prctl if values.registers[0] == u64::from(linux_raw_sys::prctl::PR_SET_NAME) => {
            memory(Kind::Text, value, values).unwrap_or_else(|| pointer(value))
        }
        Kind::Prctl if value == 0 => "0".into(),
        Kind::Prctl => format!("{value:#x}"),
        Kind::Fcntl => fcntl(values.registers[1] as u32, value),
        Kind::Access if value == 0 => "F_OK".into(),
        Kind::Access => names::flags(names::ACCESS, value),
        Kind::Signal => names::signal(value),
        _ => memory(kind, value, values).unwrap_or_else(|| pointer(value)),
    }
}

/// What an address leads to; `None` if it cannot be read.
fn memory(kind: Kind, address: u64, values: Values<'_>) -> Option<String> {
    let at = UserAddress(address).optional()?;
    let argument = |index: u8| values.registers[usize::from(index)] as usize;
    Some(match kind {
        Kind::Path => quoted(&at.read_path().ok()?, usize::MAX),
        Kind::Text => quoted(&at.read_path().ok()?, SHOWN),
        Kind::Strings => strings(at)?,
        Kind::Environment => format!("{address:#x} /* {} vars */", count_strings(at)?),
        Kind::Bytes(length) => bytes(at, argument(length))?,
        Kind::Result => bytes(at, values.result as usize)?,
        Kind::Vector(count) => vector(at, argument(count), usize::MAX)?,
        Kind::ResultVector(count) => vector(at, argument(count), values.result as usize)?,
        Kind::Signals => names::signal_set(at.read().ok()?),
        Kind::Action => action(at.read().ok()?),
        Kind::Time => time(at.read().ok()?),
        Kind::Times => format!("[{}, {}]", stamp(at.read().ok()?), stamp(at.add(16).read().ok()?)),
        Kind::Microtime => microtime(at.read().ok()?),
        Kind::Limit => limit(at.read().ok()?),
        Kind::Interval => interval(&at.read().ok()?),
        Kind::Polls(count) => polls(at, argument(count))?,
        Kind::Ready => events(at, values.result as usize)?,
        Kind::EpollEvent => events(at, 1)?.trim_matches(['[', ']']).into(),
        Kind::Descriptors => descriptors(at, argument(0))?,
        Kind::How => how(&at.read().ok()?),
        Kind::CloneArguments => clone_arguments(&at.read().ok()?),
        Kind::Stack => stack(at.read().ok()?),
        Kind::Offset => format!("[{}]", at.read::<i64>().ok()?),
        Kind::Int32 => format!("[{}]", at.read::<i32>().ok()?),
        Kind::Stat => status(&at.read().ok()?),
        Kind::Statx => statx(&at.read().ok()?),
        Kind::Pair => {
            let [read, write]: [i32; 2] = at.read().ok()?;
            format!("[{read}, {write}]")
        }
        Kind::Status if values.result == 0 => return None,
        Kind::Status => format!("[{{{}}}]", end(at.read().ok()?)),
        Kind::System => system(at)?,
        Kind::Out(inner) => memory(*inner, address, values)?,
        _ => return None,
    })
}

/// What a call answered, behind the equals sign.
pub(super) fn result(call: &str, values: Values<'_>) -> String {
    let value = values.result;
    match call {
        _ if (-4095..0).contains(&value) => error(value),
        "brk" | "mmap" | "mremap" | "arch_prctl" if value != 0 => format!("{value:#x}"),
        "umask" => mode(value as u32),
        "fcntl" => match values.registers[1] as u32 {
            linux::F_GETFL => format!("{value:#x} (flags {})", names::open_flags(value as u64)),
            linux::F_GETFD if value == 1 => "0x1 (flags FD_CLOEXEC)".into(),
            _ => format!("{value}"),
        },
        "poll" | "ppoll" if value > 0 => {
            let ready = ready(UserAddress(values.registers[0]), values.registers[1] as usize);
            format!("{value} ({})", ready.unwrap_or_default())
        }
        "poll" | "ppoll" | "select" | "pselect6" if value == 0 => "0 (Timeout)".into(),
        _ => format!("{value}"),
    }
}

fn error(value: i64) -> String {
    let name = crate::Errno(value.unsigned_abs() as u16).name();
    match names::meaning(name) {
        Some(meaning) if name.starts_with("ERESTART") => format!("? {name} ({meaning})"),
        Some(meaning) => format!("-1 {name} ({meaning})"),
        None => format!("-1 {name} ({})", -value),
    }
}

fn pointer(value: u64) -> String {
    if value == 0 { "NULL".into() } else { format!("{value:#x}") }
}

fn mode(value: u32) -> String {
    if value == 0 { "000".into() } else { format!("0{value:o}") }
}

/// Bytes in quotes; what is not printed is an escape, what is too long ends in three dots.
pub(super) fn quoted(bytes: &[u8], most: usize) -> String {
    let mut text = String::from("\"");
    let shown = &bytes[..bytes.len().min(most)];
    for (index, byte) in shown.iter().enumerate() {
        let next_is_digit = shown.get(index + 1).is_some_and(u8::is_ascii_digit);
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x0B => text.push_str("\\v"),
            0x0C => text.push_str("\\f"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ if next_is_digit => text.push_str(&format!("\\{byte:03o}")),
            _ => text.push_str(&format!("\\{byte:o}")),
        }
    }
    text.push('"');
    if shown.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

fn bytes(at: UserAddress, length: usize) -> Option<String> {
    let mut shown = [0; SHOWN + 1];
    let shown = &mut shown[..length.min(SHOWN + 1)];
    at.read_bytes(shown).ok()?;
    Some(quoted(shown, SHOWN))
}

/// The elements of a list of pointers.
fn pointers(at: UserAddress) -> impl Iterator<Item = Option<UserAddress>> {
    let word = move |index: usize| at.add(index as u64 * 8).read::<u64>().ok().map(UserAddress);
    (0..COUNTED).map(word).take_while(|word| *word != Some(UserAddress(0)))
}

fn strings(at: UserAddress) -> Option<String> {
    let mut words = Vec::new();
    for (index, string) in pointers(at).enumerate() {
        if index == ELEMENTS {
            words.push("...".into());
            break;
        }
        words.push(quoted(&string?.read_path().ok()?, SHOWN));
    }
    Some(format!("[{}]", words.join(", ")))
}

fn count_strings(at: UserAddress) -> Option<usize> {
    pointers(at).try_fold(0, |count, string| string.map(|_| count + 1))
}

/// Elements of a list in memory.
fn list<T: Plain>(at: UserAddress, count: usize, show: impl FnMut(T) -> String) -> Option<String> {
    let elements = at.read_vec::<T>(count.min(ELEMENTS)).ok()?;
    let mut words: Vec<String> = elements.into_iter().map(show).collect();
    if count > ELEMENTS {
        words.push("...".into());
    }
    Some(format!("[{}]", words.join(", ")))
}

/// Buffers, of which `length` bytes are of interest.
fn vector(at: UserAddress, count: usize, mut length: usize) -> Option<String> {
    list(at, count, |part: linux::iovec| {
        let (base, size) = (part.iov_base as u64, part.iov_len as usize);
        let used = size.min(length);
        length -= used;
        let text = bytes(UserAddress(base), used).unwrap_or_else(|| pointer(base));
        format!("{{iov_base={text}, iov_len={size}}}")
    })
}

fn polls(at: UserAddress, count: usize) -> Option<String> {
    list(at, count, |one: linux::pollfd| {
        format!("{{fd={}, events={}}}", one.fd, names::flags(names::POLL, one.events as u64))
    })
}

fn ready(at: UserAddress, count: usize) -> Option<String> {
    let all = at.read_vec::<linux::pollfd>(count.min(ELEMENTS)).ok()?;
    let ready = all.iter().filter(|one| one.revents != 0);
    let ready = ready.map(|one| {
        format!("{{fd={}, revents={}}}", one.fd, names::flags(names::POLL, one.revents as u64))
    });
    Some(format!("[{}]", ready.collect::<Vec<_>>().join(", ")))
}

fn events(at: UserAddress, count: usize) -> Option<String> {
    list(at, count, |event: linux::epoll_event| {
        let (events, data) = (event.events, event.data);
        format!("{{events={}, data={data:#x}}}", names::flags(names::POLL, events.into()))
    })
}

fn descriptors(at: UserAddress, count: usize) -> Option<String> {
    let words = at.read_vec::<u64>(count.min(1024).div_ceil(64)).ok()?;
    let is_set = |number: &usize| words[number / 64] >> (number % 64) & 1 != 0;
    let set: Vec<_> =
        (0..count.min(1024)).filter(is_set).map(|number| format!("{number}")).collect();
    Some(format!("[{}]", set.join(" ")))
}

fn clone_flags(value: u64) -> String {
    let (flags, signal) = (value & !0xFF, value & 0xFF);
    match (flags, signal) {
        (0, _) => names::signal(signal),
        (_, 0) => names::flags(names::CLONE, flags),
        _ => format!("{}|{}", names::flags(names::CLONE, flags), names::signal(signal)),
    }
}

fn clone_arguments(arguments: &linux::clone_args) -> String {
    let flags = names::flags(names::CLONE, arguments.flags);
    let (stack, size) = (pointer(arguments.stack), arguments.stack_size);
    let signal = names::signal(arguments.exit_signal);
    format!("{{flags={flags}, exit_signal={signal}, stack={stack}, stack_size={size:#x}}}")
}

fn futex(value: u64) -> String {
    let flags = u64::from(linux::FUTEX_PRIVATE_FLAG | linux::FUTEX_CLOCK_REALTIME);
    let operation = names::choice(names::FUTEX, value & !flags);
    match value & flags {
        0 => operation,
        private if private == u64::from(linux::FUTEX_PRIVATE_FLAG) => {
            format!("{operation}_PRIVATE")
        }
        flags => format!("{operation}|{}", names::flags(names::FUTEX_FLAGS, flags)),
    }
}

fn fcntl(command: u32, value: u64) -> String {
    match command {
        linux::F_SETFD => names::flags(names::DESCRIPTOR, value),
        linux::F_SETFL => names::open_flags(value),
        linux::F_GETLK | linux::F_SETLK | linux::F_SETLKW => {
            UserAddress(value).read().ok().map_or_else(|| pointer(value), |lock| record_lock(&lock))
        }
        _ => format!("{}", value as i64),
    }
}

fn record_lock(lock: &linux::flock) -> String {
    let kind = names::choice(names::LOCK_TYPE, lock.l_type as u64);
    let whence = names::choice(names::WHENCE, lock.l_whence as u64);
    let (start, length) = (lock.l_start, lock.l_len);
    format!("{{l_type={kind}, l_whence={whence}, l_start={start}, l_len={length}}}")
}

fn action([handler, flags, restorer, mask]: [u64; 4]) -> String {
    let handler = match handler {
        0 => "SIG_DFL".into(),
        1 => "SIG_IGN".into(),
        other => format!("{other:#x}"),
    };
    let restorer =
        if restorer == 0 { String::new() } else { format!(", sa_restorer={restorer:#x}") };
    let (mask, flags) = (names::signal_set(mask), names::flags(names::ACTION, flags));
    format!("{{sa_handler={handler}, sa_mask={mask}, sa_flags={flags}{restorer}}}")
}

fn time(time: linux::__kernel_timespec) -> String {
    format!("{{tv_sec={}, tv_nsec={}}}", time.tv_sec, time.tv_nsec)
}

/// A time of `utimensat`, which has names for two.
fn stamp(stamp: linux::__kernel_timespec) -> String {
    match stamp.tv_nsec as u32 {
        linux::UTIME_NOW => "UTIME_NOW".into(),
        linux::UTIME_OMIT => "UTIME_OMIT".into(),
        _ => time(stamp),
    }
}

fn microtime(time: linux::__kernel_old_timeval) -> String {
    format!("{{tv_sec={}, tv_usec={}}}", time.tv_sec, time.tv_usec)
}

fn interval(value: &linux::__kernel_old_itimerval) -> String {
    let (every, first) = (microtime(value.it_interval), microtime(value.it_value));
    format!("{{it_interval={every}, it_value={first}}}")
}

fn limit(limit: linux::rlimit64) -> String {
    let one = |value: u64| match value {
        u64::MAX => "RLIM64_INFINITY".into(),
        value if value > 1024 && value.is_multiple_of(1024) => format!("{}*1024", value / 1024),
        value => format!("{value}"),
    };
    format!("{{rlim_cur={}, rlim_max={}}}", one(limit.rlim_cur), one(limit.rlim_max))
}

fn how(how: &linux::open_how) -> String {
    let (flags, mode) = (names::open_flags(how.flags), mode(how.mode as u32));
    format!("{{flags={flags}, mode={mode}, resolve={:#x}}}", how.resolve)
}

fn stack([base, flags, size]: [u64; 3]) -> String {
    let flags = names::flags(names::STACK, flags & 0xFFFF_FFFF);
    format!("{{ss_sp={}, ss_flags={flags}, ss_size={size}}}", pointer(base))
}

fn kind_and_mode(value: u32) -> String {
    let kind = names::choice(names::KIND, u64::from(value & linux::S_IFMT));
    format!("{kind}|{}", mode(value & 0o7777))
}

fn status(status: &linux::stat) -> String {
    let kind = status.st_mode & linux::S_IFMT;
    let what = if kind == linux::S_IFCHR || kind == linux::S_IFBLK {
        let (major, minor) = (status.st_rdev >> 8 & 0xFFF, status.st_rdev & 0xFF);
        format!("st_rdev=makedev({major:#x}, {minor:#x})")
    } else {
        format!("st_size={}", status.st_size)
    };
    format!("{{st_mode={}, {what}, ...}}", kind_and_mode(status.st_mode))
}

fn statx(status: &linux::statx) -> String {
    let mode = kind_and_mode(status.stx_mode.into());
    format!(
        "{{stx_mask={:#x}, stx_mode={mode}, stx_size={}, ...}}",
        status.stx_mask, status.stx_size
    )
}

/// How a child ended or changed, from the status of `wait`.
pub(super) fn end(status: u32) -> String {
    let signal = u64::from(status & 0x7F);
    let core = if status & 0x80 != 0 { " && WCOREDUMP(s)" } else { "" };
    match status {
        0xFFFF => "WIFCONTINUED(s)".into(),
        _ if status & 0xFF == 0x7F => {
            format!(
                "WIFSTOPPED(s) && WSTOPSIG(s) == {}",
                names::signal(u64::from(status >> 8 & 0xFF))
            )
        }
        _ if signal == 0 => format!("WIFEXITED(s) && WEXITSTATUS(s) == {}", status >> 8 & 0xFF),
        _ => format!("WIFSIGNALED(s) && WTERMSIG(s) == {}{core}", names::signal(signal)),
    }
}

/// Why a signal came.
pub(super) fn cause(info: &SignalInfo) -> String {
    match &info.origin {
        Origin::Fault { address } => {
            format!("si_code={}, si_addr={}", info.code, pointer(*address))
        }
        Origin::Child { pid, uid, status, .. } => {
            let code = names::choice(names::CHILD, info.code as u64);
            let status =
                if info.code == 1 { format!("{status}") } else { names::signal(*status as u64) };
            format!("si_code={code}, si_pid={pid}, si_uid={uid}, si_status={status}")
        }
        Origin::Process { pid, uid, .. } => {
            let code = names::choice(names::SENT, i64::from(info.code) as u64);
            format!("si_code={code}, si_pid={pid}, si_uid={uid}")
        }
        Origin::Raw(_) => format!("si_code={}", info.code),
    }
}

/// `struct utsname`: six fields of 65 bytes.
fn system(at: UserAddress) -> Option<String> {
    let field = |index: u64| at.add(index * 65).read_string(65).ok();
    let (name, node) = (quoted(&field(0)?, SHOWN), quoted(&field(1)?, SHOWN));
    Some(format!("{{sysname={name}, nodename={node}, ...}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_strace_does() {
        assert_eq!(quoted(b"a\"b\\\n\x01\x019\xFF", 32), r#""a\"b\\\n\1\0019\377""#);
        assert_eq!(quoted(&[b'x'; 40], 32), format!("\"{}\"...", "x".repeat(32)));
        assert_eq!(quoted(b"", 32), "\"\"");
    }

    #[test]
    fn statuses_are_read() {
        assert_eq!(end(7 << 8), "WIFEXITED(s) && WEXITSTATUS(s) == 7");
        assert_eq!(end(9), "WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL");
        assert_eq!(end(0x8B), "WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)");
        assert_eq!(end(0x137F), "WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP");
    }

    #[test]
    fn results_and_numbers() {
        let registers = [u64::from(linux::AT_FDCWD as u32), 0, 0o644, 0x81, 17, u64::MAX];
        let values = Values { registers: &registers, result: -2 };
        assert_eq!(result("openat", values), "-1 ENOENT (No such file or directory)");
        assert_eq!(argument(Kind::Directory, 0, values), "AT_FDCWD");
        assert_eq!(argument(Kind::Path, 1, values), "NULL");
        assert_eq!(argument(Kind::Mode, 2, values), "0644");
        assert_eq!(argument(Kind::Futex, 3, values), "FUTEX_WAKE_PRIVATE");
        assert_eq!(argument(Kind::Clone, 4, values), "SIGCHLD");
        assert_eq!(argument(Kind::Int, 5, values), "-1");
        assert_eq!(result("umask", Values { registers: &registers, result: 0o22 }), "022");
        assert_eq!(
            action([1, 0x1000_0000, 0, 2]),
            "{sa_handler=SIG_IGN, sa_mask=[INT], sa_flags=SA_RESTART}"
        );
    }
}
