//! QEMU's arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Accelerator;

/// A disk of the machine: a raw image.
#[derive(Clone, Debug)]
pub(crate) struct Drive {
    /// The image.
    pub(crate) image: PathBuf,
    /// Writes go to a file that vanishes with the machine.
    pub(crate) throw_away: bool,
}

/// `--machine`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Board {
    /// PCI Express, of 2009
    #[default]
    Q35,
    /// PCI, of 1996
    Pc,
}

impl Board {
    /// QEMU's name for it.
    const fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
        }
    }
}

/// How a machine comes to the kernel.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// QEMU starts the loader as a multiboot kernel.
    Kernel {
        /// The loader.
        loader: PathBuf,
        /// Files for it; it knows each by its last component.
        modules: Vec<PathBuf>,
    },
    /// Firmware boots the first disk: this one, or QEMU's BIOS.
    Firmware(Option<PathBuf>),
}

/// `--display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Display {
    /// In a window of QEMU's
    Window,
    /// For VNC, at port 5900 of this host alone
    Vnc,
    /// Nowhere: for QEMU's monitor
    Hidden,
}

impl Display {
    const fn words(self) -> &'static str {
        match self {
            // Whichever this QEMU was built with.
            Self::Window => "-name Serix",
            Self::Vnc => "-display vnc=127.0.0.1:0",
            Self::Hidden => "-display none",
        }
    }
}

/// All that a machine consists of.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Its chip set.
    pub(crate) board: Board,
    /// What executes instructions.
    pub(crate) accelerator: Accelerator,
    /// Memory in bytes.
    pub(crate) memory: u64,
    /// Cores.
    pub(crate) cores: u32,
    /// How it comes to the kernel.
    pub(crate) start: Start,
    /// Gets what the kernel writes to its serial line.
    pub(crate) log: PathBuf,
    /// Pipes of the link: this name with `.in` and `.out` after it.
    pub(crate) link: PathBuf,
    /// Disks, `disk0` first.
    pub(crate) drives: Vec<Drive>,
    /// Its disks answer 100 requests and 200,000 bytes a second.
    pub(crate) slow_disks: bool,
    /// Where its screen is shown, if it has one.
    pub(crate) display: Option<Display>,
    /// Socket of QEMU's monitor, if somebody wants it.
    pub(crate) monitor: Option<PathBuf>,
}

/// Bytes of a request that QEMU's `-m` understands.
const MIB: u64 = 1 << 20;

impl Machine {
    /// The arguments of `qemu-system-x86_64`.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all = Arguments::default();
        all.words(&format!("-M {}", self.board.name()));
        all.words("-nodefaults -no-user-config -no-reboot");
        all.words(self.display.map_or("-display none", Display::words));
        all.monitor(self.monitor.as_deref());
        all.words(self.accelerator.words(self.cores));
        all.words(&format!("-m {}M -smp {}", self.memory / MIB, self.cores));
        all.words("-device isa-debug-exit,iobase=0xf4,iosize=0x04");
        all.option("-chardev", &[b"file,id=log,append=on,path=", &escaped(&self.log)]);
        all.words("-serial chardev:log");
        all.option("-chardev", &[b"pipe,id=link,path=", &escaped(&self.link)]);
        all.words("-device virtio-serial-pci,max_ports=1,disable-legacy=on");
        all.words("-device virtconsole,chardev=link,nr=0");
        if self.display.is_some() {
            all.words("-device VGA");
        }
        for (index, drive) in self.drives.iter().enumerate() {
            all.drive(index, drive, matches!(self.start, Start::Firmware(_)));
        }
        for index in (0..self.drives.len()).filter(|_| self.slow_disks) {
            let set = format!("-set drive.disk{index}.throttling");
            all.words(&format!("{set}.iops-total=100 {set}.bps-total=200000"));
        }
        match &self.start {
            Start::Kernel { loader, modules } => {
                all.option("-kernel", &[loader.as_os_str().as_bytes()]);
                let modules: Vec<_> = modules.iter().map(|module| escaped(module)).collect();
                all.option("-initrd", &[&modules.join(&b',')]);
            }
            Start::Firmware(Some(file)) => all.option("-bios", &[file.as_os_str().as_bytes()]),
            Start::Firmware(None) => {}
        }
        all.0
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn words(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(OsString::from));
    }

    fn option(&mut self, name: &str, parts: &[&[u8]]) {
        self.0.push(name.into());
        self.0.push(OsString::from_vec(parts.concat()));
    }

    fn monitor(&mut self, socket: Option<&Path>) {
        match socket {
            None => self.words("-monitor none"),
            Some(socket) => {
                let socket = escaped(socket);
                self.option("-chardev", &[b"socket,id=monitor,server=on,wait=off,path=", &socket]);
                self.words("-mon chardev=monitor,mode=readline");
            }
        }
    }

    fn drive(&mut self, index: usize, drive: &Drive, is_booted: bool) {
        let snapshot = if drive.throw_away { "on" } else { "off" };
        let form = format!("if=none,id=disk{index},format=raw,snapshot={snapshot},file=");
        self.option("-drive", &[form.as_bytes(), &escaped(&drive.image)]);
        // With -kernel, no other device may take the first place.
        let place = if is_booted { format!(",bootindex={index}") } else { String::new() };
        self.words(&format!("-device virtio-blk-pci,disable-legacy=on,drive=disk{index}{place}"));
    }
}

/// A path inside an option's list, where a comma is written twice.
fn escaped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.extend(std::iter::repeat_n(byte, if byte == b',' { 2 } else { 1 }));
    }
    bytes
}

/// A command as one would type it, for the log.
pub(super) fn command_line(program: &OsStr, arguments: &[OsString]) -> String {
    let plain = |word: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+".contains(c);
        !word.is_empty() && word.chars().all(legal)
    };
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        if plain(&word) { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_are_doubled() {
        let machine = Machine {
            board: Board::Pc,
            accelerator: Accelerator::Counted,
            memory: 64 * MIB,
            cores: 1,
            start: Start::Kernel {
                loader: "/a,b/loader".into(),
                modules: vec!["/a,b/limine.conf".into(), "/a,b/init".into()],
            },
            log: "/a,b/log".into(),
            link: "/a,b/link".into(),
            drives: vec![Drive { image: "/a,b/root.img".into(), throw_away: true }],
            slow_disks: false,
            display: Some(Display::Hidden),
            monitor: Some("/a,b/monitor".into()),
        };
        let line = command_line(OsStr::new("qemu"), &machine.arguments());
        assert!(line.contains("-kernel /a,b/loader"), "a whole argument: {line}");
        assert!(line.contains("-initrd /a,,b/limine.conf,/a,,b/init"), "{line}");
        assert!(line.contains("append=on,path=/a,,b/log -serial"), "{line}");
        assert!(line.contains("snapshot=on,file=/a,,b/root.img -device virtio-blk-pci"), "{line}");
        assert!(line.contains("-device VGA"), "{line}");
        assert!(line.contains("-icount shift=0,sleep=off -seed 1"), "{line}");
        assert!(line.contains("-m 64M -smp 1") && line.contains("-M pc "), "{line}");
        assert!(line.contains("path=/a,,b/monitor -mon chardev=monitor"), "{line}");
    }

    #[test]
    fn command_lines_can_be_pasted() {
        let words = ["a b", "it's", ""].map(OsString::from);
        assert_eq!(command_line(OsStr::new("qemu"), &words), r"qemu 'a b' 'it'\''s' ''");
    }
}
