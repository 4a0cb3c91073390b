//! The discipline against Linux's own: random settings and bytes through a real pseudo-terminal, step by step.
#![cfg(target_os = "linux")]

use linux_raw_sys::general as linux;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, OptionalActions, SpecialCodeIndex};
use serix_terminal::{Discipline, Settings};
use std::time::{Duration, Instant};

/// How long Linux may take to show what is expected of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing more may come before it is taken for all.
const QUIET: Duration = Duration::from_micros(300);
const CASES: u64 = 600;
const STEPS: usize = 16;
/// For all cases together; those that are left are not run.
const LIMIT: Duration = Duration::from_secs(40);

/// Marsaglia's xorshift: the same cases each time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }

    /// Some of these bits.
    fn bits(&mut self, from: &[u32]) -> u32 {
        from.iter().filter(|_| self.next(2) == 0).fold(0, |all, bit| all | bit)
    }

    fn byte(&mut self) -> u8 {
        const USUAL: &[u8] =
            b"\x03\x04\x08\x11\x13\x15\x16\x17\x1a\x1c\x12\t\n\r\x7f\xff\xc3\xa4\x01 ";
        match self.next(3) {
            0 => b"abAB_9 .~"[self.next(9)],
            1 => USUAL[self.next(USUAL.len())],
            _ if self.next(4) == 0 => self.next(256) as u8,
            _ => b'a' + self.next(26) as u8,
        }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..1 + self.next(most)).map(|_| self.byte()).collect()
    }

    fn settings(&mut self) -> Settings {
        let mut settings = Settings::fresh();
        if self.next(4) > 0 {
            settings.input = self.bits(&[
                linux::ISTRIP,
                linux::INLCR,
                linux::IGNCR,
                linux::ICRNL,
                linux::IUCLC,
                linux::IXON,
                linux::IXANY,
                linux::IUTF8,
                linux::PARMRK,
            ]);
        }
        settings.output = linux::OPOST
            | self.bits(&[linux::OLCUC, linux::ONLCR, linux::OCRNL, linux::ONOCR, linux::ONLRET])
            | self.bits(&[linux::XTABS]);
        if self.next(4) == 0 {
            settings.output &= !linux::OPOST;
        }
        settings.local = self.bits(&[
            linux::ISIG,
            linux::ECHO,
            linux::ECHOE,
            linux::ECHOK,
            linux::ECHONL,
            linux::NOFLSH,
            linux::ECHOCTL,
            linux::ECHOPRT,
            linux::ECHOKE,
            linux::IEXTEN,
        ]);
        settings.local |= if self.next(4) > 0 { linux::ICANON } else { 0 };
        settings.local |= if self.next(2) > 0 { linux::ECHO } else { 0 };
        if self.next(3) == 0 {
            let place = self.next(CHARACTERS.len());
            settings.characters[CHARACTERS[place].0] = self.byte();
        }
        settings
    }
}

/// Control characters that take part, by their place in `c_cc`.
const CHARACTERS: [(usize, SpecialCodeIndex); 14] = [
    (linux::VINTR as usize, SpecialCodeIndex::VINTR),
    (linux::VQUIT as usize, SpecialCodeIndex::VQUIT),
    (linux::VERASE as usize, SpecialCodeIndex::VERASE),
    (linux::VKILL as usize, SpecialCodeIndex::VKILL),
    (linux::VEOF as usize, SpecialCodeIndex::VEOF),
    (linux::VSTART as usize, SpecialCodeIndex::VSTART),
    (linux::VSTOP as usize, SpecialCodeIndex::VSTOP),
    (linux::VSUSP as usize, SpecialCodeIndex::VSUSP),
    (linux::VEOL as usize, SpecialCodeIndex::VEOL),
    (linux::VREPRINT as usize, SpecialCodeIndex::VREPRINT),
    (linux::VWERASE as usize, SpecialCodeIndex::VWERASE),
    (linux::VLNEXT as usize, SpecialCodeIndex::VLNEXT),
    (linux::VEOL2 as usize, SpecialCodeIndex::VEOL2),
    (linux::VMIN as usize, SpecialCodeIndex::VMIN),
];

enum Step {
    Set(Settings),
    Type(Vec<u8>),
    Write(Vec<u8>),
    Read(usize),
}

impl Step {
    fn random(random: &mut Random) -> Self {
        match random.next(10) {
            0 => Self::Set(random.settings()),
            1..=5 => Self::Type(random.bytes(24)),
            6 | 7 => Self::Write(random.bytes(24)),
            _ => Self::Read(1 + random.next(40)),
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(Settings { input, output, local, characters, .. }) => write!(
                f,
                "set input {input:o} output {output:o} local {local:o} characters {}",
                characters.escape_ascii()
            ),
            Self::Type(bytes) => write!(f, "type {}", bytes.escape_ascii()),
            Self::Write(bytes) => write!(f, "write {}", bytes.escape_ascii()),
            Self::Read(limit) => write!(f, "read {limit}"),
        }
    }
}

/// A pair of Linux, and the discipline that is to do the same.
struct Bench {
    master: OwnedFd,
    slave: OwnedFd,
    model: Discipline,
}

impl Bench {
    fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a pseudo-terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its slave");
        Self { master, slave, model: Discipline::new(Settings::fresh(), 0) }
    }

    fn set(&mut self, settings: Settings) {
        self.model.set(settings);
        let mut attributes = termios::tcgetattr(&self.slave).expect("tcgetattr");
        attributes.input_modes = termios::InputModes::from_bits_retain(settings.input);
        attributes.output_modes = termios::OutputModes::from_bits_retain(settings.output);
        attributes.local_modes = termios::LocalModes::from_bits_retain(settings.local);
        for (place, index) in CHARACTERS {
            attributes.special_codes[index] = settings.characters[place];
        }
        termios::tcsetattr(&self.slave, OptionalActions::Now, &attributes).expect("tcsetattr");
    }

    fn step(&mut self, step: &Step) -> (Vec<u8>, Vec<u8>) {
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        match step {
            Step::Set(settings) => self.set(*settings),
            Step::Type(bytes) => {
                assert_eq!(self.model.receive(bytes), bytes.len());
                assert_eq!(rustix::io::write(&self.master, bytes), Ok(bytes.len()));
            }
            Step::Write(bytes) => {
                expected = self.model.write(bytes).to_string().into_bytes();
                got = rustix::io::write(&self.slave, bytes).unwrap_or(0).to_string().into_bytes();
            }
            Step::Read(limit) => (expected, got) = self.read(*limit),
        }
        let shown = self.model.take_output(usize::MAX);
        got.extend(b" shows ");
        expected.extend(b" shows ");
        got.extend(self.drain(shown.len()));
        expected.extend(shown);
        expected.extend(format!(" waiting {}", self.model.readable_len()).bytes());
        got.extend(format!(" waiting {}", self.settle()).bytes());
        (expected, got)
    }

    fn read(&mut self, limit: usize) -> (Vec<u8>, Vec<u8>) {
        let least = match self.model.settings().character(linux::VMIN) {
            least if self.model.settings().character(linux::VTIME) == 0 => usize::from(least),
            _ => 1,
        };
        let mut buffer = vec![0; limit];
        let is_readable = self.model.is_readable(1);
        let expected = if is_readable { self.model.read(limit) } else { b"nothing".to_vec() };
        let start = Instant::now();
        loop {
            match rustix::io::read(&self.slave, &mut buffer) {
                Ok(count) => return (expected, buffer[..count].to_vec()),
                Err(_) if is_readable && start.elapsed() < PATIENCE => {}
                Err(error) if least == 0 && !self.model.is_canonical() => panic!("{error}"),
                Err(_) => return (expected, b"nothing".to_vec()),
            }
        }
    }

    /// What the master's side sees: so much, and what comes soon after.
    fn drain(&self, expected: usize) -> Vec<u8> {
        let (mut all, start) = (Vec::new(), Instant::now());
        loop {
            let wait = match all.len() < expected && start.elapsed() < PATIENCE {
                true => Duration::from_millis(100),
                false => QUIET,
            };
            let mut ends = [PollFd::new(&self.master, PollFlags::IN)];
            let wait = Timespec::try_from(wait).expect("a short time");
            let ready = poll(&mut ends, Some(&wait)).expect("poll");
            if ready == 0 {
                if all.len() >= expected || start.elapsed() >= PATIENCE {
                    return all;
                }
                continue;
            }
            let mut buffer = [0; 4096];
            let count = rustix::io::read(&self.master, &mut buffer).expect("the master's side");
            all.extend_from_slice(&buffer[..count]);
        }
    }

    /// Waits until Linux has dealt with what was typed, in the background, and tells how much waits to be read.
    fn settle(&self) -> usize {
        let start = Instant::now();
        let waiting = || rustix::io::ioctl_fionread(&self.slave).expect("FIONREAD") as usize;
        while waiting() != self.model.readable_len() && start.elapsed() < PATIENCE / 10 {
            std::thread::sleep(Duration::from_micros(50));
        }
        waiting()
    }
}

#[test]
fn random_settings_and_bytes_do_what_they_do_on_linux() {
    let start = Instant::now();
    for case in 1..=CASES {
        if start.elapsed() > LIMIT {
            assert!(case > CASES / 10, "only {case} cases in {LIMIT:?}");
            return;
        }
        let mut random = Random(case.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut bench = Bench::new();
        let mut done = vec![Step::Set(random.settings())];
        bench.step(&done[0]);
        for _ in 0..STEPS {
            let step = Step::random(&mut random);
            let (expected, got) = bench.step(&step);
            done.push(step);
            assert!(
                expected == got,
                "case {case}: the discipline answers\n{}\nLinux\n{}\nafter\n{}",
                expected.escape_ascii(),
                got.escape_ascii(),
                done.iter().map(Step::to_string).collect::<Vec<_>>().join("\n"),
            );
        }
    }
}
