//! Which crate may be built from which: one table.
//!
//! `abi → {core, hal} → kernel` and `abi → sys → libos-native → libos-posix → user-apps`.

use anyhow::Result;

use super::Context;
use crate::build::Package;

/// For each folder, the folders that its packages may use. A trailing `/` stands for all below it.
/// The formats that host and guest both read (`link`, `manifest`) use nothing themselves.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("exokernel/abi", &[]),
    ("exokernel/boot", &[]),
    ("exokernel/core", &["exokernel/abi"]),
    ("exokernel/hal", &["exokernel/abi"]),
    ("exokernel/kernel", &["exokernel/abi", "exokernel/core", "exokernel/hal"]),
    ("exokernel/sys", &["exokernel/abi"]),
    ("exokernel/tests", &["exokernel/abi", "exokernel/sys", "libos-native/"]),
    ("libos-native/link", &[]),
    ("libos-native/manifest", &[]),
    ("libos-native/", &["exokernel/abi", "exokernel/sys", "libos-native/"]),
    ("libos-posix", &["exokernel/abi", "exokernel/sys", "libos-native/"]),
    (
        "user-apps/",
        &["exokernel/abi", "exokernel/sys", "libos-native/", "libos-posix", "user-apps/"],
    ),
    ("xtask", &["libos-native/link", "libos-native/manifest"]),
];

/// Complains about each use against the direction.
pub(super) fn check(context: &Context<'_>) -> Result<Vec<String>> {
    Ok(complaints(&context.cargo.packages()?))
}

fn complaints(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let Some((_, allowed)) = MAY_USE.iter().find(|(rule, _)| covers(rule, &package.folder))
        else {
            complaints.push(format!("{} has no place in the layers", package.folder));
            continue;
        };
        let used = packages.iter().filter(|other| package.uses.contains(&other.name));
        for other in used.filter(|other| !allowed.iter().any(|rule| covers(rule, &other.folder))) {
            complaints.push(format!("{} uses {}", package.folder, other.folder));
        }
        let expected = expected_name(&package.folder);
        if package.name != expected {
            complaints
                .push(format!("{} is named {}, not {expected}", package.folder, package.name));
        }
    }
    complaints
}

fn covers(rule: &str, folder: &str) -> bool {
    if rule.ends_with('/') { folder.starts_with(rule) } else { folder == rule }
}

fn expected_name(folder: &str) -> String {
    match folder.rsplit('/').next().unwrap_or(folder) {
        "xtask" => "xtask".to_owned(),
        // Of the kernel: `serix-tests` would say of what not.
        "tests" => "serix-kernel-tests".to_owned(),
        last => format!("serix-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, uses: &[&str]) -> Package {
        Package {
            name: expected_name(folder),
            folder: folder.to_owned(),
            programs: Vec::new(),
            uses: uses.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn upward_uses_are_found() {
        let packages = [
            package("exokernel/abi", &[]),
            package("exokernel/kernel", &["serix-abi", "serix-libos-posix"]),
            package("libos-native/chroma", &["serix-link"]),
            package("libos-native/link", &["serix-init"]),
            package("libos-posix", &["serix-chroma"]),
            package("user-apps/init", &["serix-libos-posix", "serix-link"]),
            package("elsewhere", &[]),
        ];
        let expected = [
            "exokernel/kernel uses libos-posix",
            "libos-native/link uses user-apps/init",
            "elsewhere has no place in the layers",
        ];
        assert_eq!(complaints(&packages), expected);
        let mut renamed = package("exokernel/abi", &[]);
        renamed.name = "abi".to_owned();
        assert_eq!(complaints(&[renamed]), ["exokernel/abi is named abi, not serix-abi"]);
    }
}
