//! What the manifest says about the session.
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use spin::Once;

/// A failure on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `fault`: an access to nothing, in libOS code.
    Fault,
    /// `panic`: a panic.
    Panic,
}

/// The session's part of the manifest, as far as the libOS follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The first program and its arguments.
    pub program: Vec<Vec<u8>>,
    /// Its environment.
    pub environment: Vec<Vec<u8>>,
    /// Whether calls are traced.
    pub trace: bool,
    /// Whether call sites stay as they are.
    pub no_patch: bool,
    /// After how many traps they are patched.
    pub patch_after: Option<u16>,
    /// Whether the link's other end may be a terminal; it says itself whether it is.
    pub terminal: bool,
    /// How the libOS is to fail once it is up, for tests of what it reports.
    pub failure: Option<Failure>,
    /// The commit that the system was built from, or empty.
    pub commit: String,
    /// Options that the libOS does not know.
    pub unknown: Vec<String>,
}

/// What is run if the manifest names no program.
const SHELL: &[u8] = b"/bin/sh";

impl Options {
    /// Reads the text of a session's part of the manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut manifest =
            serix_manifest::parse(text).map_err(|error| alloc::format!("{error}"))?;
        if manifest.sessions.len() != 1 {
            return Err(alloc::format!("{} sessions where one should be", manifest.sessions.len()));
        }
        let session = manifest.sessions.remove(0);
        let mut options =
            Self { program: session.program, environment: session.env, ..Self::default() };
        if options.program.is_empty() {
            options.program = vec![SHELL.to_vec()];
        }
        for option in session.options {
            match option.as_str() {
                "strace" => options.trace = true,
                "no-patch" => options.no_patch = true,
                "fault" => options.failure = Some(Failure::Fault),
                "panic" => options.failure = Some(Failure::Panic),
                "tty" => options.terminal = true,
                other => match other.split_once('=') {
                    Some(("commit", commit)) => options.commit = commit.into(),
                    Some(("patch-after", traps)) if is_count(traps) => {
                        options.patch_after = traps.parse().ok();
                    }
                    _ => options.unknown.push(option),
                },
            }
        }
        Ok(options)
    }

    /// The value of an environment variable.
    #[must_use]
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        let value = |entry: &'_ Vec<u8>| -> Option<usize> {
            let rest = entry.strip_prefix(name)?;
            (rest.first() == Some(&b'=')).then_some(name.len() + 1)
        };
        self.environment.iter().find_map(|entry| value(entry).map(|at| &entry[at..]))
    }
}

fn is_count(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|count| count > 0)
}

static OPTIONS: Once<Options> = Once::new();

/// The session's options.
#[must_use]
pub fn options() -> &'static Options {
    OPTIONS.call_once(Options::default)
}

pub(super) fn set(options: Options) -> &'static Options {
    OPTIONS.call_once(|| options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_manifest() {
        let text =
            b"[session main]\nlibos = libos-posix\nmemory = rest\nprogram = \"sh\" \"-c\" \"x\"\n\
            env = \"PATH=/bin\"\nenv = \"PATHS=1\"\noption = strace\noption = no-patch\noption = tty\noption = commit=abc\noption = patch-after=0\noption = patch-after=3\noption = odd\n";
        let options = Options::parse(text).unwrap();
        assert_eq!(options.program, [b"sh".to_vec(), b"-c".to_vec(), b"x".to_vec()]);
        assert_eq!(options.variable(b"PATH"), Some(&b"/bin"[..]));
        assert_eq!(options.variable(b"PAT"), None);
        assert_eq!(options.commit, "abc");
        assert!(options.trace && options.no_patch && options.terminal);
        assert_eq!(options.patch_after, Some(3));
        assert_eq!(options.unknown, ["patch-after=0", "odd"]);
    }

    #[test]
    fn a_session_without_a_program_runs_a_shell() {
        let text = b"[session main]\nlibos = libos-posix\nmemory = 48M\n";
        assert_eq!(Options::parse(text).unwrap().program, [SHELL.to_vec()]);
        assert!(Options::parse(b"").is_err());
        assert!(Options::parse(b"nonsense").is_err());
    }
}
