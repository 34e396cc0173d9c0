//! Line charts as SVG, plain enough to be read in the repository.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
const COLOURS: [&str; 8] = ["#c0392b", "#2c7fb8", "#41a35a", "#8856a7", "#e08214", "#666666", "#1b9e9e", "#a6761d"];

/// One chart. Both axes are logarithmic: what is measured spans decades.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) across: &'static str,
    pub(super) up: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One server's numbers.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    /// Both above zero, from left to right.
    pub(super) points: Vec<(f64, f64)>,
}

/// An axis from one number to another, as a logarithm.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), v| (least.min(v), most.max(v)));
        Self { from: least / 1.15, to: most * 1.15 }
    }

    fn share(&self, value: f64) -> f64 {
        (value / self.from).ln() / (self.to / self.from).ln()
    }

    /// 1, 2 and 5 of each decade, or fewer where there are many.
    fn marks(&self) -> Vec<f64> {
        let decades = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
        let steps: &[f64] = if decades.clone().count() > 5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = decades.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|mark| (self.from..=self.to).contains(mark)).collect()
    }
}

impl Chart {
    /// The picture; `None`: there is nothing to show.
    pub(super) fn draw(&self) -> Option<String> {
        let all = || self.lines.iter().flat_map(|line| line.points.iter());
        all().next()?;
        let (x, y) = (Axis::around(all().map(|point| point.0)), Axis::around(all().map(|point| point.1)));
        let across = |value| LEFT + x.share(value) * (WIDTH - LEFT - RIGHT);
        let up = |value| HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        text(&mut svg, (LEFT, 24.0), "start\" font-size=\"15\" font-weight=\"bold", self.title);
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for mark in y.marks() {
            let at = up(mark);
            rule(&mut svg, (LEFT, at), (right, at), "#e4e4e4");
            text(&mut svg, (LEFT - 8.0, at + 4.0), "end", &number(mark));
        }
        for mark in x.marks() {
            let at = across(mark);
            rule(&mut svg, (at, TOP), (at, bottom), "#e4e4e4");
            text(&mut svg, (at, bottom + 18.0), "middle", &number(mark));
        }
        rule(&mut svg, (LEFT, bottom), (right, bottom), "#444");
        rule(&mut svg, (LEFT, TOP), (LEFT, bottom), "#444");
        text(&mut svg, ((LEFT + right) / 2.0, HEIGHT - 14.0), "middle", self.across);
        let middle = (TOP + bottom) / 2.0;
        let turned = format!("middle\" transform=\"rotate(-90 18 {middle})");
        text(&mut svg, (18.0, middle), &turned, self.up);
        let mut labels: Vec<(f64, String, &str)> = Vec::new();
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let points: Vec<String> =
                line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", across(*a), up(*b))).collect();
            let Some(&(_, last)) = line.points.last() else { continue };
            let path = points.join(" ");
            let _ = writeln!(svg, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
            for (a, b) in &line.points {
                let _ =
                    writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", across(*a), up(*b));
            }
            labels.push((up(last), line.name.clone(), colour));
        }
        for (at, name, colour) in apart(labels) {
            text(&mut svg, (right + 10.0, at + 4.0), &format!("start\" fill=\"{colour}"), &name);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

/// Moves names down until none covers another.
fn apart(mut labels: Vec<(f64, String, &str)>) -> Vec<(f64, String, &str)> {
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = f64::MIN;
    for label in &mut labels {
        label.0 = label.0.max(free);
        free = label.0 + 15.0;
    }
    labels
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(svg, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>");
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, what: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>");
}

fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v if v >= 1e3 => format!("{} k", v / 1e3),
        v if v >= 1.0 => format!("{v}"),
        v => format!("{v:.3}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_line_and_a_name_for_each_server() {
        let line = |name: &str, factor: f64| Line {
            name: name.to_owned(),
            points: vec![(1.0, 100.0 * factor), (64.0, 3_000.0 * factor)],
        };
        let lines = vec![line("a", 1.0), line("b", 1.01)];
        let svg = Chart { title: "t", across: "x", up: "y", lines }.draw().unwrap();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (2, 4));
        assert!(svg.contains(">a</text>") && svg.contains(">50</text>") && svg.contains(">1 k</text>"), "{svg}");
        assert!(Chart { title: "t", across: "x", up: "y", lines: Vec::new() }.draw().is_none());
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let places = apart(vec![(10.0, "a".into(), ""), (12.0, "b".into(), ""), (80.0, "c".into(), "")]);
        assert_eq!(places.iter().map(|place| place.0).collect::<Vec<_>>(), [10.0, 25.0, 80.0]);
    }
}
