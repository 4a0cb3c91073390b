//! A child runs this very program anew, which ends at once, and is waited for.
use crate::EXECUTED;
use crate::meter::{Meter, Outcome, must};
use crate::raw::Child;

pub(super) fn with_vfork(meter: &mut Meter) -> Outcome {
    let program = program()?;
    let mut stack = vec![0u64; 2048];
    meter.figures(51, || {
        let child = Child::vfork_exec(&program, &mut stack)?;
        must(child.wait() == Some(EXECUTED), "another status")
    })
}

pub(super) fn with_fork(meter: &mut Meter) -> Outcome {
    let program = program()?;
    meter.figures(51, || {
        let child = Child::fork(|| crate::raw::exec(&program))?;
        must(child.wait() == Some(EXECUTED), "another status")
    })
}

/// Where this program is; a link would have to be followed each time.
fn program() -> Result<std::ffi::CString, String> {
    let program = std::fs::read_link("/proc/self/exe").map_err(|error| error.to_string())?;
    std::ffi::CString::new(program.into_os_string().into_encoded_bytes()).map_err(|e| e.to_string())
}
