//! The parser: line by line, first fault wins.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::text::{is_name, number, size, strings, without_comment};
use crate::{
    Access, Console, Cores, Device, DeviceUse, Disk, Error, Manifest, Memory, Restart,
    SESSIONS_MAX, Session, TEXT_MAX,
};

/// Reads a manifest.
///
/// # Errors
/// The first line that is wrong, and what was expected there.
pub fn parse(bytes: &[u8]) -> Result<Manifest, Error> {
    if bytes.len() > TEXT_MAX {
        return Err(fault(1, "at most 64 KiB of text", &format!("{} bytes", bytes.len())));
    }
    let text = core::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        fault(line, "text in UTF-8 (other bytes as \\xNN)", "bytes that are none")
    })?;
    let (mut manifest, mut open) = (Manifest::default(), None);
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (without_comment(line), index + 1);
        if line.is_empty() {
            continue;
        }
        if line.starts_with('[') {
            close(open.take(), &mut manifest)?;
            open = Some(header(line, number, &manifest)?);
        } else {
            let session = open.as_mut().ok_or_else(|| fault(number, HEADER, line))?;
            entry(session, line, number)?;
        }
    }
    close(open, &mut manifest)?;
    if manifest.sessions.is_empty() {
        return Err(fault(text.lines().count().max(1), HEADER, "the end of the text"));
    }
    Ok(manifest)
}

const HEADER: &str = "a header `[session NAME]`";
const KEY: &str = "KEY = VALUE with a key of libos, memory, cores, slices, disk NAME, device, console, program, \
                   env, option, restart";

/// A session whose entries are being read.
struct Open {
    line: usize,
    session: Session,
    /// Keys seen of those that may stand once.
    seen: Vec<&'static str>,
}

fn fault(line: usize, expected: &'static str, found: &str) -> Error {
    const SHOWN: usize = 60;
    let short: String = found.chars().take(SHOWN).collect();
    let found =
        if short.len() < found.len() { format!("`{short}…`") } else { format!("`{found}`") };
    Error { line, expected, found }
}

fn header(line: &str, number: usize, manifest: &Manifest) -> Result<Open, Error> {
    let inner = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let words: Vec<&str> = inner.unwrap_or("").split_ascii_whitespace().collect();
    let ["session", name] = words[..] else { return Err(fault(number, HEADER, line)) };
    if !is_name(name) {
        return Err(fault(number, "a name of letters, digits, `_`, `-`, `.`", name));
    }
    if manifest.sessions.iter().any(|session| session.name == name) {
        return Err(fault(number, "a name that no other session has", name));
    }
    if manifest.sessions.len() == SESSIONS_MAX {
        return Err(fault(number, "at most 16 sessions", line));
    }
    let session = Session::new(name, "", Memory::Rest);
    Ok(Open { line: number, session, seen: Vec::new() })
}

fn close(open: Option<Open>, manifest: &mut Manifest) -> Result<(), Error> {
    let Some(Open { line, session, seen }) = open else { return Ok(()) };
    for (key, expected) in [("libos", "an entry `libos`"), ("memory", "an entry `memory`")] {
        if !seen.contains(&key) {
            return Err(fault(line, expected, &format!("session {} without one", session.name)));
        }
    }
    let takes_rest = |session: &Session| session.memory == Memory::Rest;
    if takes_rest(&session) && manifest.sessions.iter().any(takes_rest) {
        return Err(fault(line, "one session with `memory = rest`", "a second one"));
    }
    manifest.sessions.push(session);
    Ok(())
}

fn entry(open: &mut Open, line: &str, number: usize) -> Result<(), Error> {
    let (key, value) = line.split_once('=').ok_or_else(|| fault(number, KEY, line))?;
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() {
        return Err(fault(number, "a value after `=`", line));
    }
    let key_words: Vec<&str> = key.split_ascii_whitespace().collect();
    match key_words[..] {
        ["disk", name] => disk(open, name, value, number),
        ["device"] => device(open, value, number),
        ["env"] => env(open, value, number),
        ["option"] => {
            let option = one_word(value, number)?;
            open.session.options.push(option.into());
            Ok(())
        }
        [key] => single(open, key, value, number),
        _ => Err(fault(number, KEY, line)),
    }
}

/// The entries that may stand once.
fn single(open: &mut Open, key: &str, value: &str, number: usize) -> Result<(), Error> {
    const SINGLE: [&str; 7] =
        ["libos", "memory", "cores", "slices", "console", "program", "restart"];
    let Some(&known) = SINGLE.iter().find(|&&known| known == key) else {
        return Err(fault(number, KEY, key));
    };
    if open.seen.contains(&known) {
        return Err(fault(number, "this key once in a session", key));
    }
    open.seen.push(known);
    let session = &mut open.session;
    match known {
        "libos" => session.libos = name(value, number)?.into(),
        "memory" => session.memory = memory(value, number)?,
        "cores" => session.cores = cores(value, number)?,
        "slices" => session.slices = slices(value, number)?,
        "console" => session.console = console(value, number)?,
        "program" => session.program = byte_strings(value, number)?,
        _ => session.restart = restart(value, number)?,
    }
    Ok(())
}

fn disk(open: &mut Open, disk_name: &str, value: &str, number: usize) -> Result<(), Error> {
    const FORM: &str = "DEVICE:PARTITION and rw or ro";
    let disk_name = name(disk_name, number)?;
    if open.session.disks.iter().any(|disk| disk.name == disk_name) {
        return Err(fault(number, "a name that no other disk of the session has", disk_name));
    }
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let [place, access] = words[..] else { return Err(fault(number, FORM, value)) };
    let (device, partition) = place.split_once(':').ok_or_else(|| fault(number, FORM, value))?;
    let access = match access {
        "ro" => Access::ReadOnly,
        "rw" => Access::ReadWrite,
        _ => return Err(fault(number, FORM, value)),
    };
    open.session.disks.push(Disk {
        name: disk_name.into(),
        device: name(device, number)?.into(),
        partition: name(partition, number)?.into(),
        access,
    });
    Ok(())
}

fn device(open: &mut Open, value: &str, number: usize) -> Result<(), Error> {
    const EXPECTED: &str = "framebuffer or keyboard, and perhaps `optional`";
    let (name, optional) = match value.split_once(' ') {
        Some((name, rest)) if rest.trim_start() == "optional" => (name, true),
        Some(_) => return Err(fault(number, EXPECTED, value)),
        None => (value, false),
    };
    let found = Device::ALL.into_iter().find(|device| device.name() == name);
    let device = found.ok_or_else(|| fault(number, EXPECTED, value))?;
    if open.session.devices.iter().any(|other| other.device == device) {
        return Err(fault(number, "each device once in a session", value));
    }
    open.session.devices.push(DeviceUse { device, optional });
    Ok(())
}

fn env(open: &mut Open, value: &str, number: usize) -> Result<(), Error> {
    let variables = byte_strings(value, number)?;
    let is_variable =
        |bytes: &Vec<u8>| bytes.iter().position(|&b| b == b'=').is_some_and(|at| at > 0);
    if variables.len() != 1 || !is_variable(&variables[0]) {
        return Err(fault(number, "one string \"NAME=VALUE\"", value));
    }
    open.session.env.extend(variables);
    Ok(())
}

fn byte_strings(value: &str, number: usize) -> Result<Vec<Vec<u8>>, Error> {
    let list = strings(value).map_err(|(expected, found)| fault(number, expected, found))?;
    if list.iter().any(|string| string.contains(&0)) {
        return Err(fault(number, "strings without a zero byte", value));
    }
    Ok(list)
}

fn name(value: &str, number: usize) -> Result<&str, Error> {
    const NAME: &str = "a name of up to 64 letters, digits, `_`, `-`, `.`";
    is_name(value).then_some(value).ok_or_else(|| fault(number, NAME, value))
}

fn one_word(value: &str, number: usize) -> Result<&str, Error> {
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    let is_word = value.bytes().all(legal);
    is_word.then_some(value).ok_or_else(|| fault(number, "one word", value))
}

fn memory(value: &str, number: usize) -> Result<Memory, Error> {
    if value == "rest" {
        return Ok(Memory::Rest);
    }
    let bytes = size(value).map(Memory::Bytes);
    bytes.ok_or_else(|| fault(number, "`rest` or a size like 48M", value))
}

fn cores(value: &str, line: usize) -> Result<Cores, Error> {
    if value == "all" {
        return Ok(Cores::All);
    }
    let count = number(value).and_then(|count| u32::try_from(count).ok()).filter(|&n| n > 0);
    count.map(Cores::Count).ok_or_else(|| fault(line, "`all` or a number of cores from 1", value))
}

fn slices(value: &str, line: usize) -> Result<u32, Error> {
    let count = number(value).and_then(|count| u32::try_from(count).ok()).filter(|&n| n > 0);
    count.ok_or_else(|| fault(line, "a number of slices from 1", value))
}

fn console(value: &str, number: usize) -> Result<Console, Error> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    match words[..] {
        ["link"] => Ok(Console { link: true, log: false }),
        ["log"] => Ok(Console { link: false, log: true }),
        ["link", "log"] | ["log", "link"] => Ok(Console { link: true, log: true }),
        ["none"] => Ok(Console::default()),
        _ => Err(fault(number, "link, log, link log or none", value)),
    }
}

fn restart(value: &str, number: usize) -> Result<Restart, Error> {
    match value {
        "never" => Ok(Restart::Never),
        "on-failure" => Ok(Restart::OnFailure),
        _ => Err(fault(number, "never or on-failure", value)),
    }
}
