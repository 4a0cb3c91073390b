//! From the first libOS instruction to the first of the program, and the orderly end.
use super::options::{self, Failure, Options};
use super::{STATUS_BROKEN, log_line, options as session_options, resources};
use crate::file::description::{Description, Object};
use crate::file::pipe::End;
use crate::file::table::Entry;
use crate::memory::{AddressSpace, SessionFrames};
use crate::process::{self, ExitStatus, Process, Strings, current_process};
use crate::raw::context::Place;
use crate::raw::entry::TrapFrame;
use crate::raw::{display, start};
use crate::sched::{self, Thread};
use crate::signal::ThreadSignals;
use crate::terminal::{console, screen};
use crate::{Errno, Result, fs, io};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{AT_FDCWD, O_RDONLY, O_WRONLY};
use serix_chroma::{Credentials, MountFlags, OpenFlags, ResolveFlags};
use serix_link::{Cause, Stream};
use serix_session::NamedToken;
use serix_sys::abi::start::Framebuffer;
use serix_sys::{Slot, call};
use spin::Once;

/// Where programs without a slash in their name are looked for.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Statuses of programs that could not be started, as shells have them.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
const SET_UP_FAILED: i32 = 125;

/// The disks that the session was given.
static DISKS: Once<Vec<Disk>> = Once::new();

/// A disk extent of the session.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The manifest's name for it.
    pub name: Vec<u8>,
    /// Its slot.
    pub slot: Slot,
    /// Sectors.
    pub sectors: u64,
    /// Whether it may be written.
    pub writable: bool,
}

/// The disks that the session was given, in the manifest's order.
#[must_use]
pub fn disks() -> &'static [Disk] {
    DISKS.get().map_or(&[], Vec::as_slice)
}

/// Says how far the session is.
fn stage(what: &str) {
    let now = serix_sys::time::ticks();
    log_line(format_args!("libos: {what} after {now} instructions or cycles"));
}

/// Makes process 1 and its thread, which goes on in [`boot`].
pub fn start(
    manifest: &[u8],
    tokens: &[NamedToken],
    picture: &Framebuffer,
    place: Place,
) -> Arc<Thread> {
    let options = match Options::parse(manifest) {
        Ok(options) => options::set(options),
        Err(error) => panic!("manifest: {error}"),
    };
    for option in &options.unknown {
        log_line(format_args!("libos: unknown option `{option}`"));
    }
    stage("memory");
    DISKS.call_once(|| start::disks(tokens));
    crate::patch::start();
    screen::adopt(display::canvas(tokens, picture), display::Keyboard::start(tokens));
    if options.trace {
        crate::syscall::set_tracing(true);
        start::retrace(place);
    }
    let process = Process::alone(1, AddressSpace::new(place));
    let frame = TrapFrame::new(process::SESSION, 0);
    let thread = Thread::new(1, process.clone(), place, &frame, 0, ThreadSignals::default());
    let Ok(thread) = thread else { panic!("no memory for the first thread") };
    process.state.lock().threads.push(thread.clone());
    sched::adopt_first(thread.clone());
    thread
}

/// On the first thread: devices, the tree of names, standard streams, the program.
pub fn boot() -> TrapFrame {
    let outcome = start_io().and_then(|()| start_files()).and_then(|()| open_streams());
    if let Err(message) = outcome {
        log_line(format_args!("libos: {message}"));
        end(SET_UP_FAILED, Cause::Setup, message.as_bytes());
    }
    stage("root file system");
    let options = session_options();
    match options.failure {
        Some(Failure::Fault) => crate::raw::fault_on_purpose(),
        Some(Failure::Panic) => panic!("the manifest asks for it"),
        None => {}
    }
    match run(options) {
        Ok(frame) => {
            stage("first program");
            frame
        }
        Err(errno) => {
            let name = String::from_utf8_lossy(&options.program[0]).into_owned();
            let (status, cause) = match errno {
                Errno::ENOENT | Errno::ENOTDIR => (NOT_FOUND, Cause::NotFound),
                _ => (NOT_EXECUTABLE, Cause::NotExecutable),
            };
            let message = alloc::format!("{name}: {}", describe(errno));
            end(status, cause, message.as_bytes())
        }
    }
}

fn describe(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => "not found",
        Errno::EACCES => "permission denied",
        Errno::ENOEXEC => "not an executable format",
        Errno::EISDIR => "is a directory",
        Errno::ENOMEM => "out of memory",
        other => other.name(),
    }
}

fn start_io() -> core::result::Result<(), String> {
    let ring = start::ring().map_err(|error| alloc::format!("no transfer ring: {error:?}"))?;
    let link = resources().link;
    let link = (link != Slot::NONE).then_some(link.0);
    io::start(ring, &SessionFrames, link).map_err(|error| alloc::format!("link: {error}"))
}

fn start_files() -> core::result::Result<(), String> {
    let root = disks().iter().find(|disk| disk.name == b"root");
    let started = sched::block_on(async {
        match root {
            Some(disk) => {
                let volume = super::root::mount(disk).await?;
                let flags = if disk.writable { MountFlags::empty() } else { MountFlags::READ_ONLY };
                fs::start(volume, flags, b"/dev/root").await
            }
            None => fs::start(fs::memory_root()?, MountFlags::empty(), b"none").await,
        }
    });
    started.map_err(|error| alloc::format!("root file system: {error}"))?;
    current_process().replace_context(fs::Context::initial());
    Ok(())
}

/// Descriptors 0 to 2: the terminal at the other end of the link, the link's streams, the machine's screen if there is no link, or
/// nothing. A screen that is left over gets a shell.
fn open_streams() -> core::result::Result<(), String> {
    let named = |errno: Errno| alloc::format!("standard streams: {}", errno.name());
    let screen = screen::start();
    let terminal = if session_options().terminal { console::start() } else { None };
    let alone = io::link().is_none();
    if screen.is_some() && !alone {
        screen::spawn_shell();
    }
    let terminal = terminal.or(screen.filter(|_| alone));
    let terminal = terminal.map(|terminal| console::open(&terminal)).transpose().map_err(named)?;
    for number in 0..3 {
        let description = match &terminal {
            Some(terminal) => terminal.clone(),
            None => stream(number).map_err(named)?,
        };
        let entry = Entry { description, close_on_exec: false };
        crate::file::current::install(entry, number).map_err(named)?;
    }
    Ok(())
}

fn stream(number: usize) -> Result<Arc<Description>> {
    let Some(link) = io::link() else { return null_device(number) };
    let (pipe, end, flags) = match number {
        0 => (link.stdin(), End::Read, O_RDONLY),
        1 => (link.output(Stream::Stdout), End::Write, O_WRONLY),
        _ => (link.output(Stream::Stderr), End::Write, O_WRONLY),
    };
    pipe.open(end);
    Ok(Description::new(Object::Pipe(pipe.clone(), end), flags))
}

fn null_device(number: usize) -> Result<Arc<Description>> {
    let (flags, linux) =
        if number == 0 { (OpenFlags::READ, O_RDONLY) } else { (OpenFlags::WRITE, O_WRONLY) };
    let credentials = Credentials::root();
    let context = fs::vfs().root_context(&credentials);
    let opened = fs::vfs().open(context, b"/dev/null", flags, ResolveFlags::empty(), 0);
    Ok(Description::new(Object::File(crate::file::wait(opened)?), linux))
}

/// Runs the first program, looked for in `PATH` if its name has no slash.
fn run(options: &Options) -> Result<TrapFrame> {
    let environment = match io::link() {
        None => screen::with_kind(&options.environment),
        Some(_) => options.environment.clone(),
    };
    let strings =
        || Strings { arguments: options.program.clone(), environment: environment.clone() };
    let name = &options.program[0];
    if name.contains(&b'/') {
        return process::execute_strings(AT_FDCWD, name.clone(), strings(), 0);
    }
    let path = options.variable(b"PATH").unwrap_or(DEFAULT_PATH);
    let mut outcome = Err(Errno::ENOENT);
    for folder in path.split(|byte| *byte == b':') {
        let candidate = [folder, b"/", name].concat();
        match process::execute_strings(AT_FDCWD, candidate, strings(), 0) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => outcome = Err(Errno::EACCES),
            other => return other,
        }
    }
    outcome
}

/// Ends the session because its first process ended.
pub fn finish(status: ExitStatus) -> ! {
    end(status.to_shell_status(), Cause::Exited, b"")
}

fn end(status: i32, cause: Cause, message: &[u8]) -> ! {
    let unknown = crate::syscall::unknown_count();
    if unknown > 0 {
        log_line(format_args!("libos: {unknown} calls had no handler"));
    }
    log_line(format_args!("libos: {}", crate::patch::summary()));
    console::drain();
    if let Err(errno) = fs::shut_down() {
        log_line(format_args!("libos: unmount: {}", errno.name()));
    }
    io::finish(status, cause, message);
    call::exit(if cause == Cause::Setup { STATUS_BROKEN } else { status })
}
