//! The default tree: busybox with its applets, and the files that programs expect.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tree::{Entry, Tree};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n";
const PROFILE: &str = "export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n\
                       export PS1='\\u@\\h:\\w\\$ ' PAGER=less EDITOR=vi\n\
                       alias ll='ls -l'\n\
                       cd\n\
                       uname -srv\n\
                       [ -r /etc/motd ] && cat /etc/motd\n";
const MESSAGE: &str = "\n\
Welcome to Serix: an exokernel, and Linux programs on a library that speaks Linux.\n\n\
Things to try:\n  \
  ls -l /bin | less        busybox's programs, a page at a time (q leaves)\n  \
  vi hello.sh              an editor; files in /tmp and here vanish with the machine\n  \
  top                      what runs (q leaves); sleep 50 &, jobs, fg, Ctrl-Z, Ctrl-C\n  \
  cat /proc/self/maps      a program's memory; the libOS above it is not shown\n  \
  su user                  somebody who is not root\n\n\
Ctrl-D or exit ends the machine; Ctrl-] and then q ends it whatever it does.\n\n";
const HOSTS: &str = "127.0.0.1 localhost serix\n";

/// Folders and their modes.
const FOLDERS: [(&str, u32); 17] = [
    ("/", 0o755),
    ("/bin", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/lib", 0o755),
    ("/mnt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/sbin", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/usr/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/var", 0o755),
    ("/var/tmp", 0o1777),
];

/// The tree around this busybox.
pub(super) fn tree(busybox: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    for (path, mode) in FOLDERS {
        tree.insert(path, Entry::folder(mode));
    }
    tree.insert("/home/user", Entry::folder(0o755).owned_by(1000));
    let files = [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/profile", PROFILE),
        ("/etc/hostname", "serix\n"),
        ("/etc/motd", MESSAGE),
        ("/etc/hosts", HOSTS),
    ];
    for (path, text) in files {
        tree.insert(path, Entry::text(text));
    }
    tree.insert("/bin/busybox", Entry::program(busybox));
    for applet in applets(busybox)? {
        let path = format!("/bin/{applet}");
        if applet != "busybox" {
            tree.insert(&path, Entry::link("busybox"));
        }
    }
    Ok(tree)
}

/// What this busybox can be called as.
fn applets(busybox: &Path) -> Result<Vec<String>> {
    let output = Command::new(busybox).arg("--list").output();
    let output = output.with_context(|| format!("cannot start {}", busybox.display()))?;
    ensure!(output.status.success(), "{} --list failed", busybox.display());
    let text = String::from_utf8(output.stdout).context("busybox --list is no text")?;
    let is_name = |name: &&str| !name.is_empty() && !name.contains('/');
    Ok(text.lines().map(str::trim).filter(is_name).map(str::to_owned).collect())
}
