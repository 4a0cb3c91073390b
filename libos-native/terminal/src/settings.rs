//! What `termios` says, and its bytes.
use linux_raw_sys::general as linux;

/// Control characters of a `struct termios`.
pub const CC_COUNT: usize = 19;
/// The value of a control character that is none.
pub const DISABLED: u8 = 0;
/// Bytes of the kernel's `struct termios`.
pub const TERMIOS_SIZE: usize = 36;
/// Bytes of `struct termios2`.
pub const TERMIOS2_SIZE: usize = 44;
/// What `c_ispeed` and `c_ospeed` are in a fresh terminal.
const SPEED: u32 = 38400;

/// The settings of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `c_iflag`
    pub input: u32,
    /// `c_oflag`
    pub output: u32,
    /// `c_cflag`: nothing here follows it.
    pub control: u32,
    /// `c_lflag`
    pub local: u32,
    /// `c_line`
    pub line: u8,
    /// `c_cc`
    pub characters: [u8; CC_COUNT],
    /// `c_ispeed`, `c_ospeed`
    pub speeds: [u32; 2],
}

impl Settings {
    /// Those of a fresh terminal, as Linux has them (`tty_std_termios`).
    #[must_use]
    pub const fn fresh() -> Self {
        let mut characters = [DISABLED; CC_COUNT];
        characters[linux::VINTR as usize] = 3;
        characters[linux::VQUIT as usize] = 0o34;
        characters[linux::VERASE as usize] = 0o177;
        characters[linux::VKILL as usize] = 0o25;
        characters[linux::VEOF as usize] = 4;
        characters[linux::VMIN as usize] = 1;
        characters[linux::VSTART as usize] = 0o21;
        characters[linux::VSTOP as usize] = 0o23;
        characters[linux::VSUSP as usize] = 0o32;
        characters[linux::VREPRINT as usize] = 0o22;
        characters[linux::VDISCARD as usize] = 0o17;
        characters[linux::VWERASE as usize] = 0o27;
        characters[linux::VLNEXT as usize] = 0o26;
        Self {
            input: linux::ICRNL | linux::IXON,
            output: linux::OPOST | linux::ONLCR,
            control: linux::B38400 | linux::CS8 | linux::CREAD,
            local: linux::ISIG
                | linux::ICANON
                | linux::ECHO
                | linux::ECHOE
                | linux::ECHOK
                | linux::ECHOCTL
                | linux::ECHOKE
                | linux::IEXTEN,
            line: 0,
            characters,
            speeds: [SPEED; 2],
        }
    }

    /// Those of the master's side of a pair, which does nothing with its bytes.
    #[must_use]
    pub const fn plain() -> Self {
        Self { input: 0, output: 0, local: 0, ..Self::fresh() }
    }

    /// A control character by its number in `c_cc`.
    #[must_use]
    pub const fn character(&self, number: u32) -> u8 {
        self.characters[number as usize]
    }

    pub(crate) const fn has_input(&self, flag: u32) -> bool {
        self.input & flag != 0
    }
    pub(crate) const fn has_output(&self, flag: u32) -> bool {
        self.output & flag != 0
    }
    pub(crate) const fn has_local(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    /// Whether `^S` and `^Q` stop and start it, for the other side's packet mode.
    pub(crate) const fn has_usual_flow(&self) -> bool {
        self.has_input(linux::IXON)
            && self.character(linux::VSTOP) == 0o23
            && self.character(linux::VSTART) == 0o21
    }

    /// As `struct termios`.
    #[must_use]
    pub fn to_termios(&self) -> [u8; TERMIOS_SIZE] {
        let mut bytes = [0; TERMIOS_SIZE];
        let words = [self.input, self.output, self.control, self.local];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = self.line;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }

    /// As `struct termios2`.
    #[must_use]
    pub fn to_termios2(&self) -> [u8; TERMIOS2_SIZE] {
        let mut bytes = [0; TERMIOS2_SIZE];
        bytes[..TERMIOS_SIZE].copy_from_slice(&self.to_termios());
        for (to, speed) in bytes[TERMIOS_SIZE..].chunks_exact_mut(4).zip(self.speeds) {
            to.copy_from_slice(&speed.to_ne_bytes());
        }
        bytes
    }

    /// From a `struct termios`; the speeds stay as they are.
    #[must_use]
    pub fn with_termios(self, bytes: &[u8; TERMIOS_SIZE]) -> Self {
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut characters = [0; CC_COUNT];
        characters.copy_from_slice(&bytes[17..]);
        // A terminal without a wire has eight bits and no parity.
        let control = word(8) & !(linux::CSIZE | linux::PARENB) | linux::CS8 | linux::CREAD;
        let (input, output, local, line) = (word(0), word(4), word(12), bytes[16]);
        Self { input, output, control, local, line, characters, speeds: self.speeds }
    }

    /// From a `struct termios2`.
    #[must_use]
    pub fn with_termios2(self, bytes: &[u8; TERMIOS2_SIZE]) -> Self {
        let (first, speeds) = bytes.split_at(TERMIOS_SIZE);
        let mut termios = [0; TERMIOS_SIZE];
        termios.copy_from_slice(first);
        let speed = |at: usize| {
            u32::from_ne_bytes([speeds[at], speeds[at + 1], speeds[at + 2], speeds[at + 3]])
        };
        Self { speeds: [speed(0), speed(4)], ..self.with_termios(&termios) }
    }
}
