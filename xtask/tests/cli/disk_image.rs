//! `cargo xtask image`: what is on the disk, and what `--limine` changes.

use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::support::{Bench, Output, finish};

/// Writes an image named `name`, with the loader for UEFI among the programs.
fn image(bench: &Bench, name: &str, words: &[&str]) -> (PathBuf, Output) {
    std::fs::write(bench.file("guest/serix-boot.efi"), "our loader").unwrap();
    let image = bench.file(name);
    let all = [&["-o", image.to_str().unwrap()], words, &["--", "true"]].concat();
    let mut command = bench.xtask("image", &all);
    (image, finish(command.stdin(Stdio::null()).spawn().unwrap()))
}

/// A file of the image's boot volume; `None` where there is none.
fn boot_file(image: &Path, path: &str) -> Option<String> {
    let bytes = std::fs::read(image).unwrap();
    let (start, end) = partition(&bytes, 0);
    let volume = Cursor::new(bytes[start..end].to_vec());
    let volume = fatfs::FileSystem::new(volume, fatfs::FsOptions::new()).unwrap();
    let mut file = volume.root_dir().open_file(path).ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    Some(text)
}

/// First byte and end of a partition.
fn partition(image: &[u8], index: usize) -> (usize, usize) {
    let entry = &image[1024 + index * 128..][..128];
    let sector = |at| u64::from_le_bytes(std::array::from_fn(|index| entry[at + index])) as usize;
    (sector(32) * 512, (sector(40) + 1) * 512)
}

/// A folder as Limine's releases have it; its program leaves its arguments beside it.
fn limine(bench: &Bench, files: &[&str]) -> String {
    let folder = bench.file("limine");
    std::fs::create_dir_all(&folder).unwrap();
    for file in files {
        let place = folder.join(file);
        let script = "#!/bin/sh\necho \"$@\" > \"${0%/*}/called\"\n";
        std::fs::write(&place, if *file == "limine" { script } else { file }).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

#[test]
fn the_boot_volume_has_loader_configuration_and_modules() {
    let bench = Bench::with_own_target("image");
    let (image, output) = image(&bench, "disk.img", &[]);
    assert_eq!(output.status, Some(0), "{}", output.errors);
    assert!(output.errors.contains("disk.img ("), "{}", output.errors);
    assert_eq!(boot_file(&image, "EFI/BOOT/BOOTX64.EFI").as_deref(), Some("our loader"));
    let configuration = boot_file(&image, "limine.conf").unwrap();
    let modules =
        configuration.lines().filter_map(|line| line.trim().strip_prefix("module_path: "));
    let paths: Vec<_> = modules.filter_map(|path| path.strip_prefix("boot():/")).collect();
    assert_eq!(paths, ["serix/init", "serix/libos-posix", "serix/manifest"]);
    assert_eq!(boot_file(&image, "serix/kernel.elf").as_deref(), Some("kernel"));
    assert_eq!(boot_file(&image, "serix/init").as_deref(), Some("init"));
    assert!(boot_file(&image, "serix/manifest").unwrap().contains("disk0:serix-root"));
    let bytes = std::fs::read(&image).unwrap();
    let root = partition(&bytes, 1).0;
    assert_eq!(bytes[root + 0x438..root + 0x43a], [0x53, 0xef], "an ext file system");
    assert!(partition(&bytes, 2).1 <= 1 << 20, "the stage is before the first partition");
}

#[test]
fn limines_files_take_the_place_of_ours() {
    let bench = Bench::with_own_target("image-limine");
    let folder = limine(&bench, &["BOOTX64.EFI", "limine-bios.sys", "limine"]);
    let (plain, _) = image(&bench, "plain.img", &[]);
    let (image, output) = image(&bench, "disk.img", &["--limine", &folder]);
    assert_eq!(output.status, Some(0), "{}", output.errors);
    assert_eq!(boot_file(&image, "EFI/BOOT/BOOTX64.EFI").as_deref(), Some("BOOTX64.EFI"));
    assert_eq!(boot_file(&image, "limine/limine-bios.sys").as_deref(), Some("limine-bios.sys"));
    for same in ["limine.conf", "serix/kernel.elf", "serix/manifest"] {
        assert_eq!(boot_file(&image, same), boot_file(&plain, same), "{same}");
    }
    let called = std::fs::read_to_string(bench.file("limine/called")).unwrap();
    assert_eq!(called, format!("bios-install {} 3\n", image.display()));
}

#[test]
fn without_limines_program_its_command_is_told() {
    let bench = Bench::with_own_target("image-stage");
    let folder = limine(&bench, &["limine-bios.sys"]);
    let (disk, output) = image(&bench, "disk.img", &["--limine", &folder]);
    assert_eq!(output.status, Some(0), "{}", output.errors);
    let command = format!("run `limine bios-install {} 3`", disk.display());
    assert!(output.errors.contains(&command), "{}", output.errors);
    assert_eq!(boot_file(&disk, "EFI/BOOT/BOOTX64.EFI").as_deref(), Some("our loader"));
    let empty = bench.file("empty");
    std::fs::create_dir(&empty).unwrap();
    let (_, output) = image(&bench, "disk.img", &["--limine", empty.to_str().unwrap()]);
    assert_eq!(output.status, Some(125));
    let expected = "has neither BOOTX64.EFI nor limine-bios.sys";
    assert!(output.errors.contains(expected), "{}", output.errors);
}

#[test]
fn without_limine_its_loader_is_not_run() {
    let bench = Bench::with_own_target("run-limine");
    let output = bench.run(&["--boot", "limine", "--", "true"], b"");
    // A machine that has Limine may lack firmware; either way the fix is in the line.
    assert_eq!(output.status, Some(125));
    let is_told = output.errors.contains("--limine DIR") || output.errors.contains("OVMF");
    assert!(is_told, "{}", output.errors);
}
