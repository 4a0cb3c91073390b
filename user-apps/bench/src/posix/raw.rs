//! The C library, and the entry that it calls: what the rows measure, each as one safe function.
//!
//! May use the C library and the clock. Invariant: what a function measures for a row is the calls that its name says and
//! no more, so nothing here prints, allocates or looks anything up on the way.
#![allow(unsafe_code)]

use std::arch::asm;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    // SAFETY: the C library passes `count` strings. Before anything is allocated, so that the `exec` rows measure
    // the system and not this program.
    if count == 2 && unsafe { CStr::from_ptr(*words.add(1)) } == c"exit" {
        return crate::EXECUTED;
    }
    let words: Vec<&str> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: the C library passes `count` strings that live as long as the program.
        .map(|index| unsafe { CStr::from_ptr(*words.add(index)) }.to_str().unwrap_or("?"))
        .collect();
    crate::run(&words)
}

/// The TSC.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// As many instructions as `serix_bench::KNOWN_LENGTH`.
#[inline(always)]
pub(crate) fn loop_of_known_length() {
    const { assert!(serix_bench::KNOWN_LENGTH.is_multiple_of(2)) };
    // SAFETY: one register, which is declared; the first instruction and the last round's jump are two like each
    // round's, so half the length less one half is what the counter starts at, and a `nop` makes it even.
    unsafe {
        asm!("mov {0:e}, {1}", "2:", "dec {0:e}", "jnz 2b", "nop", out(reg) _,
            const serix_bench::KNOWN_LENGTH / 2 - 1, options(nomem, nostack));
    }
}

fn error(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}

/// An open file.
pub(crate) struct Descriptor(c_int);

/// How a file is opened.
#[derive(Clone, Copy)]
pub(crate) enum OpenMode {
    /// As it is, to read.
    Read,
    /// Made if need be, and emptied.
    ReadWrite,
    /// It must be new.
    Create,
}

impl Descriptor {
    #[inline]
    pub(crate) fn open(path: &CStr, mode: OpenMode) -> Result<Self, String> {
        let flags = match mode {
            OpenMode::Read => libc::O_RDONLY,
            OpenMode::ReadWrite => libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC,
            OpenMode::Create => libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
        };
        // SAFETY: a string of C.
        let number = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) };
        if number >= 0 { Ok(Self(number)) } else { Err(error("open")) }
    }

    /// The reading and the writing end.
    pub(crate) fn pipe() -> Result<(Self, Self), String> {
        let mut ends = [0; 2];
        // SAFETY: room for two.
        match unsafe { libc::pipe(ends.as_mut_ptr()) } {
            0 => Ok((Self(ends[0]), Self(ends[1]))),
            _ => Err(error("pipe")),
        }
    }

    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> isize {
        // SAFETY: the buffer is writable for its length.
        unsafe { libc::read(self.0, buffer.as_mut_ptr().cast(), buffer.len()) }
    }

    #[inline]
    pub(crate) fn write(&self, bytes: &[u8]) -> isize {
        // SAFETY: the bytes are readable.
        unsafe { libc::write(self.0, bytes.as_ptr().cast(), bytes.len()) }
    }

    #[inline]
    pub(crate) fn read_at(&self, buffer: &mut [u8]) -> isize {
        // SAFETY: the buffer is writable for its length.
        unsafe { libc::pread(self.0, buffer.as_mut_ptr().cast(), buffer.len(), 0) }
    }

    #[inline]
    pub(crate) fn write_at(&self, bytes: &[u8]) -> Result<(), String> {
        // SAFETY: the bytes are readable.
        let written = unsafe { libc::pwrite(self.0, bytes.as_ptr().cast(), bytes.len(), 0) };
        if written == bytes.len() as isize { Ok(()) } else { Err(error("pwrite")) }
    }

    /// Closes it, of which one may want to know.
    #[inline]
    pub(crate) fn closed(self) -> Result<(), String> {
        let number = self.0;
        std::mem::forget(self);
        // SAFETY: the descriptor is this one's own.
        if unsafe { libc::close(number) } == 0 { Ok(()) } else { Err(error("close")) }
    }

    /// Closes it in a child that shares nothing with the parent; the parent's stays.
    pub(crate) fn close(&self) {
        // SAFETY: the child uses it no more.
        unsafe { libc::close(self.0) };
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        self.close();
    }
}

/// A child process.
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// A child that ends with what `work` answers.
    #[inline]
    pub(crate) fn fork(work: impl FnOnce() -> c_int) -> Result<Self, String> {
        // SAFETY: this program has one thread whenever rows run, so the child may do anything.
        match unsafe { libc::fork() } {
            -1 => Err(error("fork")),
            // SAFETY: ends the child without the parent's work at exit.
            0 => unsafe { libc::_exit(work()) },
            child => Ok(Self(child)),
        }
    }

    /// A child that borrows this process's memory until it runs `program exit`.
    pub(crate) fn vfork_exec(program: &CStr, stack: &mut [u64]) -> Result<Self, String> {
        extern "C" fn begin(program: *mut c_void) -> c_int {
            // SAFETY: the string that `vfork_exec` passed, whose caller waits.
            exec(unsafe { CStr::from_ptr(program.cast()) })
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let top = stack.as_mut_ptr_range().end;
        // SAFETY: 1. The stack is the child's alone, and this process does not run until it has left it. 2. The child
        // calls nothing but execve and _exit.
        match unsafe { libc::clone(begin, top.cast(), flags, program.as_ptr().cast_mut().cast()) } {
            -1 => Err(error("clone")),
            child => Ok(Self(child)),
        }
    }

    /// Waits for its end; its status, unless a signal ended it.
    #[inline]
    pub(crate) fn wait(self) -> Option<c_int> {
        let mut status = 0;
        // SAFETY: room for a status.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        (waited == self.0 && libc::WIFEXITED(status)).then(|| libc::WEXITSTATUS(status))
    }
}

/// Becomes `program exit`; answers a status only if that fails.
pub(crate) fn exec(program: &CStr) -> c_int {
    let words = [program.as_ptr(), c"exit".as_ptr(), null()];
    let environment = [null()];
    // SAFETY: lists of strings that end with null.
    unsafe { libc::execve(program.as_ptr(), words.as_ptr(), environment.as_ptr()) };
    127
}

/// Anonymous memory.
pub(crate) struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    #[inline]
    pub(crate) fn anonymous(length: usize) -> Result<Self, String> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a mapping at an address that the system chooses touches nothing that is there.
        let start = unsafe { libc::mmap(null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(error("mmap"));
        }
        Ok(Self { start: start.cast(), length })
    }

    pub(crate) fn address(&self) -> usize {
        self.start.addr()
    }

    #[inline]
    pub(crate) fn write(&self, at: usize, value: u8) {
        assert!(at < self.length);
        // SAFETY: inside the mapping; volatile, so that it is one store.
        unsafe { self.start.add(at).write_volatile(value) };
    }

    #[inline]
    pub(crate) fn read(&self, at: usize) -> u8 {
        assert!(at < self.length);
        // SAFETY: inside the mapping.
        unsafe { self.start.add(at).read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// What a page allows.
#[derive(Clone, Copy)]
pub(crate) enum Protection {
    Read,
    ReadWrite,
}

/// `mprotect` of memory of a [`Mapping`]; what fails shows by what the row sees.
#[inline]
pub(crate) fn protect(address: usize, length: usize, protection: Protection) {
    let flags = match protection {
        Protection::Read => libc::PROT_READ,
        Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
    };
    let start = std::ptr::with_exposed_provenance_mut::<c_void>(address);
    // SAFETY: rows name mappings of their own, which they access with volatile instructions only.
    unsafe { libc::mprotect(start, length, flags) };
}

fn action(signal: c_int, handler: usize) -> Result<(), String> {
    // SAFETY: all zero is a legal `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the handlers here touch atomics and call `mprotect`.
    match unsafe { libc::sigaction(signal, &raw const action, null_mut()) } {
        0 => Ok(()),
        _ => Err(error("sigaction")),
    }
}

/// Has `handler` called for a signal.
pub(crate) fn handle(signal: c_int, handler: extern "C" fn(c_int)) -> Result<(), String> {
    action(signal, handler as *const () as usize)
}

/// Back to what a signal does by itself.
pub(crate) fn default_action(signal: c_int) -> Result<(), String> {
    action(signal, libc::SIG_DFL)
}

#[inline]
pub(crate) fn kill(process: libc::pid_t, signal: c_int) -> bool {
    // SAFETY: rows send signals that they handle.
    unsafe { libc::kill(process, signal) == 0 }
}

#[inline]
pub(crate) fn getpid() -> libc::pid_t {
    // SAFETY: no argument.
    unsafe { libc::getpid() }
}

#[inline]
pub(crate) fn getppid() -> libc::pid_t {
    // SAFETY: no argument.
    unsafe { libc::getppid() }
}

#[inline]
pub(crate) fn sched_yield() -> bool {
    // SAFETY: no argument.
    unsafe { libc::sched_yield() == 0 }
}

/// A thread that ends at once with the number that it was given.
#[inline]
pub(crate) fn thread_round_trip(token: usize) -> Result<usize, String> {
    extern "C" fn begin(token: *mut c_void) -> *mut c_void {
        token
    }
    // SAFETY: all zero is room for a thread's handle.
    let mut thread: libc::pthread_t = unsafe { std::mem::zeroed() };
    let mut result = null_mut();
    let token = std::ptr::without_provenance_mut(token);
    // SAFETY: 1. Room for handle and result. 2. The thread touches no memory of anyone.
    unsafe {
        if libc::pthread_create(&raw mut thread, null(), begin, token) != 0 {
            return Err(error("pthread_create"));
        }
        if libc::pthread_join(thread, &raw mut result) != 0 {
            return Err(error("pthread_join"));
        }
    }
    Ok(result.addr())
}

/// `stat`: the size, if there is such a file.
#[inline]
pub(crate) fn size_of_file(path: &CStr) -> Option<i64> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: a string of C, and room for the answer, which is there if the call says so.
    unsafe {
        let answer = libc::stat(path.as_ptr(), status.as_mut_ptr());
        (answer == 0).then(|| status.assume_init_ref().st_size)
    }
}

#[inline]
pub(crate) fn unlink(path: &CStr) -> bool {
    // SAFETY: a string of C.
    unsafe { libc::unlink(path.as_ptr()) == 0 }
}

#[inline]
pub(crate) fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: room for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Mounts a file system of the kernel's on a folder that it makes if need be.
pub(crate) fn mount(kind: &CStr, folder: &CStr) -> Result<(), String> {
    // SAFETY: strings of C.
    unsafe {
        libc::mkdir(folder.as_ptr(), 0o755);
        match libc::mount(kind.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, null()) {
            0 => Ok(()),
            _ => Err(error("mount")),
        }
    }
}

/// Standard streams for a first process that has none.
pub(crate) fn open_console() -> Result<(), String> {
    let console = CString::from(c"/dev/console");
    // SAFETY: a string of C; standard streams that nobody used yet.
    unsafe {
        let number = libc::open(console.as_ptr(), libc::O_RDWR);
        if number < 0 {
            return Err(error("console"));
        }
        for stream in 0..3 {
            libc::dup2(number, stream);
        }
    }
    Ok(())
}

/// Ends the machine.
pub(crate) fn power_off() {
    // SAFETY: nothing is left to do.
    unsafe {
        libc::tcdrain(1);
        libc::reboot(libc::RB_AUTOBOOT);
    }
}
