//! Cargo, as a program of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::places::Places;
use crate::report::Progress;
use crate::setup::RustPart;

/// Calls of cargo for one checkout and one target folder.
pub(crate) struct Cargo<'a> {
    places: &'a Places,
}

/// What is used of a package's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, relative to the checkout.
    pub(crate) folder: String,
    /// Names of its programs.
    pub(crate) programs: Vec<String>,
    /// Packages of the workspace that it is built from; those of tests do not count.
    pub(crate) uses: Vec<String>,
}

impl<'a> Cargo<'a> {
    /// For this checkout.
    pub(crate) const fn new(places: &'a Places) -> Self {
        Self { places }
    }

    /// The command `cargo WORDS`, in the checkout.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(words)
            .current_dir(&self.places.source)
            .env("CARGO_TARGET_DIR", &self.places.target)
            .env_remove("CARGO_MANIFEST_DIR")
            .stdin(Stdio::null());
        command
    }

    /// A target folder of its own, for what is built with other flags.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn own_folder(&self, name: &str) -> Result<std::path::PathBuf> {
        self.places.serix_folder(name)
    }

    /// Builds `packages` for the guest.
    ///
    /// # Errors
    /// What the compiler said has been printed.
    pub(crate) fn build_guest(
        &self,
        packages: &[String],
        verbose: bool,
        progress: &mut Progress,
    ) -> Result<()> {
        let words = ["build", "--profile", "guest", "--target", "x86_64-unknown-none"];
        let mut command = self.command(&words);
        for package in packages {
            command.args(["--package", package]);
        }
        carry_out(command, &packages.join(", "), verbose, progress)
    }

    /// Builds a package as a program for UEFI firmware.
    ///
    /// # Errors
    /// What the compiler said has been printed.
    pub(crate) fn build_uefi(
        &self,
        package: &str,
        verbose: bool,
        progress: &mut Progress,
    ) -> Result<()> {
        let mut command = self.command(&["build", "--profile", "guest", "--package", package]);
        command.args(["--target", RustPart::UEFI_TARGET]);
        carry_out(command, package, verbose, progress)
    }

    /// Builds a package for Linux, statically.
    ///
    /// # Errors
    /// What the compiler said has been printed.
    pub(crate) fn build_static(
        &self,
        package: &str,
        words: &[&str],
        progress: &mut Progress,
    ) -> Result<()> {
        let mut command = self.command(&["build", "--profile", "guest", "--package", package]);
        command.args(["--target", RustPart::LINUX_TARGET]).args(words);
        carry_out(command, package, false, progress)
    }

    /// The packages of the workspace.
    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let output = self
            .command(&["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
        let packages = packages.iter().map(|package| read_package(package, &self.places.source));
        packages.collect::<Option<_>>().context("cargo metadata is not as expected")
    }
}

/// Runs cargo and shows what it says if it fails.
fn carry_out(
    mut command: Command,
    what: &str,
    verbose: bool,
    progress: &mut Progress,
) -> Result<()> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let stderr = child.stderr.take().context("cargo has no standard error")?;
    let said = follow(BufReader::new(stderr), verbose, progress);
    let status = child.wait()?;
    if !status.success() {
        if !verbose {
            said.iter().for_each(|line| progress.note(line));
        }
        bail!("cargo could not build {what}");
    }
    Ok(())
}

/// Reads what cargo says; the stage is busy once cargo compiles or fetches.
fn follow(lines: impl BufRead, verbose: bool, progress: &mut Progress) -> Vec<String> {
    const WORK: [&str; 4] = ["Compiling", "Downloading", "Updating", "Blocking"];
    let mut said = Vec::new();
    for line in lines.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if WORK.iter().any(|word| line.trim_start().starts_with(word)) {
            progress.busy();
        }
        if verbose {
            progress.note(&line);
        }
        said.push(line);
    }
    said
}

fn read_package(package: &Value, source: &Path) -> Option<Package> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let folder = manifest.parent()?.strip_prefix(source.canonicalize().ok()?).ok()?;
    let is = |value: &Value, wanted: &str| {
        value.as_array().is_some_and(|all| all.iter().any(|one| one == wanted))
    };
    let targets = package["targets"].as_array()?.iter().filter(|target| is(&target["kind"], "bin"));
    let uses = package["dependencies"].as_array()?.iter();
    let uses = uses.filter(|used| used["path"].is_string() && used["kind"] != "dev");
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        folder: folder.to_str()?.to_owned(),
        programs: targets.filter_map(|target| Some(target["name"].as_str()?.to_owned())).collect(),
        uses: uses.filter_map(|used| Some(used["name"].as_str()?.to_owned())).collect(),
    })
}

/// A program of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The package that it is built from.
    pub(crate) package: String,
    /// The file that cargo makes.
    pub(crate) file: String,
}

/// The programs of the workspace by name; that of `serix-NAME` and of `NAME` is `NAME`.
pub(crate) fn guest_programs(packages: &[Package]) -> BTreeMap<String, Program> {
    let guest = packages.iter().filter(|package| package.name != env!("CARGO_PKG_NAME"));
    let programs = guest.flat_map(|package| {
        let program = |file: &String| Program { package: package.name.clone(), file: file.clone() };
        package.programs.iter().map(program)
    });
    programs.map(|program| (program_name(&program.file), program)).collect()
}

/// The name by which manifests know a file.
pub(crate) fn program_name(file: &str) -> String {
    file.strip_prefix("serix-").unwrap_or(file).to_owned()
}
