//! The UEFI front end under OVMF, from a FAT volume made with mtools.
//!
//! These tests need more than QEMU: OVMF, mtools, and Rust's target x86_64-unknown-uefi. Where one is
//! missing they are skipped, but not in CI, where `cargo xtask test` installs all three.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::multiboot::CONFIG;
use crate::support::{Outcome, REFUSED, guest, qemu, qemu_is_there, run_folder, uefi_loader};

const FIRMWARE: [&str; 4] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
    "/usr/share/edk2/x64/OVMF.4m.fd",
    "/usr/share/edk2-ovmf/x64/OVMF.fd",
];
/// 64 MiB: the least that mformat makes FAT32 of, as an EFI system partition should be.
const SECTORS: &str = "131072";

fn firmware() -> Option<&'static str> {
    FIRMWARE.into_iter().find(|file| Path::new(file).exists())
}

fn missing() -> Option<&'static str> {
    let mut mtools = Command::new("mtools");
    let mtools = mtools.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let mut rustc = Command::new("rustc");
    let libraries = rustc.args(["--print", "target-libdir", "--target", "x86_64-unknown-uefi"]);
    let has_target = libraries
        .output()
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists());
    if firmware().is_none() {
        return Some("OVMF");
    }
    if !mtools.is_ok_and(|status| status.success()) {
        return Some("mtools");
    }
    (!has_target).then_some("Rust's target x86_64-unknown-uefi")
}

fn uefi_is_there(test: &str) -> bool {
    if !qemu_is_there(test) {
        return false;
    }
    if let Some(missing) = missing() {
        assert!(env::var_os("CI").is_none(), "{missing} is missing, and this is CI");
        println!("SKIP {test}: {missing} is missing");
        return false;
    }
    true
}

/// A FAT volume that the firmware boots our loader from.
struct Volume {
    folder: PathBuf,
    image: String,
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn mtool(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("mtools run");
    assert!(status.success(), "{program} {arguments:?}");
}

impl Volume {
    fn new() -> Volume {
        let folder = run_folder();
        let image = folder.join("esp.img").to_str().expect("UTF-8").to_string();
        mtool("mformat", &["-C", "-i", &image, "-T", SECTORS, "-F", "::"]);
        mtool("mmd", &["-i", &image, "::/EFI", "::/EFI/BOOT", "::/serix"]);
        Volume { folder, image }.link("/EFI/BOOT/BOOTX64.EFI", uefi_loader())
    }

    fn link(self, name: &str, file: &Path) -> Volume {
        let file = file.to_str().expect("UTF-8");
        mtool("mcopy", &["-i", &self.image, file, &format!("::{name}")]);
        self
    }

    fn file(self, name: &str, bytes: &[u8]) -> Volume {
        let file = self.folder.join("file");
        fs::write(&file, bytes).expect("a file");
        self.link(name, &file)
    }

    fn complete(kernel: &str) -> Volume {
        Volume::new()
            .file("/limine.conf", CONFIG.as_bytes())
            .link("/serix/kernel.elf", &guest().join(kernel))
            .file("/serix/init", b"not a program, but a module")
            .file("/serix/empty", b"")
    }

    fn boot(&self, arguments: &[&str]) -> Outcome {
        let drive = format!("if=none,id=boot,format=raw,file={}", self.image);
        let firmware = firmware().expect("checked by `uefi_is_there`");
        let fixed = ["-bios", firmware, "-cpu", "max", "-drive", &drive];
        let disk = ["-device", "virtio-blk-pci,drive=boot"];
        qemu(&[&fixed[..], &disk, arguments].concat())
    }
}

#[test]
fn q35_with_four_cpus_and_a_screen() {
    if !uefi_is_there("UEFI on q35") {
        return;
    }
    let volume = Volume::complete("boot-test-kernel");
    let outcome = volume.boot(&["-M", "q35", "-m", "256M", "-smp", "4", "-device", "VGA"]);
    let outcome = outcome.expect_content("UEFI on q35");
    assert_eq!(outcome.line("firmware "), "uefi");
    assert!(outcome.line("cpus ").starts_with("4 "));
    assert_eq!(outcome.line("command line "), "[a=1 b]");
    assert!(outcome.line("framebuffer ").contains("x32 pitch "));
    assert!(outcome.line("kernel ").starts_with("/serix/kernel.elf "));
    assert!(outcome.line("module /serix/init ").starts_with("[one two] 27 "));
    assert_eq!(outcome.line("module /serix/empty "), "[] 0 00000000");
    assert_eq!(outcome.line("acpi "), "revision 2 in acpi");
}

#[test]
fn pc_without_a_screen_and_position_independent() {
    if !uefi_is_there("UEFI on pc") {
        return;
    }
    let volume = Volume::complete("boot-test-kernel-pie");
    let outcome = volume.boot(&["-M", "pc", "-m", "4G"]).expect_content("UEFI on pc");
    assert_eq!(outcome.line("framebuffer "), "none");
    assert!(outcome.line("cpus ").starts_with("1 "));
}

#[test]
fn sixteen_cpus_and_eight_gigabytes() {
    if !uefi_is_there("UEFI with 16 CPUs") {
        return;
    }
    let volume = Volume::complete("boot-test-kernel");
    let outcome = volume.boot(&["-M", "q35", "-m", "8G", "-smp", "16"]);
    let outcome = outcome.expect_content("UEFI with 16 CPUs");
    assert!(outcome.line("cpus ").starts_with("16 "));
}

#[test]
fn malformed_input_is_refused() {
    if !uefi_is_there("UEFI refusals") {
        return;
    }
    let refuses = |volume: Volume, line: &str| {
        let outcome = volume.boot(&["-M", "q35", "-m", "256M"]);
        let said = outcome.log.contains(&format!("loader: {line}"));
        assert!(said, "no {line:?} in:\n{}", outcome.log);
        assert_eq!(outcome.status, REFUSED);
    };
    refuses(Volume::new(), "limine.conf names /limine.conf, which is missing");
    let config = || Volume::new().file("/limine.conf", CONFIG.as_bytes());
    refuses(config(), "limine.conf names /serix/kernel.elf, which is missing");
    let garbage = config().file("/serix/kernel.elf", &[0x5a; 5000]);
    refuses(garbage, "kernel: not an ELF file");
}
