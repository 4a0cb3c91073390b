//! The two machines: alike but for what runs in them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::Bench;
use super::super::linux::wait;
use super::super::measure::xtask_run;
use super::{Inputs, Row, check_whole, rows};
use crate::image::{self, Cached, Source};
use crate::linux::initial_files;
use crate::machine::{Accelerator, RunFolder};
use crate::report::Progress;
use crate::setup::{find_busybox, qemu_version};

const MEMORY: &str = "512M";
/// A run that takes so long is stuck.
const LIMIT: Duration = Duration::from_secs(1800);
/// Bytes of the disk that tells Linux what to do.
const SCRIPT_SIZE: usize = 1 << 16;
/// What runs on both, in the root of the image.
const SCRIPT: &str = "mkdir work && bin/file_rates work \"$PWD/cold\" && sync && \
    cd work && ../bin/file_rates mark 1 && tar xf ../tree.tar && ../bin/file_rates mark 30 && sync && \
    ../bin/file_rates mark 1 && rm -r tree && ../bin/file_rates mark 31";
/// No mitigations and no zeroing twice, which Serix has not either.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0";

pub(super) struct Machines<'a> {
    bench: &'a Bench<'a>,
    inputs: &'a Inputs,
    image: Cached,
    linux: Option<(PathBuf, Vec<u8>)>,
}

impl<'a> Machines<'a> {
    pub(super) fn new(
        bench: &'a Bench<'a>,
        inputs: &'a Inputs,
        linux: Option<&Path>,
    ) -> Result<Self> {
        let additions: Vec<_> = additions(inputs).iter().map(|text| text.parse()).collect();
        let additions: Result<Vec<_>, String> = additions.into_iter().collect();
        let additions = additions.map_err(anyhow::Error::msg)?;
        let source = Source::Busybox(find_busybox()?);
        let mut progress = Progress::new(1, false);
        progress.stage("root image");
        let image = image::root_image(&bench.places, &source, &additions, &mut progress)?;
        let linux =
            linux.map(|kernel| Ok::<_, anyhow::Error>((kernel.to_owned(), initial_files(kernel)?)));
        Ok(Self { bench, inputs, image, linux: linux.transpose()? })
    }

    fn plugin(&self, marks: &Path) -> OsString {
        let mut words = self.inputs.plugin.as_os_str().to_owned();
        words.push(",out=");
        words.push(marks);
        words
    }

    /// The rows on Serix, with instructions if they are to be counted.
    pub(super) fn serix(&self, counted: bool) -> Result<Vec<Row>> {
        let folder = RunFolder::create(&self.bench.places)?;
        let marks = folder.file("marks");
        let mut command = xtask_run(self.bench.options);
        let limit = LIMIT.as_secs().to_string();
        command
            .args(["--mem", MEMORY, "--timeout", &limit, "--log"])
            .arg(folder.file("kernel.log"));
        for addition in additions(self.inputs) {
            command.args(["--add", &addition]);
        }
        command.arg("--marked");
        if counted {
            command.arg("--plugin").arg(self.plugin(&marks));
        }
        command.args(["--", "sh", "-c", &format!("cd / && {SCRIPT}")]);
        let output = command.output().context("cannot start xtask run")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "Serix: {}: {said}", output.status);
        read("Serix", &said, counted.then_some(&marks))
    }

    /// The same on Linux.
    pub(super) fn linux(&self, counted: bool) -> Result<Vec<Row>> {
        let (kernel, files) = self.linux.as_ref().context("no Linux was asked for")?;
        let folder = RunFolder::create(&self.bench.places)?;
        let file = |name| folder.file(name);
        let (marks, initrd, script, serial) =
            (file("marks"), file("initrd"), file("script"), file("serial"));
        std::fs::write(&initrd, files)?;
        let mut commands =
            format!("mount -t ext4 /dev/vda1 /m && cd /m && {SCRIPT}\n").into_bytes();
        commands.resize(SCRIPT_SIZE, b'\n');
        std::fs::write(&script, commands)?;
        let (qemu, _) = qemu_version()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("launch").arg(std::process::id().to_string()).arg("--").arg(qemu);
        command.args("-M q35 -nodefaults -no-reboot -display none -monitor none".split(' '));
        command.args(Accelerator::Marked.words(1).split(' ')).args(["-m", MEMORY, "-serial"]);
        command
            .arg(format!("file:{}", serial.display()))
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", COMMAND_LINE]);
        for image in [&self.image.image, &script] {
            let mut drive = OsString::from("if=virtio,format=raw,snapshot=on,file=");
            drive.push(image);
            command.arg("-drive").arg(drive);
        }
        if counted {
            command.arg("-plugin").arg(self.plugin(&marks));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        wait(command, LIMIT)?;
        let said = String::from_utf8_lossy(&std::fs::read(serial)?).into_owned();
        read("Linux", &said, counted.then_some(&marks))
    }
}

/// What `--add` brings.
fn additions(inputs: &Inputs) -> [String; 3] {
    let pair = |host: &Path, guest: &str| format!("{}:{guest}", host.display());
    [
        pair(&inputs.program, "/bin/file_rates"),
        pair(&inputs.tree, "/tree.tar"),
        pair(&inputs.cold, "/cold"),
    ]
}

/// The rows of a run that said this.
fn read(system: &str, said: &str, marks: Option<&PathBuf>) -> Result<Vec<Row>> {
    let marks = marks.map(std::fs::read_to_string).transpose()?;
    let rows = rows(said, marks.as_deref()).with_context(|| system.to_owned())?;
    check_whole(&rows, said).with_context(|| system.to_owned())?;
    Ok(rows)
}
