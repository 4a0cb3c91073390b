//! The root image: its bytes, its cache, and what `--keep`, `--rootfs` and `--disk` make of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::{Bench, Output, finish, wait_until};

/// Image of each `-drive`, with whether writes to it are thrown away.
fn drives(output: &Output) -> Vec<(PathBuf, bool)> {
    let (text, errors, status) = output.text();
    assert_eq!(status, Some(0), "{errors}");
    let drive = |line: &str| {
        let path = line.split_once("file=").expect("a file").1.into();
        (path, line.contains("snapshot=on"))
    };
    text.lines().map(drive).collect()
}

fn root(output: &Output) -> PathBuf {
    drives(output).remove(0).0
}

/// Runs a program of e2fsprogs on the image's root partition.
fn inspect(program: &str, words: &[&str], image: &Path) -> String {
    let found = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(program));
    let program = found.into_iter().find(|file| file.exists()).expect("e2fsprogs");
    let place = format!("{}?offset=1048576", image.display());
    let output = Command::new(program).args(words).arg(place).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let benches = ["same-1", "same-2"].map(Bench::with_own_target);
    let images = benches.each_ref().map(|bench| root(&bench.run(&["--", "show-drives"], b"")));
    assert_ne!(images[0], images[1]);
    let bytes = images.each_ref().map(|image| std::fs::read(image).unwrap());
    assert!(bytes[0] == bytes[1], "two builds differ");
    let again = benches[0].run(&["--", "show-drives"], b"");
    assert_eq!(again.errors, "", "a second run has nothing to do");
    assert_eq!(drives(&again), [(images[0].clone(), true)]);
    inspect("e2fsck", &["-f", "-n"], &images[0]);
    let host = std::fs::read(find("busybox")).unwrap();
    inspect("debugfs", &["-R", "dump /bin/busybox /dev/null"], &images[0]);
    let stat = inspect("debugfs", &["-R", "stat /bin/busybox"], &images[0]);
    assert!(
        stat.contains("Mode:  0755") && stat.contains(&format!("Size: {}", host.len())),
        "{stat}"
    );
    assert!(inspect("debugfs", &["-R", "stat /tmp"], &images[0]).contains("Mode:  01777"));
    assert!(inspect("debugfs", &["-R", "stat /bin/sh"], &images[0]).contains("Type: symlink"));
    let owner = inspect("debugfs", &["-R", "stat /home/user"], &images[0]);
    assert!(owner.contains("User:  1000   Group:  1000"), "{owner}");
}

fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let all = std::env::split_paths(&path).map(|folder| folder.join(name));
    all.into_iter().find(|file| file.exists()).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn additions_are_in_the_image() {
    let bench = Bench::with_own_target("add");
    let folder = bench.file("a, b");
    std::fs::create_dir_all(folder.join("deep \"er\"")).unwrap();
    std::fs::write(folder.join("deep \"er\"/file"), "text").unwrap();
    let add = format!("{}:/opt/x", folder.display());
    let image = root(&bench.run(&["--add", &add, "--", "show-drives"], b""));
    let text = inspect("debugfs", &["-R", "cat \"/opt/x/deep \"\"er\"\"/file\""], &image);
    assert_eq!(text, "text");
    inspect("e2fsck", &["-f", "-n"], &image);
    let output = bench.run(&["--add", "/no/such:/x", "--", "true"], b"");
    assert_eq!(output.status, Some(125));
    assert!(output.errors.contains("cannot add /no/such"), "{}", output.errors);
}

#[test]
fn a_kept_image_stays_until_its_inputs_change() {
    let bench = Bench::with_own_target("keep");
    let show = ["--keep", "--", "show-drives"];
    let kept = bench.file("target/serix/root.img");
    assert_eq!(drives(&bench.run(&show, b"")), [(kept.clone(), false)]);
    std::fs::write(bench.file("mark"), "x").unwrap();
    let script = format!("write {} /mark", bench.file("mark").display());
    inspect("debugfs", &["-w", "-R", &script], &kept);
    assert_eq!(drives(&bench.run(&show, b"")), [(kept.clone(), false)]);
    assert_eq!(inspect("debugfs", &["-R", "cat /mark"], &kept), "x", "it was found again");
    let add = format!("{}:/mark", bench.file("mark").display());
    let changed = ["--add", &add, "--keep", "--", "show-drives"];
    let output = bench.run(&changed, b"");
    assert_eq!(output.status, Some(125));
    assert!(output.errors.contains("has changed since it was made; --fresh"), "{}", output.errors);
    assert_eq!(inspect("debugfs", &["-R", "cat /mark"], &kept), "x", "and nothing was lost");
    let fresh = ["--add", &add, "--keep", "--fresh", "--", "show-drives"];
    assert_eq!(drives(&bench.run(&fresh, b"")), [(kept.clone(), false)]);
    assert_eq!(drives(&bench.run(&changed, b"")), [(kept, false)]);
}

#[test]
fn a_kept_image_is_for_one_run_at_a_time() {
    let bench = Bench::with_own_target("busy");
    let mut first = bench.command(&["--keep", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    // QEMU is asked for its version before the image is taken.
    let image = bench.file("target/serix/root.img");
    wait_until("the first machine is there", || image.exists() && bench.machines() == 1);
    let second = bench.run(&["--keep", "--", "true"], b"");
    assert_eq!(second.status, Some(125));
    assert!(second.errors.contains("root.img is in use by another run"), "{}", second.errors);
    drop(first.stdin.take());
    assert_eq!(finish(first).status, Some(0));
}

#[test]
fn root_file_systems_come_in_three_forms() {
    let bench = Bench::with_own_target("rootfs");
    let folder = bench.file("tree");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("only"), "this").unwrap();
    let run = |rootfs: &Path| {
        bench.run(&["--rootfs", rootfs.to_str().unwrap(), "--", "show-drives"], b"")
    };
    let disk = root(&run(&folder));
    assert_eq!(inspect("debugfs", &["-R", "cat /only"], &disk), "this");
    // The partition alone.
    let bare = bench.file("bare.img");
    let bytes = std::fs::read(&disk).unwrap();
    std::fs::write(&bare, &bytes[1 << 20..bytes.len() - (1 << 20)]).unwrap();
    let wrapped = root(&run(&bare));
    assert_ne!(wrapped, bare);
    assert_eq!(inspect("debugfs", &["-R", "cat /only"], &wrapped), "this");
    // A whole disk, as it is.
    assert_eq!(drives(&run(&disk)), [(disk.clone(), true)]);
    let noise = bench.file("noise");
    std::fs::write(&noise, vec![7; 1 << 20]).unwrap();
    let output = run(&noise);
    assert_eq!(output.status, Some(125));
    let expected = "has neither a partition serix-root nor an ext4 file system";
    assert!(output.errors.contains(expected), "{}", output.errors);
    let output = run(&bench.file("gone"));
    assert!(output.errors.contains("--rootfs: there is no "), "{}", output.errors);
}

#[test]
fn a_further_disk_needs_a_partition_table() {
    let bench = Bench::with_own_target("disk");
    let disk = root(&bench.run(&["--", "show-drives"], b""));
    let further = bench.file("further.img");
    std::fs::copy(&disk, &further).unwrap();
    let output = bench.run(&["--disk", further.to_str().unwrap(), "--", "show-drives"], b"");
    assert_eq!(drives(&output), [(disk, true), (further.clone(), false)]);
    let file = std::fs::File::options().write(true).open(&further).unwrap();
    file.set_len(4096).unwrap();
    let output = bench.run(&["--disk", further.to_str().unwrap(), "--", "true"], b"");
    assert_eq!(output.status, Some(125));
    assert!(output.errors.contains("has a damaged partition table"), "{}", output.errors);
}
