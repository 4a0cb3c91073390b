//! Stacks of the running machine, taken through QEMU's monitor.
//!
//! Kernel and libOS keep frame pointers, so a stack is a walk of pairs of words. The machine stands still
//! meanwhile, and its virtual time with it.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::Result;

use super::symbols::Symbols;
use crate::machine::Monitor;

/// How long the machine may take to open its monitor: builds come before.
const START: Duration = Duration::from_secs(900);
/// Most frames of a stack.
const DEPTH: usize = 40;

/// Takes stacks through the monitor.
pub(super) struct Sampler(Monitor);

/// Where the machine was.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// Addresses of code, the innermost first.
    pub(super) addresses: Vec<u64>,
    /// The words that the stack pointer points at: in the first instruction of an interrupt where it came, behind the
    /// error code if it has one.
    pub(super) top: [u64; 2],
}

impl Sampler {
    /// Waits for the machine's monitor.
    pub(super) fn connect(socket: &Path, run: &mut Child) -> Result<Self> {
        Monitor::connect(socket, run, START).map(Self)
    }

    /// Takes a stack each `interval` from the libOS's start on, until there are `count` or the run is over.
    pub(super) fn collect(
        &mut self,
        interval: Duration,
        count: usize,
        run: &mut Child,
    ) -> Result<Vec<Stack>> {
        let mut stacks = Vec::new();
        while stacks.len() < count && run.try_wait()?.is_none() {
            std::thread::sleep(interval);
            match self.sample() {
                Ok(Some(stack)) if !stacks.is_empty() || Symbols::has_libos(&stack.addresses) => {
                    stacks.push(stack);
                }
                Ok(_) => {}
                // The machine has ended; the run will.
                Err(_) => break,
            }
        }
        Ok(stacks)
    }

    /// One stack; `None` while the machine has nothing to do.
    fn sample(&mut self) -> Result<Option<Stack>> {
        self.0.ask("stop")?;
        let registers = self.0.ask("info registers")?;
        let stack = self.stack(&registers)?;
        self.0.ask("cont")?;
        let is_idle = registers.contains("HLT=1");
        Ok(stack.filter(|_| !is_idle))
    }

    /// The stack that these registers are the top of; none before the CPU is in 64-bit mode.
    fn stack(&mut self, registers: &str) -> Result<Option<Stack>> {
        let (Some(rip), Some(mut frame)) = (field(registers, "RIP="), field(registers, "RBP="))
        else {
            return Ok(None);
        };
        let top = field(registers, "RSP=").unwrap_or_default();
        let top = pair(&self.0.ask(&format!("x/2gx {top:#x}"))?)
            .map_or([0; 2], |(top, next)| [top, next]);
        let mut stack = vec![rip];
        while stack.len() < DEPTH && frame != 0 && frame.is_multiple_of(8) {
            let Some((next, from)) = pair(&self.0.ask(&format!("x/2gx {frame:#x}"))?) else {
                break;
            };
            if from == 0 || next == frame {
                break;
            }
            // The call is right before where it returns to.
            stack.push(from.wrapping_sub(1));
            frame = next;
        }
        Ok(Some(Stack { addresses: stack, top }))
    }
}

/// The number after a name in `info registers`.
fn field(text: &str, name: &str) -> Option<u64> {
    let at = text.find(name)? + name.len();
    u64::from_str_radix(text.get(at..at + 16)?, 16).ok()
}

/// The two words of `x/2gx`, whose answer begins with the command itself.
fn pair(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find(|line| line.contains(": 0x"))?;
    let (_, words) = line.split_once(": ")?;
    let mut words = words.split_whitespace();
    let mut word = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some((word()?, word()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let registers = "info registers\r\nRAX=0000000000000001 RBP=00007f0080001fb0\r\n\
                         RIP=ffffffff80012345 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n(qemu) ";
        assert_eq!(field(registers, "RIP="), Some(0xffff_ffff_8001_2345));
        assert_eq!(field(registers, "RBP="), Some(0x7f00_8000_1fb0));
        assert_eq!(field(registers, "CR9="), None);
        let words =
            "x/2gx 0x10\r\n0000000000000010: 0x0000000000000020 0xffffffff80000001\r\n(qemu) ";
        assert_eq!(pair(words), Some((0x20, 0xffff_ffff_8000_0001)));
        assert_eq!(pair("x/2gx 0x1\r\nCannot access memory\r\n(qemu) "), None);
    }
}
