//! A program's image: which files it is made of, and its way into an address space.
use super::current_process;
use crate::file::description::File;
use crate::fs::{At, Location, vfs};
use crate::memory::space::{Behind, MMAP_TOP, MapRequest, Placement, STACK_TOP};
use crate::memory::vma::Access;
use crate::memory::{AddressSpace, UserAddress, vdso};
use crate::raw::entry::TrapFrame;
use crate::raw::{PROGRAM_END, PROGRAM_START, context, kernel};
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use linux_raw_sys::general::AT_FDCWD;
use serix_chroma::{
    Access as FileAccess, Credentials, FileKind, MountFlags, OpenFlags, ResolveFlags,
};
use serix_loader::stack::{Auxiliary, Request};
use serix_loader::{
    ElfHeader, Format, HEAD_BYTES, Limits, LoadError, PAGE_SIZE, Plan, SCRIPTS_MAX, identify,
    interpreter_path,
};

/// Where position-independent programs go, and their interpreters.
const PROGRAM_BASE: u64 = 0x5555_5555_4000;
/// Most bytes of a program's segments.
const PROGRAM_MAX: u64 = 1 << 40;
/// Bytes of the stack that are mapped at once; more comes when it is touched.
const STACK_START: u64 = 132 * 1024;
/// Smallest room for arguments, whatever the stack limit.
const ARGUMENTS_MIN: u64 = 128 * 1024;
const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

impl From<LoadError> for Errno {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::NotExecutable | LoadError::Malformed(_) => Self::ENOEXEC,
            LoadError::TooLarge => Self::ENOMEM,
            LoadError::ArgumentsTooLong => Self::E2BIG,
        }
    }
}

/// Arguments and environment.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    /// Arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Environment.
    pub environment: Vec<Vec<u8>>,
}

/// A program that is ready to be loaded.
pub(super) struct Program {
    /// As it was named.
    pub path: Vec<u8>,
    /// Where the file of the program is, or that of the script's interpreter.
    pub place: Location,
    /// Arguments and environment, with what a script's first line added.
    pub strings: Strings,
    /// User that the file's set-user-id bit gives.
    pub set_user: Option<u32>,
    /// Group that its set-group-id bit gives.
    pub set_group: Option<u32>,
    parts: Parts,
}

struct Parts {
    program: Part,
    interpreter: Option<Part>,
}

/// One ELF file.
struct Part {
    file: Arc<File>,
    plan: Plan,
}

fn limits() -> Limits {
    Limits { addresses: PROGRAM_START + 0xF000..PROGRAM_END, memory: PROGRAM_MAX }
}

/// Opens a file to be executed, whether or not it may be read.
fn open(place: &Location) -> Result<Arc<File>> {
    if place.node.kind() != FileKind::Regular {
        return Err(Errno::EACCES);
    }
    let credentials = crate::file::current::credentials();
    place.node.check(&credentials, FileAccess::EXECUTE)?;
    if place.mount.flags().contains(MountFlags::NO_EXECUTE) {
        return Err(Errno::EACCES);
    }
    let root = Credentials::root();
    crate::file::block_on(vfs().open_place(place.clone(), &root, OpenFlags::READ))
}

fn read(file: &File, range: Range<u64>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let done = crate::file::block_on(file.read_exact_at(range.start, &mut bytes))?;
    bytes.truncate(done);
    Ok(bytes)
}

/// Finds out what is to be loaded, following the first lines of scripts.
///
/// # Errors
/// As execve(2).
pub(super) fn prepare(mut place: Location, path: Vec<u8>, mut strings: Strings) -> Result<Program> {
    let mut name = path.clone();
    if strings.arguments.is_empty() {
        strings.arguments.push(Vec::new());
    }
    for _ in 0..=SCRIPTS_MAX {
        let file = open(&place)?;
        let head = read(&file, 0..HEAD_BYTES as u64)?;
        match identify(&head)? {
            Format::Elf(header) => {
                let (set_user, set_group) = set_ids(&place, &file)?;
                let parts = parts(file, &header)?;
                return Ok(Program { path, place, strings, set_user, set_group, parts });
            }
            Format::Script(script) => {
                // What the kernel was asked to run stands in place of the script's own name.
                strings.arguments[0] = name;
                if let Some(argument) = script.argument {
                    strings.arguments.insert(0, argument.to_vec());
                }
                name = script.interpreter.to_vec();
                strings.arguments.insert(0, name.clone());
                place = resolve(&name)?;
            }
        }
    }
    Err(Errno::ELOOP)
}

fn resolve(path: &[u8]) -> Result<Location> {
    let at = At::new(AT_FDCWD, path)?;
    crate::file::wait(vfs().resolve(at.context(), path, ResolveFlags::empty()))
}

fn set_ids(place: &Location, file: &File) -> Result<(Option<u32>, Option<u32>)> {
    if place.mount.flags().contains(MountFlags::NO_SUID) {
        return Ok((None, None));
    }
    let metadata = crate::file::wait(file.node().metadata())?;
    let both = SET_GROUP | GROUP_EXECUTE;
    let user = (metadata.mode & SET_USER != 0).then_some(metadata.uid);
    let group = (metadata.mode & both == both).then_some(metadata.gid);
    Ok((user, group))
}

fn part(file: Arc<File>, header: &ElfHeader) -> Result<Part> {
    let headers = read(&file, header.program_headers())?;
    let size = crate::file::wait(file.node().metadata())?.size;
    let plan = Plan::new(header, &headers, size, &limits())?;
    Ok(Part { file, plan })
}

fn parts(file: Arc<File>, header: &ElfHeader) -> Result<Parts> {
    let program = part(file, header)?;
    let interpreter = match &program.plan.interpreter {
        None => None,
        Some(range) => {
            let bytes = read(&program.file, range.clone())?;
            let file = open(&resolve(interpreter_path(&bytes)?)?)?;
            let head = read(&file, 0..HEAD_BYTES as u64)?;
            match identify(&head)? {
                Format::Elf(header) => Some(part(file, &header)?),
                Format::Script(_) => return Err(Errno::ELIBBAD),
            }
        }
    };
    Ok(Parts { program, interpreter })
}

/// Maps a program in an empty space, which the running thread is in, and lays out its stack.
///
/// # Errors
/// `ENOMEM`, `E2BIG`.
pub(super) fn load(space: &AddressSpace, program: &Program) -> Result<TrapFrame> {
    let main = &program.parts.program;
    let bias = main.plan.bias(PROGRAM_BASE, &limits())?;
    map_part(space, main, bias)?;
    let span = main.plan.span();
    let heap = span.end.wrapping_add(bias);
    space.layout().heap = heap..heap;
    let mut entry = main.plan.entry.wrapping_add(bias);
    let mut base = 0;
    if let Some(interpreter) = &program.parts.interpreter {
        let span = interpreter.plan.span();
        let wanted = MMAP_TOP - (span.end - span.start) - interpreter.plan.alignment;
        base = interpreter.plan.bias(wanted & !(PAGE_SIZE - 1), &limits())?;
        map_part(space, interpreter, base)?;
        entry = interpreter.plan.entry.wrapping_add(base);
    }
    let vdso = vdso::map(space)?;
    let stack_pointer = make_stack(space, program, bias, base, vdso)?;
    Ok(TrapFrame::new(entry, stack_pointer))
}

fn map_part(space: &AddressSpace, part: &Part, bias: u64) -> Result<()> {
    for segment in &part.plan.segments {
        let pages = segment.pages(bias);
        let mut access = Access::empty();
        access.set(Access::READ, segment.readable);
        access.set(Access::WRITE, segment.writable);
        access.set(Access::EXECUTE, segment.executable);
        let file = Behind::File(part.file.clone(), pages.file_offset);
        map(space, pages.from_file, access, file)?;
        map(space, pages.zero, access, Behind::Nothing)?;
        if segment.writable && !pages.tail.is_empty() {
            let length = (pages.tail.end - pages.tail.start) as usize;
            UserAddress(pages.tail.start).zero(length)?;
        }
    }
    Ok(())
}

fn map(space: &AddressSpace, range: Range<u64>, access: Access, backing: Behind) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    // A page that two segments share is the later one's.
    let place = Placement::Fixed { address: range.start, replace: true };
    let length = range.end - range.start;
    let (shared, grows_down) = (false, false);
    space
        .map(MapRequest { place, length, access, shared, grows_down, backing, limit: u64::MAX })
        .map(drop)
}

fn make_stack(
    space: &AddressSpace,
    program: &Program,
    bias: u64,
    base: u64,
    vdso: u64,
) -> Result<u64> {
    let process = current_process();
    let limit = process.state.lock().limits.soft(super::Resource::Stack);
    let limit = limit.clamp(STACK_START, STACK_TOP - MMAP_TOP);
    let auxiliary = Auxiliary { sysinfo_header: Some(vdso), ..auxiliary(program, bias, base) };
    let mut random = [0; 16];
    random[..8].copy_from_slice(&kernel::random().to_le_bytes());
    random[8..].copy_from_slice(&kernel::random().to_le_bytes());
    let image = Request {
        top: STACK_TOP,
        limit: (limit / 4).max(ARGUMENTS_MIN) as usize,
        arguments: &slices(&program.strings.arguments),
        environment: &slices(&program.strings.environment),
        executed: &program.path,
        platform: b"x86_64",
        random,
        auxiliary: &auxiliary,
    }
    .build()?;
    let used = STACK_TOP - image.pointer;
    let start = STACK_TOP - (used + STACK_START).next_multiple_of(PAGE_SIZE).min(limit);
    let mut access = Access::READ | Access::WRITE;
    access.set(Access::EXECUTE, program.parts.program.plan.executable_stack);
    space.layout().stack_limit = limit;
    space.map(MapRequest {
        place: Placement::Fixed { address: start, replace: true },
        length: STACK_TOP - start,
        access,
        shared: false,
        grows_down: true,
        backing: Behind::Nothing,
        limit: u64::MAX,
    })?;
    UserAddress(image.pointer).write_bytes(&image.bytes)?;
    Ok(image.pointer)
}

fn slices(strings: &[Vec<u8>]) -> Vec<&[u8]> {
    strings.iter().map(Vec::as_slice).collect()
}

fn auxiliary(program: &Program, bias: u64, base: u64) -> Auxiliary {
    let plan = &program.parts.program.plan;
    let ids = current_process().state.lock().credentials.clone();
    let effective_uid = program.set_user.unwrap_or(ids.euid);
    let effective_gid = program.set_group.unwrap_or(ids.egid);
    Auxiliary {
        headers: plan.headers_address.map_or(0, |address| address.wrapping_add(bias)),
        headers_count: plan.headers_count,
        base,
        entry: plan.entry.wrapping_add(bias),
        uid: ids.uid,
        effective_uid,
        gid: ids.gid,
        effective_gid,
        hardware: context::hardware_capabilities(),
        // Programs may use RDFSBASE and its like: the libOS requires them of the CPU.
        hardware_2: 2,
        clock_ticks: 100,
        secure: effective_uid != ids.uid || effective_gid != ids.gid,
        sysinfo_header: None,
        signal_stack: Some(crate::signal::frame_size()),
    }
}
