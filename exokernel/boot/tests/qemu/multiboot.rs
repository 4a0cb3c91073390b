//! The multiboot front end in QEMU: every response on every machine, and every refusal.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Outcome, REFUSED, guest, qemu, qemu_is_there, run_folder};

pub(crate) const CONFIG: &str = "timeout: 0\n/Test\n    protocol: limine\n    path: boot():/serix/kernel.elf\n\
    \x20   cmdline: a=1 b\n    module_path: boot():/serix/init\n    module_string: one two\n    \
    module_path: boot():/serix/empty\n";

/// A boot volume: files with the names that `limine.conf` gives them.
struct Volume {
    folder: PathBuf,
    modules: Vec<String>,
}

impl Volume {
    fn new() -> Volume {
        Volume { folder: run_folder(), modules: Vec::new() }
    }

    fn file(mut self, name: &str, bytes: &[u8]) -> Volume {
        let path = self.folder.join(name);
        fs::write(&path, bytes).expect("a boot file");
        self.modules.push(path.to_str().expect("UTF-8").to_string());
        self
    }

    /// A file that is not called as the boot volume calls it.
    fn link(mut self, path: &Path, name: &str) -> Volume {
        self.modules.push(format!("{} {name}", path.to_str().expect("UTF-8")));
        self
    }

    fn boot(&self, arguments: &[&str]) -> Outcome {
        let loader = guest().join("serix-boot");
        let modules: Vec<String> = self.modules.iter().map(|m| m.replace(',', ",,")).collect();
        let modules = modules.join(",");
        let mut all = vec!["-kernel", loader.to_str().expect("UTF-8")];
        if !modules.is_empty() {
            all.extend(["-initrd", &modules]);
        }
        all.extend(arguments);
        qemu(&all)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn volume(kernel: &str) -> Volume {
    let volume = Volume::new().file("limine.conf", CONFIG.as_bytes());
    let volume = volume.link(&guest().join(kernel), "kernel.elf");
    volume.file("init", b"not a program, but a module").file("empty", b"").file("more", b"unnamed")
}

fn boots(machine: &str, kernel: &str, cpus: u32, memory: &str) -> Outcome {
    let cpus = cpus.to_string();
    let arguments = ["-M", machine, "-cpu", "max", "-m", memory, "-smp", &cpus];
    let outcome = volume(kernel).boot(&arguments);
    let outcome = outcome.expect_content(&format!("{machine} {kernel} {cpus} CPUs {memory}"));
    assert_eq!(outcome.line("cpus ").split(' ').next(), Some(cpus.as_str()));
    outcome
}

#[test]
fn q35_with_one_and_four_cpus_little_and_much_memory() {
    if !qemu_is_there("q35") {
        return;
    }
    for kernel in ["boot-test-kernel", "boot-test-kernel-pie"] {
        for (cpus, memory) in [(1, "32M"), (1, "4G"), (4, "64M"), (4, "4G")] {
            boots("q35", kernel, cpus, memory);
        }
    }
}

#[test]
fn pc_with_one_and_four_cpus_little_and_much_memory() {
    if !qemu_is_there("pc") {
        return;
    }
    for (cpus, memory) in [(1, "64M"), (1, "4G"), (4, "64M"), (4, "4G")] {
        boots("pc", "boot-test-kernel", cpus, memory);
    }
}

#[test]
fn microvm() {
    if !qemu_is_there("microvm") {
        return;
    }
    for (cpus, memory) in [(1, "64M"), (4, "256M"), (4, "8G")] {
        boots("microvm", "boot-test-kernel", cpus, memory);
    }
    // Without ACPI there is no list of CPUs.
    boots("microvm,acpi=off", "boot-test-kernel", 1, "64M");
    // Nothing but what a VM needs: no clock, no legacy interrupt controller and timer.
    let bare = boots("microvm,rtc=off,pic=off,pit=off", "boot-test-kernel", 2, "64M");
    assert_eq!(bare.line("date "), "0");
}

#[test]
fn sixteen_cpus_and_eight_gigabytes() {
    if !qemu_is_there("16 CPUs") {
        return;
    }
    let outcome = boots("q35", "boot-test-kernel", 16, "8G");
    let usable: u64 = outcome.line("usable ").split(' ').next().unwrap().parse().unwrap();
    assert!((8 << 20) - 16384 < usable && usable < 8 << 20, "{usable} KiB of 8 GiB");
}

/// The CPUs take turns, and time is counted in instructions: the set-up of exact measurements.
#[test]
fn four_cpus_on_one_thread() {
    if !qemu_is_there("one thread") {
        return;
    }
    let machine = ["-M", "q35", "-cpu", "max", "-m", "64M", "-smp", "4"];
    let count = ["-icount", "shift=0,sleep=off"];
    let outcome = volume("boot-test-kernel").boot(&[&machine[..], &count].concat());
    assert!(outcome.expect_content("one thread").line("cpus ").starts_with("4 "));
}

#[test]
fn older_cpus_without_gigabyte_pages() {
    if !qemu_is_there("older CPUs") {
        return;
    }
    let arguments = ["-M", "q35", "-cpu", "max,-pdpe1gb", "-m", "4G", "-smp", "2"];
    volume("boot-test-kernel").boot(&arguments).expect_content("without 1 GiB pages");
}

#[test]
fn files_strings_and_command_line_arrive() {
    if !qemu_is_there("files") {
        return;
    }
    let kernel = fs::read(guest().join("boot-test-kernel")).unwrap();
    let arguments = ["-M", "q35", "-cpu", "max", "-m", "64M", "-append", "c=3", "-rtc", DATE];
    const DATE: &str = "base=2031-02-03T04:05:06";
    let outcome = volume("boot-test-kernel").boot(&arguments).expect_content("files");
    let sum = |bytes: &[u8]| {
        bytes.iter().fold(0u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
    };
    assert_eq!(outcome.line("loader serix-boot "), env!("CARGO_PKG_VERSION"));
    assert_eq!(outcome.line("firmware "), "bios");
    assert_eq!(outcome.line("command line "), "[a=1 b c=3]");
    let described = format!("/serix/kernel.elf {} {:08x}", kernel.len(), sum(&kernel));
    assert_eq!(outcome.line("kernel "), described);
    let init = b"not a program, but a module";
    let described = format!("[one two] {} {:08x}", init.len(), sum(init));
    assert_eq!(outcome.line("module /serix/init "), described);
    assert_eq!(outcome.line("module /serix/empty "), "[] 0 00000000");
    assert!(!outcome.log.contains("more"), "files that limine.conf does not name stay out");
    let date: i64 = outcome.line("date ").parse().unwrap();
    assert!((1_927_857_906..1_927_857_906 + 120).contains(&date), "{date}");
}

#[test]
fn without_limine_conf_the_first_module_is_the_kernel() {
    if !qemu_is_there("default entry") {
        return;
    }
    let outcome = Volume::new()
        .link(&guest().join("boot-test-kernel"), "/serix/k.elf")
        .file("one", b"1")
        .link(&guest().join("serix-boot"), "two  x=1 y")
        .boot(&["-M", "q35", "-cpu", "max", "-m", "64M", "-append", "c=3"])
        .expect_content("default entry");
    assert_eq!(outcome.line("command line "), "[c=3]");
    assert!(outcome.line("kernel ").starts_with("/k.elf "));
    assert!(outcome.line("module /one ").starts_with("[] 1 "));
    assert!(outcome.line("module /two ").starts_with("[x=1 y] "));
}

/// The loader says one line and ends QEMU.
fn refuses(volume: &Volume, arguments: &[&str], line: &str) {
    let outcome = volume.boot(&[&["-M", "q35", "-m", "64M"], arguments].concat());
    assert_eq!(outcome.log.trim(), format!("loader: {line}"));
    assert_eq!(outcome.status, REFUSED, "{line}");
}

#[test]
fn malformed_input_is_refused_with_one_line() {
    if !qemu_is_there("refusals") {
        return;
    }
    let max = ["-cpu", "max"];
    refuses(&Volume::new(), &max, "no kernel: no boot module was given");
    let garbage = Volume::new().file("kernel.elf", &[0x5a; 5000]);
    refuses(&garbage, &max, "kernel: not an ELF file");
    let config = |text: &str| Volume::new().file("limine.conf", text.as_bytes());
    refuses(&config(CONFIG), &max, "limine.conf names /serix/kernel.elf, which is missing");
    let kernel = guest().join("boot-test-kernel");
    refuses(
        &config(CONFIG).link(&kernel, "kernel.elf"),
        &max,
        "limine.conf names /serix/init, which is missing",
    );
    refuses(
        &config("timeout: 0\nwhat is this\n").link(&kernel, "kernel.elf"),
        &max,
        "limine.conf line 2: expected `key: value`",
    );
    let bytes = fs::read(&kernel).unwrap();
    let cut = Volume::new().file("kernel.elf", &bytes[..4096]);
    refuses(&cut, &max, "kernel: a segment lies outside the file");
    // The loader itself is an ELF file, but linked low.
    let low = Volume::new().link(&guest().join("serix-boot"), "kernel.elf");
    refuses(&low, &max, "kernel: linked below 0xffffffff80000000");
}

#[test]
fn machines_that_cannot_do_it_are_refused() {
    if !qemu_is_there("refused machines") {
        return;
    }
    let kernel = guest().join("boot-test-kernel");
    let volume = Volume::new().link(&kernel, "kernel.elf");
    refuses(&volume, &["-cpu", "qemu32"], "firmware: the CPU has no 64-bit mode");
    // The third program header's memory size: a kernel of 100 MiB in a machine of 64.
    let mut bytes = fs::read(&kernel).unwrap();
    let size = 64 + 2 * 56 + 40;
    bytes[size..size + 8].copy_from_slice(&(100u64 << 20).to_le_bytes());
    let outcome = Volume::new().file("kernel.elf", &bytes).boot(&["-M", "q35", "-m", "64M"]);
    assert_eq!(outcome.status, REFUSED);
    let line = outcome.log.trim();
    assert!(
        line.starts_with("loader: no ") && line.ends_with(" of memory for the kernel"),
        "{line}"
    );
}

#[test]
fn faults_before_the_kernel_has_handlers_are_told() {
    if !qemu_is_there("faults") {
        return;
    }
    let kernel = guest().join("boot-test-kernel");
    let volume = Volume::new().link(&kernel, "kernel.elf");
    let faults = |what: &str| {
        let arguments = ["-M", "q35", "-cpu", "max", "-m", "64M", "-smp", "2", "-append", what];
        let outcome = volume.boot(&arguments);
        assert_eq!(outcome.status, REFUSED, "{}", outcome.log);
        outcome.line("loader: exception 0x00000000000000").to_string()
    };
    let undefined = faults("fault=ud");
    assert!(undefined.starts_with("06 at 0xffffffff801"), "{undefined}");
    let page = faults("fault=page");
    assert!(page.starts_with("0e at 0xffffffff801"), "{page}");
    let facts = ", error code 0x0000000000000002, address 0xffff8ffffffff000";
    assert!(page.ends_with(facts), "{page}");
}
