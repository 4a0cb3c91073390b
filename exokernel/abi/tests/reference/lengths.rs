//! Path lengths of calls, as the guest counted them: `lengths.txt` has a line for each, name, instructions and calls, or name and a dash.

use serix_abi::Call;

/// What follows a call's name; `None` if it has no line.
pub(crate) fn line(name: &str) -> Option<&'static str> {
    let mut lines = include_str!("lengths.txt").lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

/// The length of a call, as a phrase.
pub(crate) fn of(call: Call) -> String {
    let words = line(call.signature().0).map(|line| line.split(' ').collect::<Vec<_>>());
    match words.as_deref() {
        Some([spent, _]) if call == Call::LedgerCheck => {
            format!("{spent} instructions for each part")
        }
        Some([spent, "1"]) => format!("{spent} instructions"),
        Some([spent, calls]) => format!("{spent} instructions in {calls} calls"),
        _ => "not counted, as it does not come back to its caller".to_owned(),
    }
}
