//! Rust's comments and literals, so that a word in them is not taken for code.

/// A file with its parts told apart.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The code; comments and the insides of literals are blanks, lines are as they were.
    pub(super) code: String,
    /// Insides of string literals, each with the line on which it starts, counted from 1.
    pub(super) strings: Vec<(usize, String)>,
}

impl Parts {
    /// Lines of code, counted from 1, on which `word` stands by itself.
    pub(super) fn lines_with(&self, word: &str) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        lines.filter(|(_, line)| has_word(line, word)).map(|(index, _)| index + 1).collect()
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.split(|c| !is_part(c)).any(|one| one == word)
}

/// Tells the parts of a file apart.
pub(super) fn parts(text: &str) -> Parts {
    let mut lexer = Lexer { rest: text, line: 1, parts: Parts::default() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.parts
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    parts: Parts,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some((inside, end)) = raw_string(rest).filter(|_| self.starts_a_token()) {
            self.parts.strings.push((self.line, inside.to_owned()));
            self.blank(end);
        } else if rest.starts_with('"') {
            let end = quoted(rest, '"');
            let inside = rest[1..end].strip_suffix('"').unwrap_or(&rest[1..end]);
            self.parts.strings.push((self.line, inside.to_owned()));
            self.blank(end);
        } else if let Some(end) = character(rest) {
            self.blank(end);
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            self.keep(first);
        }
    }

    /// Whether what was kept does not run on into the next character, as in `for"` or `br"`.
    fn starts_a_token(&self) -> bool {
        !self.parts.code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.line += kept.matches('\n').count();
        self.parts.code.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.line += gone.matches('\n').count();
        self.parts.code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// Length of the block comment at the start; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Inside and length of the raw string at the start.
fn raw_string(text: &str) -> Option<(&str, usize)> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr"));
    let after = after.or_else(|| text.strip_prefix('r'))?;
    let inside = after.trim_start_matches('#');
    let hashes = &after[..after.len() - inside.len()];
    let inside = inside.strip_prefix('"')?;
    let close = format!("\"{hashes}");
    let length = inside.find(&close).unwrap_or(inside.len());
    let end = text.len() - inside.len() + (length + close.len()).min(inside.len());
    Some((&inside[..length], end))
}

/// Length of the literal at the start, which `quote` opens and closes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal at the start; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let is_literal = first == '\\' || inside[first.len_utf8()..].starts_with('\'');
    is_literal.then(|| quoted(text, '\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_literals_are_no_code() {
        let text = "fn a() { /* unsafe /* unsafe */ unsafe */ }\n// unsafe\nlet b = \"unsafe \\\" \
                    unsafe\";\nlet c = r#\"unsafe \" unsafe\"#; let d = '\"'; let e: &'a str = '\\'';\n\
                    unsafe { f() }\n#![allow(unsafe_code)]\nfor_r\"unsafe\"\n";
        let parts = parts(text);
        assert_eq!(parts.lines_with("unsafe"), [5]);
        assert_eq!(parts.code.lines().count(), text.lines().count());
        let strings: Vec<_> =
            parts.strings.iter().map(|(line, text)| (*line, text.as_str())).collect();
        let expected = [(3, "unsafe \\\" unsafe"), (4, "unsafe \" unsafe"), (7, "unsafe")];
        assert_eq!(strings, expected);
    }

    #[test]
    fn unfinished_text_ends() {
        for text in ["\"a", "r#\"a", "/* a", "'", "'\\", "br\"", "// a"] {
            parts(text);
        }
    }
}
