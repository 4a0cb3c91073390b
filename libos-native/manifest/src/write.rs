//! The writer: a manifest as text.

use alloc::string::String;
use core::fmt;

use crate::text::quote;
use crate::{Access, Console, Cores, Disk, Manifest, Memory, Restart, Session};

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, session) in self.sessions.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{session}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[session {}]", self.name)?;
        writeln!(f, "libos = {}", self.libos)?;
        writeln!(f, "memory = {}", self.memory)?;
        writeln!(f, "cores = {}", self.cores)?;
        writeln!(f, "slices = {}", self.slices)?;
        for disk in &self.disks {
            writeln!(f, "disk {disk}")?;
        }
        for device in &self.devices {
            let optional = if device.optional { " optional" } else { "" };
            writeln!(f, "device = {}{optional}", device.device.name())?;
        }
        writeln!(f, "console = {}", self.console)?;
        if !self.program.is_empty() {
            let mut text = String::new();
            for word in &self.program {
                text.push(' ');
                quote(word, &mut text);
            }
            writeln!(f, "program ={text}")?;
        }
        for variable in &self.env {
            let mut text = String::new();
            quote(variable, &mut text);
            writeln!(f, "env = {text}")?;
        }
        for option in &self.options {
            writeln!(f, "option = {option}")?;
        }
        writeln!(f, "restart = {}", self.restart)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest => f.write_str("rest"),
            Self::Bytes(bytes) if bytes % (1 << 20) == 0 => write!(f, "{}M", bytes >> 20),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        write!(f, "{} = {}:{} {access}", self.name, self.device, self.partition)
    }
}

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.link, self.log) {
            (true, true) => "link log",
            (true, false) => "link",
            (false, true) => "log",
            (false, false) => "none",
        })
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
        })
    }
}
