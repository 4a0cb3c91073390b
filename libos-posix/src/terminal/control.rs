//! Control requests of terminals.
use super::state::State;
use super::{Side, Size, Terminal, devices};
use crate::file::Description;
use crate::file::current;
use crate::file::table::Entry;
use crate::memory::UserAddress;
use crate::process::current_process;
use crate::signal::set::SIGTTOU;
use crate::signal::{SignalInfo, send_to_group};
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::O_CLOEXEC;
use linux_raw_sys::ioctl as linux;
use serix_terminal::{Settings, TERMIOS_SIZE, TERMIOS2_SIZE};

/// Queues of `tcflush`.
const FLUSH_INPUT: u64 = 0;
const FLUSH_OUTPUT: u64 = 1;
const FLUSH_BOTH: u64 = 2;
/// Actions of `tcflow`.
const STOP_OUTPUT: u64 = 0;
const START_OUTPUT: u64 = 1;
const STOP_INPUT: u64 = 2;
const START_INPUT: u64 = 3;
/// The line discipline there is (`N_TTY`).
const DISCIPLINE: i32 = 0;

/// When new settings count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    Drained,
    Flushed,
}

/// `ioctl` on a side of a terminal.
///
/// # Errors
/// `ENOTTY` for what no terminal knows, `EIO` once it is hung up, and those of the request.
pub fn control(terminal: &Arc<Terminal>, side: Side, request: u32, argument: u64) -> Result<i64> {
    let is_master = side == Side::Master;
    if terminal.look(|state| state.is_hung_up) && !is_master {
        return Err(Errno::EIO);
    }
    let address = UserAddress(argument);
    if let Some(answer) = settings(terminal, request, address)? {
        return Ok(answer);
    }
    if let Some(answer) = flow(terminal, side, request, argument)? {
        return Ok(answer);
    }
    if is_master && let Some(answer) = pair(terminal, request, argument)? {
        return Ok(answer);
    }
    match request {
        linux::TIOCGPGRP => address.write(&(terminal.foreground(is_master)?))?,
        linux::TIOCSPGRP => terminal.set_foreground(address.read()?)?,
        linux::TIOCGSID => address.write(&terminal.owner(is_master)?)?,
        linux::TIOCSCTTY if !is_master => terminal.acquire_asked(argument == 1)?,
        linux::TIOCNOTTY => terminal.give_up()?,
        linux::TIOCGWINSZ => address.write(&terminal.size().0)?,
        linux::TIOCSWINSZ => terminal.set_size(Size(address.read()?)),
        linux::TIOCEXCL => terminal.change(|state| state.is_exclusive = true),
        linux::TIOCNXCL => terminal.change(|state| state.is_exclusive = false),
        linux::TIOCGEXCL => {
            address.write(&i32::from(terminal.look(|state| state.is_exclusive)))?;
        }
        linux::TIOCGETD => address.write(&DISCIPLINE)?,
        linux::TIOCSETD if address.read::<i32>()? == DISCIPLINE => {}
        linux::TIOCSETD => return Err(Errno::EINVAL),
        linux::TIOCGDEV => address.write(&terminal.packed_number())?,
        linux::TIOCSTI => type_byte(terminal, side, address.read()?)?,
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

/// `TCGETS`, `TCSETS` and their kin.
fn settings(terminal: &Terminal, request: u32, address: UserAddress) -> Result<Option<i64>> {
    let now = terminal.look(|state| *state.discipline.settings());
    let (when, has_speeds) = match request {
        linux::TCGETS => return address.write_bytes(&now.to_termios()).map(|()| Some(0)),
        linux::TCGETS2 => return address.write_bytes(&now.to_termios2()).map(|()| Some(0)),
        linux::TCSETS => (When::Now, false),
        linux::TCSETSW => (When::Drained, false),
        linux::TCSETSF => (When::Flushed, false),
        linux::TCSETS2 => (When::Now, true),
        linux::TCSETSW2 => (When::Drained, true),
        linux::TCSETSF2 => (When::Flushed, true),
        _ => return Ok(None),
    };
    terminal.check_foreground(SIGTTOU)?;
    let wanted = match has_speeds {
        true => {
            let mut bytes = [0; TERMIOS2_SIZE];
            address.read_bytes(&mut bytes)?;
            now.with_termios2(&bytes)
        }
        false => {
            let mut bytes = [0; TERMIOS_SIZE];
            address.read_bytes(&mut bytes)?;
            now.with_termios(&bytes)
        }
    };
    change_settings(terminal, wanted, when)?;
    Ok(Some(0))
}

fn change_settings(terminal: &Terminal, wanted: Settings, when: When) -> Result<()> {
    if when == When::Flushed {
        terminal.change(|state| state.discipline.flush_input());
    }
    if when != When::Now {
        drain(terminal)?;
    }
    terminal.change(|state| state.discipline.set(wanted));
    Ok(())
}

/// Waits until the console has taken all output. The master's side of a pair counts as having it.
fn drain(terminal: &Terminal) -> Result<()> {
    if terminal.look(|state| state.pair.is_some()) {
        return Ok(());
    }
    let is_drained = |state: &State| state.is_hung_up || state.discipline.output_len() == 0;
    terminal.wait_for(None, is_drained).map_err(|_| Errno::RESTART)
}

/// What waits, and whether it may flow.
fn flow(terminal: &Terminal, side: Side, request: u32, argument: u64) -> Result<Option<i64>> {
    let address = UserAddress(argument);
    match request {
        linux::FIONREAD => {
            let waiting = terminal.look(|state| match side {
                Side::Program => state.discipline.readable_len(),
                Side::Master => state.discipline.output_len(),
            });
            address.write(&(waiting as i32))?;
        }
        linux::TIOCOUTQ => {
            let waiting = terminal.look(|state| match (&state.pair, side) {
                (Some(_), _) => 0,
                (None, _) => state.discipline.output_len(),
            });
            address.write(&(waiting as i32))?;
        }
        linux::TCSBRK | linux::TCSBRKP => {
            terminal.check_foreground(SIGTTOU)?;
            drain(terminal)?;
        }
        linux::TCXONC => {
            terminal.check_foreground(SIGTTOU)?;
            stop_or_start(terminal, argument)?;
        }
        linux::TCFLSH => {
            terminal.check_foreground(SIGTTOU)?;
            flush(terminal, side, argument)?;
        }
        _ => return Ok(None),
    }
    Ok(Some(0))
}

fn stop_or_start(terminal: &Terminal, action: u64) -> Result<()> {
    if action > START_INPUT {
        return Err(Errno::EINVAL);
    }
    terminal.change(|state| match action {
        STOP_OUTPUT => state.discipline.stop_by_program(),
        START_OUTPUT => state.discipline.start_by_program(),
        _ => state.discipline.send_flow(action != STOP_INPUT),
    });
    Ok(())
}

fn flush(terminal: &Terminal, side: Side, queue: u64) -> Result<()> {
    if queue > FLUSH_BOTH {
        return Err(Errno::EINVAL);
    }
    // What is input for one side is output of the other.
    let (program, screen) = match side {
        Side::Program => (FLUSH_INPUT, FLUSH_OUTPUT),
        Side::Master => (FLUSH_OUTPUT, FLUSH_INPUT),
    };
    terminal.change(|state| {
        if queue == program || queue == FLUSH_BOTH {
            state.discipline.flush_input();
            if let Some(pair) = &mut state.pair {
                pair.arriving.clear();
            }
        }
        if queue == screen || queue == FLUSH_BOTH {
            state.discipline.flush_output();
        }
    });
    Ok(())
}

/// `TIOCSTI`: as if the byte had been typed, by its own session or the privileged.
fn type_byte(terminal: &Terminal, side: Side, byte: u8) -> Result<()> {
    let is_privileged = current_process().state.lock().credentials.is_privileged();
    if side == Side::Master || !is_privileged {
        return Err(Errno::EIO);
    }
    terminal.change(|state| state.discipline.receive(&[byte]));
    Ok(())
}

/// Requests of the master's side alone.
fn pair(terminal: &Arc<Terminal>, request: u32, argument: u64) -> Result<Option<i64>> {
    let address = UserAddress(argument);
    let mark = |mark: fn(&mut super::state::Pair, bool), on: bool| {
        terminal.change(|state| {
            if let Some(pair) = &mut state.pair {
                mark(pair, on);
            }
        });
    };
    let is = |look: fn(&super::state::Pair) -> bool| {
        i32::from(terminal.look(|state| state.pair.as_ref().is_some_and(look)))
    };
    match request {
        linux::TIOCGPTN => address.write(&terminal.device.minor)?,
        linux::TIOCSPTLCK => {
            mark(|pair, on| pair.is_locked = on, address.read::<i32>()? != 0);
        }
        linux::TIOCGPTLCK => address.write(&is(|pair| pair.is_locked))?,
        linux::TIOCPKT => {
            let on = address.read::<i32>()? != 0;
            terminal.change(|state| state.discipline.clear_packet_events());
            mark(|pair, on| pair.has_packets = on, on);
        }
        linux::TIOCGPKT => address.write(&is(|pair| pair.has_packets))?,
        linux::TIOCSIG => {
            let group = terminal.look(|state| state.foreground);
            let signal = u32::try_from(argument).ok().filter(|signal| (1..=64).contains(signal));
            let signal = signal.ok_or(Errno::EINVAL)?;
            if group != 0 {
                send_to_group(group, SignalInfo::kernel(signal));
            }
        }
        linux::TIOCGPTPEER => return open_peer(terminal, argument as u32).map(Some),
        _ => return Ok(None),
    }
    Ok(Some(0))
}

/// `TIOCGPTPEER`: the program's side, without looking for its name.
fn open_peer(terminal: &Arc<Terminal>, flags: u32) -> Result<i64> {
    current::check_vacant()?;
    if terminal.look(|state| state.pair.as_ref().is_some_and(|pair| pair.is_locked)) {
        return Err(Errno::EIO);
    }
    let place = devices::place_of(terminal)?;
    terminal.open();
    let description = Description::of_terminal(terminal.clone(), Side::Program, place, flags);
    let entry = Entry { description, close_on_exec: flags & O_CLOEXEC != 0 };
    current::install(entry, 0).map(i64::from)
}
