//! Stacks to a flame graph: a tree of calls, and its picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Pixels.
const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const MARGIN: f64 = 10.0;
const HEAD: f64 = 34.0;
/// Boxes that are narrower are left out.
const NARROWEST: f64 = 0.3;
/// What a letter takes.
const LETTER: f64 = 6.8;

/// Stacks, added up.
#[derive(Debug, Default)]
pub(super) struct Flames {
    root: Node,
    /// Samples in a function itself.
    own: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Node {
    count: usize,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn depth(&self) -> usize {
        1 + self.children.values().map(Self::depth).max().unwrap_or(0)
    }
}

impl Flames {
    /// Adds a stack, outermost first.
    pub(super) fn add(&mut self, names: &[String]) {
        self.root.count += 1;
        let mut node = &mut self.root;
        for name in names {
            node = node.children.entry(name.clone()).or_default();
            node.count += 1;
        }
        if let Some(name) = names.last() {
            *self.own.entry(name.clone()).or_default() += 1;
        }
    }

    /// The functions that most samples are in, with their shares in per cent.
    pub(super) fn top(&self, count: usize) -> Vec<(&str, f64)> {
        let mut all: Vec<_> = self.own.iter().map(|(name, own)| (name.as_str(), *own)).collect();
        all.sort_by_key(|(name, own)| (std::cmp::Reverse(*own), *name));
        let share = |own: usize| own as f64 * 100.0 / self.root.count as f64;
        all.into_iter().take(count).map(|(name, own)| (name, share(own))).collect()
    }

    /// The picture.
    pub(super) fn svg(&self, title: &str) -> String {
        let height = HEAD + self.root.depth() as f64 * ROW + MARGIN;
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fcfcf8\"/>\n\
             <text x=\"{MARGIN}\" y=\"20\" font-size=\"14\">{}</text>",
            escaped(title)
        );
        let scale = (WIDTH - 2.0 * MARGIN) / self.root.count.max(1) as f64;
        self.boxes(&mut svg, &self.root, ("all", MARGIN, height - MARGIN - ROW), scale);
        svg.push_str("</svg>\n");
        svg
    }

    /// Draws a node at a place, and its children upon it.
    fn boxes(&self, svg: &mut String, node: &Node, (name, x, y): (&str, f64, f64), scale: f64) {
        let width = node.count as f64 * scale;
        if width < NARROWEST {
            return;
        }
        let share = node.count as f64 * 100.0 / self.root.count.max(1) as f64;
        let letters = ((width - 4.0) / LETTER).max(0.0) as usize;
        let shown: String =
            if letters < 3 { String::new() } else { name.chars().take(letters).collect() };
        let _ = writeln!(
            svg,
            "<g><title>{} ({} samples, {share:.1} %)</title>\
             <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\" rx=\"1\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            escaped(name),
            node.count,
            ROW - 1.0,
            colour(name),
            x + 2.0,
            y + 12.0,
            escaped(&shown)
        );
        let mut at = x;
        for (name, child) in &node.children {
            self.boxes(svg, child, (name, at, y - ROW), scale);
            at += child.count as f64 * scale;
        }
    }
}

/// By part of the system, its shade by the name.
fn colour(name: &str) -> String {
    let hue = match name.split('`').next() {
        Some("kernel") => 4,
        Some("libos") => 32,
        Some("program") => 205,
        _ => 60,
    };
    let shade = name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("hsl({hue},75%,{}%)", 62 + shade % 16)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn equal_callers_are_one_box() {
        let mut flames = Flames::default();
        flames.add(&stack(&["program", "libos`a<T>", "kernel`x"]));
        flames.add(&stack(&["program", "libos`a<T>"]));
        flames.add(&stack(&["program", "libos`b"]));
        let svg = flames.svg("a & b");
        assert_eq!(svg.matches("<rect x=").count(), 5, "all, program, a, b, x");
        assert!(svg.contains("libos`a&lt;T&gt; (2 samples, 66.7 %)") && svg.contains("a &amp; b"));
        assert!(svg.ends_with("</svg>\n"));
        let top = flames.top(1);
        assert_eq!((top[0].0, top[0].1.round()), ("kernel`x", 33.0));
    }
}
