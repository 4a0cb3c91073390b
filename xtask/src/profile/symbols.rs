//! Names of code addresses.

use std::path::Path;

use super::sampler::Stack;
use crate::symbols::{KERNEL, LIBOS, Table};
use anyhow::Result;

/// What the kernel calls its interrupt entries.
const INTERRUPT: &str = "kernel`serix_stubs";
/// Error codes are below (Intel SDM vol. 3A, 6.13), code is not.
const ERROR_CODE_END: u64 = 0x1_0000;
/// The functions of all parts of a run.
#[derive(Debug)]
pub(super) struct Symbols {
    kernel: Table,
    libos: Table,
    program: Table,
}

impl Symbols {
    /// Of these files; without one of the program it is one box.
    pub(super) fn read(kernel: &Path, libos: &Path, program: Option<&Path>) -> Result<Self> {
        Ok(Self {
            kernel: Table::read(kernel)?,
            libos: Table::read(libos)?,
            program: program.map(Table::read).transpose()?.unwrap_or_default(),
        })
    }

    /// Whether a stack shows that the libOS runs; what comes before is the loader, the kernel's start, the first domain.
    pub(super) fn has_libos(stack: &[u64]) -> bool {
        stack.iter().any(|address| LIBOS.contains(address))
    }

    /// Names of a stack, outermost first. Addresses that are no code end it: there the frame pointer was used for
    /// something else.
    ///
    /// Machines like to stand still where they take an interrupt; such a sample is one of what was interrupted.
    pub(super) fn name_stack(&self, stack: &Stack) -> Vec<String> {
        let mut names = Vec::new();
        let mut addresses = stack.addresses.clone();
        if let Some(first) = addresses.first_mut()
            && self.name(*first).as_deref() == Some(INTERRUPT)
        {
            *first = if stack.top[0] < ERROR_CODE_END { stack.top[1] } else { stack.top[0] };
        }
        for (index, address) in addresses.iter().enumerate() {
            match self.name(*address) {
                Some(name) => names.push(name),
                None if index == 0 => {
                    let part = if *address < LIBOS.start { "program`" } else { "" };
                    names.push(format!("{part}{:#x}", address >> 12 << 12));
                }
                None => break,
            }
        }
        names.dedup_by(|a, b| a == b && a == "program");
        names.reverse();
        names
    }

    fn name(&self, address: u64) -> Option<String> {
        if address >= KERNEL {
            return self.kernel.find(address).map(|(name, _)| format!("kernel`{name}"));
        }
        if LIBOS.contains(&address) {
            return self.libos.find(address).map(|(name, _)| format!("libos`{name}"));
        }
        if self.program.is_empty() {
            return (address < LIBOS.start).then(|| "program".to_owned());
        }
        self.program.find(address).map(|(name, _)| format!("program`{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::PROGRAM_BASE;

    fn table(functions: &[(u64, u64, &str)], bias: u64) -> Table {
        let owned = functions.iter().map(|(start, size, name)| (*start, *size, (*name).to_owned()));
        Table::new(owned.collect(), bias)
    }

    #[test]
    fn addresses_have_the_names_of_their_functions() {
        let symbols = Symbols {
            kernel: table(
                &[
                    (KERNEL, 16, "entry"),
                    (KERNEL + 32, 0, "assembly"),
                    (KERNEL + 64, 8, "serix_stubs"),
                ],
                0,
            ),
            libos: table(&[(LIBOS.start, 8, "call")], 0),
            program: table(&[(0x1000, 8, "main")], PROGRAM_BASE),
        };
        assert_eq!(symbols.name(KERNEL + 15).as_deref(), Some("kernel`entry"));
        assert_eq!(symbols.name(KERNEL + 16), None, "between functions");
        assert_eq!(symbols.name(KERNEL + 40).as_deref(), Some("kernel`assembly"));
        let stack = |addresses: &[u64], top: [u64; 2]| Stack { addresses: addresses.to_vec(), top };
        let whole = stack(&[KERNEL + 1, LIBOS.start, PROGRAM_BASE + 0x1001, 7], [1; 2]);
        assert_eq!(symbols.name_stack(&whole), ["program`main", "libos`call", "kernel`entry"]);
        let interrupted = stack(&[KERNEL + 65, 7], [4, LIBOS.start + 2]);
        assert_eq!(symbols.name_stack(&interrupted), ["libos`call"]);
        assert_eq!(symbols.name_stack(&stack(&[u64::MAX >> 1], [0; 2])), ["0x7ffffffffffff000"]);
        assert_eq!(symbols.name_stack(&stack(&[0x77], [0; 2])), ["program`0x0"]);
        assert!(Symbols::has_libos(&[KERNEL, LIBOS.start]) && !Symbols::has_libos(&[KERNEL, 7]));
    }
}
