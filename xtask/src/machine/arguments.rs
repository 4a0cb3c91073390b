//! QEMU's arguments.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::Accelerator;

/// A disk of the machine: a raw image.
#[derive(Clone, Debug)]
pub(crate) struct Drive {
    /// The image.
    pub(crate) image: PathBuf,
    /// Writes go to a file that vanishes with the machine.
    pub(crate) throw_away: bool,
    /// Rules of QEMU's blkdebug: which requests fail.
    pub(crate) errors: Option<PathBuf>,
}

/// `--disk-bus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiskBus {
    /// virtio-blk on PCI
    Virtio,
    /// virtio-blk with its registers in memory
    Mmio,
    /// ATA, at a PCI IDE controller
    Ata,
}

/// `--machine`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Board {
    /// PCI Express, of 2009
    #[default]
    Q35,
    /// PCI, of 1996
    Pc,
    /// No PCI: virtio with its registers in memory
    Microvm,
}

impl Board {
    /// QEMU's name for it.
    const fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            // One I/O APIC: its lines are those of `MMIO_LINE`.
            Self::Microvm => "microvm,ioapic2=off -global virtio-mmio.force-legacy=false",
        }
    }

    /// What people call it.
    const fn title(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Microvm => "microvm",
        }
    }

    /// Where its disks are unless something else is asked for.
    pub(crate) const fn disk_bus(self) -> DiskBus {
        match self {
            Self::Q35 | Self::Pc => DiskBus::Virtio,
            Self::Microvm => DiskBus::Mmio,
        }
    }
}

/// Where a microvm has the registers of its virtio devices, how far they are from one another, their first line, and how many
/// there can be. Without PCI the kernel is told on its command line.
const MMIO: (u64, u64, u64) = (0xfeb0_0000, 512, 16);
const MMIO_COUNT: usize = 8;
/// Disks at an IDE controller that the kernel drives: the first of each channel.
const ATA_COUNT: usize = 2;

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
    /// How much of it is below 4 GiB, unless as much as there is room for.
    pub(crate) low_memory: Option<u64>,
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
    /// Where they are.
    pub(crate) disk_bus: DiskBus,
    /// Socket of QEMU's monitor, if somebody wants it.
    pub(crate) monitor: Option<PathBuf>,
    /// A plugin of QEMU's and its options.
    pub(crate) plugin: Option<OsString>,
    /// Socket of QEMU's own stub for gdb; the machine stands still until it says otherwise.
    pub(crate) gdb: Option<PathBuf>,
}

/// Bytes of a request that QEMU's `-m` understands.
const MIB: u64 = 1 << 20;

impl Machine {
    /// The arguments of `qemu-system-x86_64`.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all = Arguments::default();
        let low = self.low_memory.map(|low| format!(",max-ram-below-4g={}M", low / MIB));
        all.words(&format!("-M {}{}", self.board.name(), low.unwrap_or_default()));
        all.words("-nodefaults -no-user-config -no-reboot");
        all.words(self.display.map_or("-display none", Display::words));
        all.monitor(self.monitor.as_deref());
        all.words(self.accelerator.words(self.cores));
        if let Some(plugin) = &self.plugin {
            all.option("-plugin", &[plugin.as_bytes()]);
        }
        all.words(&format!("-m {}M -smp {}", self.memory / MIB, self.cores));
        all.words("-device isa-debug-exit,iobase=0xf4,iosize=0x04");
        all.option("-chardev", &[b"file,id=log,append=on,path=", &escaped(&self.log)]);
        all.words("-serial chardev:log");
        all.server("gdb", self.gdb.as_deref(), "-gdb chardev:gdb -S");
        all.option("-chardev", &[b"pipe,id=link,path=", &escaped(&self.link)]);
        all.words(match self.board {
            Board::Microvm => "-device virtio-serial-device,max_ports=1,bus=virtio-mmio-bus.0",
            _ => "-device virtio-serial-pci,max_ports=1,disable-legacy=on",
        });
        all.words("-device virtconsole,chardev=link,nr=0");
        if self.display.is_some() {
            all.words("-device VGA");
        }
        if self.disk_bus == DiskBus::Ata && self.board == Board::Q35 {
            // Its own controller is for AHCI only.
            all.words("-device piix4-ide,id=ide");
        }
        for (index, drive) in self.drives.iter().enumerate() {
            all.drive(index, drive);
            all.words(&self.disk(index));
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

    /// The device of a disk.
    fn disk(&self, index: usize) -> String {
        // With -kernel, no other device may take the first place.
        let is_booted = matches!(self.start, Start::Firmware(_));
        let place = if is_booted { format!(",bootindex={index}") } else { String::new() };
        let device = match (self.disk_bus, self.board) {
            (DiskBus::Virtio, _) => "virtio-blk-pci,disable-legacy=on".to_owned(),
            // The first is the link's.
            (DiskBus::Mmio, _) => format!("virtio-blk-device,bus=virtio-mmio-bus.{}", index + 1),
            (DiskBus::Ata, _) => format!("ide-hd,bus=ide.{index},unit=0"),
        };
        format!("-device {device},drive=disk{index}{place}")
    }

    /// Whether these parts go together, and how the kernel is told of what it cannot find.
    ///
    /// # Errors
    /// They do not, or there are too many disks.
    pub(crate) fn words(board: Board, bus: DiskBus, disks: usize) -> Result<Vec<String>> {
        let has_bus = match bus {
            DiskBus::Virtio | DiskBus::Ata => board != Board::Microvm,
            DiskBus::Mmio => board == Board::Microvm,
        };
        ensure!(
            has_bus,
            "--disk-bus: {} has none like that; mmio goes with microvm, others with q35 and pc",
            board.title()
        );
        let most = match bus {
            DiskBus::Virtio => usize::MAX,
            DiskBus::Mmio => MMIO_COUNT - 1,
            DiskBus::Ata => ATA_COUNT,
        };
        ensure!(disks <= most, "--disk: this machine has room for {most} disks in all");
        if board != Board::Microvm {
            return Ok(Vec::new());
        }
        let (first, size, line) = MMIO;
        let word = |at| format!("virtio_mmio.device={size}@{:#x}:{}", first + at * size, line + at);
        Ok((0..=disks as u64).map(word).collect())
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

    /// A socket that QEMU waits at, and what it is for.
    fn server(&mut self, id: &str, socket: Option<&Path>, words: &str) {
        if let Some(socket) = socket {
            let form = format!("socket,id={id},server=on,wait=off,path=");
            self.option("-chardev", &[form.as_bytes(), &escaped(socket)]);
            self.words(words);
        }
    }

    fn drive(&mut self, index: usize, drive: &Drive) {
        let snapshot = if drive.throw_away { "on" } else { "off" };
        let form = format!("if=none,id=disk{index},format=raw,snapshot={snapshot},file");
        let image = escaped(&drive.image);
        let Some(errors) = &drive.errors else {
            return self.option("-drive", &[form.as_bytes(), b"=", &image]);
        };
        let form = format!("{form}.driver=blkdebug,file.config=");
        let inner = b",file.image.driver=file,file.image.filename=";
        self.option("-drive", &[form.as_bytes(), &escaped(errors), inner, &image]);
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
            low_memory: None,
            cores: 1,
            start: Start::Kernel {
                loader: "/a,b/loader".into(),
                modules: vec!["/a,b/limine.conf".into(), "/a,b/init".into()],
            },
            log: "/a,b/log".into(),
            link: "/a,b/link".into(),
            drives: vec![Drive { image: "/a,b/root.img".into(), throw_away: true, errors: None }],
            disk_bus: DiskBus::Virtio,
            slow_disks: false,
            display: Some(Display::Hidden),
            monitor: Some("/a,b/monitor".into()),
            plugin: Some("/a/marks.so,out=/a/b".into()),
            gdb: Some("/a,b/gdb".into()),
        };
        let line = command_line(OsStr::new("qemu"), &machine.arguments());
        assert!(line.contains("-kernel /a,b/loader"), "a whole argument: {line}");
        assert!(line.contains("-initrd /a,,b/limine.conf,/a,,b/init"), "{line}");
        assert!(line.contains("append=on,path=/a,,b/log -serial"), "{line}");
        assert!(line.contains("snapshot=on,file=/a,,b/root.img -device virtio-blk-pci"), "{line}");
        assert!(line.contains("-device VGA"), "{line}");
        assert!(line.contains("-icount shift=0,sleep=off -seed 1"), "{line}");
        assert!(line.contains(" -plugin /a/marks.so,out=/a/b "), "{line}");
        assert!(line.contains("-m 64M -smp 1") && line.contains("-M pc "), "{line}");
        assert!(line.contains("path=/a,,b/monitor -mon chardev=monitor"), "{line}");
        assert!(line.contains("path=/a,,b/gdb -gdb chardev:gdb -S"), "{line}");
    }

    #[test]
    fn the_kernel_is_told_of_what_it_cannot_find() {
        let words = |board, bus, disks| Machine::words(board, bus, disks);
        assert!(words(Board::Q35, DiskBus::Virtio, 9).unwrap().is_empty());
        let told = words(Board::Microvm, DiskBus::Mmio, 1).unwrap();
        let expected = ["512@0xfeb00000:16", "512@0xfeb00200:17"];
        assert_eq!(told, expected.map(|place| format!("virtio_mmio.device={place}")));
        for (board, bus, disks) in [
            (Board::Microvm, DiskBus::Ata, 1),
            (Board::Q35, DiskBus::Mmio, 1),
            (Board::Pc, DiskBus::Ata, 3),
            (Board::Microvm, DiskBus::Mmio, 8),
        ] {
            assert!(words(board, bus, disks).is_err(), "{board:?} {bus:?} {disks}");
        }
    }

    #[test]
    fn command_lines_can_be_pasted() {
        let words = ["a b", "it's", ""].map(OsString::from);
        assert_eq!(command_line(OsStr::new("qemu"), &words), r"qemu 'a b' 'it'\''s' ''");
    }
}
