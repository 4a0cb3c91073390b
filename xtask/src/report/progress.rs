//! Stages: `[2/5] kernel …`.

use std::io::{IsTerminal, Write};

use super::say;

enum Style {
    /// One line that is overwritten and vanishes at the end.
    Terminal,
    /// A line for each stage that has something to do.
    Quiet,
    /// A line for each stage.
    Verbose,
}

/// The stages of a command.
pub(crate) struct Progress {
    style: Style,
    stages: usize,
    current: usize,
    name: &'static str,
    said: bool,
}

impl Progress {
    /// For a command of so many stages.
    pub(crate) fn new(stages: usize, verbose: bool) -> Self {
        let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let style = match std::io::stderr().is_terminal() && !colourless && !dumb {
            _ if verbose => Style::Verbose,
            true => Style::Terminal,
            false => Style::Quiet,
        };
        Self { style, stages, current: 0, name: "", said: false }
    }

    /// The next stage begins.
    pub(crate) fn stage(&mut self, name: &'static str) {
        (self.current, self.name, self.said) = (self.current + 1, name, false);
        match self.style {
            Style::Terminal => self.draw(),
            Style::Verbose => self.busy(),
            Style::Quiet => {}
        }
    }

    /// The stage turns out to have something to do.
    pub(crate) fn busy(&mut self) {
        if self.said || matches!(self.style, Style::Terminal) {
            return;
        }
        self.said = true;
        say(&format!("[{}/{}] {} …", self.current, self.stages, self.name));
    }

    /// Prints a line for people, past the progress line.
    pub(crate) fn note(&mut self, line: &str) {
        self.clear();
        say(line);
        if matches!(self.style, Style::Terminal) {
            self.draw();
        }
    }

    /// Leaves the terminal to someone else.
    pub(crate) fn clear(&mut self) {
        if matches!(self.style, Style::Terminal) {
            write("\r\x1b[K");
        }
    }

    fn draw(&self) {
        write(&format!(
            "\r\x1b[K\x1b[36m[{}/{}]\x1b[0m {} …",
            self.current, self.stages, self.name
        ));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // A terminal that is gone is no reason to stop.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
