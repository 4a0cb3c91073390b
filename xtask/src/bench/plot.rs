//! `bench --plot`: the tables as a chart, in the manner of papers: grouped bars on a logarithmic scale, goals marked.

use std::fmt::Write as _;

use super::budgets::{Budgets, Side};
use super::measure::Measured;

/// Pixels.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 120.0;
const HEAD: f64 = 64.0;
const GROUP: f64 = 34.0;
const BAR: f64 = 11.0;
const BETWEEN: f64 = 70.0;
const SERIX: &str = "#1f5a96";
const OTHER: &str = "#b8b8b8";

/// A group of bars.
struct Group<'a> {
    name: &'a str,
    serix: u64,
    other: Option<u64>,
    goal: Option<u64>,
}

/// The picture. Rows without anything to compare with are left out.
pub(super) fn svg(budgets: &Budgets, measured: &[Measured], caption: &str) -> String {
    let panels =
        [(Side::Posix, "Linux calls", "Linux"), (Side::Native, "Kernel primitives", "seL4")];
    let panels = panels.map(|(side, title, other)| (groups(budgets, measured, side), title, other));
    let panels: Vec<_> = panels.into_iter().filter(|(groups, ..)| !groups.is_empty()).collect();
    let heights = panels.iter().map(|(groups, ..)| HEAD + GROUP * groups.len() as f64 + BETWEEN);
    let height = heights.sum::<f64>() + 20.0;
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    let mut top = 0.0;
    for (groups, title, other) in &panels {
        panel(&mut svg, top, groups, (title, other));
        top += HEAD + GROUP * groups.len() as f64 + BETWEEN;
    }
    text(
        &mut svg,
        (LEFT, height - 8.0),
        "start",
        &format!("fill=\"#666\" font-size=\"10\">{}", escaped(caption)),
    );
    svg.push_str("</svg>\n");
    svg
}

fn groups<'a>(budgets: &Budgets, measured: &'a [Measured], side: Side) -> Vec<Group<'a>> {
    let rows = measured.iter().filter(|row| row.side == side && row.median > 0);
    let group = |row: &'a Measured| {
        let entry = budgets.find(side, &row.name)?;
        let (goal, other) = (entry.goal, entry.other);
        (goal.is_some() || other.is_some()).then_some(Group {
            name: &row.name,
            serix: row.median,
            other,
            goal,
        })
    };
    rows.filter_map(group).collect()
}

/// From an instruction count to a place on the axis, whose ends are powers of ten.
struct Axis {
    first: f64,
    last: f64,
}

impl Axis {
    fn of(groups: &[Group<'_>]) -> Self {
        let values = groups.iter().flat_map(|group| [Some(group.serix), group.other, group.goal]);
        let logs: Vec<_> = values.flatten().map(|value| (value.max(1) as f64).log10()).collect();
        let first = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
        let last = logs.iter().copied().fold(0.0, f64::max).ceil();
        Self { first, last: last.max(first + 1.0) }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.max(1.0).log10() - self.first) / (self.last - self.first);
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }
}

fn panel(svg: &mut String, top: f64, groups: &[Group<'_>], (title, other): (&str, &str)) {
    let axis = Axis::of(groups);
    let (start, end) = (top + HEAD, top + HEAD + GROUP * groups.len() as f64);
    text(
        svg,
        (LEFT, top + 24.0),
        "start",
        &format!("font-size=\"15\" font-weight=\"bold\">{title}"),
    );
    legend(svg, top + 44.0, other);
    grid(svg, &axis, (start, end));
    for (index, group) in groups.iter().enumerate() {
        bars(svg, &axis, start + GROUP * index as f64, group);
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    text(svg, (middle, end + 34.0), "middle", ">guest instructions (logarithmic scale)");
}

fn legend(svg: &mut String, y: f64, other: &str) {
    bar(svg, (LEFT, y - 9.0), 24.0, SERIX);
    text(svg, (LEFT + 30.0, y), "start", ">Serix");
    bar(svg, (LEFT + 90.0, y - 9.0), 24.0, OTHER);
    text(svg, (LEFT + 120.0, y), "start", &format!(">{other}"));
    mark(svg, LEFT + 190.0, y - 11.0, 14.0);
    text(svg, (LEFT + 200.0, y), "start", ">goal");
}

fn grid(svg: &mut String, axis: &Axis, (start, end): (f64, f64)) {
    for power in axis.first as i32..=axis.last as i32 {
        let x = axis.place(10f64.powi(power));
        let _ = writeln!(svg, "<path d=\"M{x:.1} {start:.1}V{end:.1}\" stroke=\"#ddd\"/>");
        let label = format!(">10<tspan dy=\"-5\" font-size=\"9\">{power}</tspan>");
        text(svg, (x, end + 16.0), "middle", &label);
    }
    let _ = writeln!(svg, "<path d=\"M{LEFT} {start:.1}V{end:.1}\" stroke=\"black\"/>");
}

fn bars(svg: &mut String, axis: &Axis, y: f64, group: &Group<'_>) {
    text(svg, (LEFT - 8.0, y + 20.0), "end", &format!(">{}", escaped(group.name)));
    let serix = axis.place(group.serix as f64);
    bar(svg, (LEFT, y + 4.0), serix - LEFT, SERIX);
    let ratio = group.other.map(|other| format!(" ({:.1}×)", other as f64 / group.serix as f64));
    let label = format!("font-size=\"10\">{}{}", group.serix, ratio.unwrap_or_default());
    text(svg, (serix + 6.0, y + 13.0), "start", &label);
    if let Some(other) = group.other {
        let end = axis.place(other as f64);
        bar(svg, (LEFT, y + 4.0 + BAR), end - LEFT, OTHER);
        text(
            svg,
            (end + 6.0, y + 13.0 + BAR),
            "start",
            &format!("font-size=\"10\" fill=\"#555\">{other}"),
        );
    }
    if let Some(goal) = group.goal {
        mark(svg, axis.place(goal as f64), y + 2.0, BAR + 4.0);
    }
}

fn bar(svg: &mut String, (x, y): (f64, f64), width: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>",
        width.max(0.5)
    );
}

/// A goal: a line across the bar.
fn mark(svg: &mut String, x: f64, y: f64, height: f64) {
    let _ = writeln!(
        svg,
        "<path d=\"M{x:.1} {y:.1}v{height:.1}\" stroke=\"#d4461f\" stroke-width=\"3\"/>"
    );
}

/// `rest` ends the tag and has what is in it.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, rest: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {rest}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ratios_are_equal_distances() {
        let group = |serix| Group { name: "a", serix, other: None, goal: None };
        let axis = Axis::of(&[group(20), group(5000)]);
        assert_eq!((axis.first, axis.last), (1.0, 4.0));
        let distance = |a: f64, b: f64| axis.place(b) - axis.place(a);
        assert!((distance(10.0, 100.0) - distance(1000.0, 10_000.0)).abs() < 1e-6);
        assert!((distance(20.0, 40.0) - distance(700.0, 1400.0)).abs() < 1e-6);
    }

    #[test]
    fn the_chart_has_a_group_for_each_row_with_something_to_compare() {
        let text = "posix a 60 98 328 ; x\nposix b - 5 -\nnative n 60 58 240\n";
        let budgets = Budgets::parse(text).unwrap();
        let row = |side, name: &str| Measured {
            side,
            name: name.to_owned(),
            min: 50,
            median: 50,
            p99: 50,
            rounds: 1,
            rep: 0,
        };
        let rows = [row(Side::Posix, "a"), row(Side::Posix, "b"), row(Side::Native, "n")];
        let svg = svg(&budgets, &rows, "a < b");
        assert!(svg.contains(">a</text>") && !svg.contains(">b</text>"), "{svg}");
        assert!(svg.contains(">50 (6.6×)</text>") && svg.contains("a &lt; b"), "{svg}");
        assert_eq!(svg.matches(SERIX).count(), 4, "two legends, two bars");
        assert!(svg.ends_with("</svg>\n"));
    }
}
