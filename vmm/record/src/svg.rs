//! A recording as a picture that any browser shows and any printer prints, without a script.
//!
//! # Invariants
//! - What a thread does is told by its place and its pattern, not by colour alone.
//! - The picture's size does not grow with the recording: what is narrower than a pixel is drawn together with what is beside it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use umpire_rows::number;

use crate::recording::Recording;
use crate::spans::{Span, Spans, State};
use crate::violation::Violation;

/// Pixels: the names at the left, the time from there to the right, a lane.
const LEFT: f64 = 190.0;
const WIDTH: f64 = 900.0;
const LANE: f64 = 22.0;
const BAR: f64 = 15.0;
const TOP: f64 = 74.0;
/// Threads with a lane of their own, at most: those that waited longest.
const THREADS: usize = 12;
/// Classes and their colours: Okabe and Ito's, which the colour-blind can tell.
pub(super) const COLOURS: [(&str, &str); 7] = [
    ("TS", "#56b4e9"),
    ("IA", "#0072b2"),
    ("FSS", "#009e73"),
    ("FX", "#f0e442"),
    ("RT", "#d55e00"),
    ("SYS", "#e69f00"),
    ("SDC", "#cc79a7"),
];

/// The picture of an interval, in ns after boot.
pub fn svg(recording: &Recording, interval: RangeInclusive<u64>) -> String {
    let (first_ns, last_ns) = recording.interval();
    let from_ns = first_ns.max(*interval.start());
    let to_ns = last_ns.min(*interval.end()).max(from_ns + 1);
    let spans = Spans::of(recording);
    let mut lanes = Vec::new();
    for cpu in 0..recording.header.cpus {
        lanes.push((format!("cpu {cpu}"), spans.of_cpu(cpu).copied().collect::<Vec<Span>>(), true));
    }
    for thread in chosen(recording, &spans, THREADS) {
        lanes.push((recording.name(thread), spans.of_thread(thread).copied().collect(), false));
    }
    let mut picture = Picture { recording, from_ns, to_ns, text: String::new() };
    picture.begin(lanes.len());
    for (n, (name, spans, is_cpu)) in lanes.iter().enumerate() {
        picture.lane(n, name, spans, *is_cpu);
    }
    picture.breaches(&spans, lanes.len());
    picture.end()
}

/// The threads that get a lane: those that a bound was broken for, then those that waited longest.
pub(super) fn chosen(recording: &Recording, spans: &Spans, most: usize) -> Vec<u64> {
    let mut chosen: Vec<u64> = Vec::new();
    let victims = Violation::all(recording, spans).into_iter().filter_map(|violation| violation.number);
    let waits = spans.worst_waits();
    for thread in victims.chain(waits.iter().map(|wait| wait.thread)) {
        let is_idle = recording.thread(thread).is_some_and(|thread| thread.is_idle);
        if !is_idle && !chosen.contains(&thread) && chosen.len() < most {
            chosen.push(thread);
        }
    }
    chosen
}

/// What a recording says came of its run.
pub(super) fn told(recording: &Recording) -> String {
    let ending = recording.ending.as_ref();
    ending
        .map_or_else(|| "the recording ends before its verdict".to_owned(), |ending| ending.observed.clone())
}

struct Picture<'r> {
    recording: &'r Recording,
    from_ns: u64,
    to_ns: u64,
    text: String,
}

impl Picture<'_> {
    fn begin(&mut self, lanes: usize) {
        let header = &self.recording.header;
        let (width, height) = (LEFT + WIDTH + 20.0, TOP + LANE * lanes as f64 + 60.0);
        let title = escape(&format!("{} {}", header.scenario, header.variant));
        let why = self.recording.ending.as_ref().and_then(|ending| ending.why.first());
        let said = why.map_or_else(|| told(self.recording), |why| format!("{}: {why}", told(self.recording)));
        self.put(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
             font-size=\"12\" role=\"img\" aria-label=\"{title}\">"
        ));
        self.put(
            "<style>.f{fill:#fff}.t{fill:#111}.g{stroke:#ccc}.w{stroke:#111}\
             @media (prefers-color-scheme:dark){.f{fill:#181818}.t{fill:#eee}.g{stroke:#444}.w{stroke:#eee}}</style>",
        );
        self.put(
            "<defs><pattern id=\"wait\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><path class=\"w\" d=\"M0 0V6\" stroke-width=\"2\"/></pattern></defs>",
        );
        self.put("<rect class=\"f\" width=\"100%\" height=\"100%\"/>");
        self.put(&format!(
            "<text class=\"t\" x=\"10\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{title}</text>"
        ));
        self.put(&format!("<text class=\"t\" x=\"10\" y=\"38\">{}</text>", escape(&cut(&said, 170))));
        for tenth in 0..=10 {
            let at = self.from_ns + (u128::from(self.to_ns - self.from_ns) * tenth / 10) as u64;
            let x = self.x(at);
            let bottom = TOP + LANE * lanes as f64;
            self.put(&format!("<path class=\"g\" d=\"M{x:.1} {:.0}V{bottom:.0}\"/>", TOP - 6.0));
            self.put(&format!(
                "<text class=\"t\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"10\">{}</text>",
                TOP - 10.0,
                number::rounded(at)
            ));
        }
        self.legend(TOP + LANE * lanes as f64 + 24.0);
    }

    fn legend(&mut self, y: f64) {
        let mut x = LEFT;
        for (class, colour) in COLOURS {
            self.put(&format!(
                "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
                y - 10.0
            ));
            self.put(&format!("<text class=\"t\" x=\"{:.0}\" y=\"{y:.0}\">{class}</text>", x + 16.0));
            x += 56.0;
        }
        self.put(&format!(
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"24\" height=\"12\" fill=\"url(#wait)\"/>",
            y - 10.0
        ));
        self.put(&format!("<text class=\"t\" x=\"{:.0}\" y=\"{y:.0}\">waits for a CPU</text>", x + 28.0));
        self.put(&format!(
            "<text class=\"t\" x=\"{:.0}\" y=\"{y:.0}\">full height: runs; nothing: asleep</text>",
            x + 140.0
        ));
    }

    fn lane(&mut self, n: usize, name: &str, spans: &[Span], is_cpu: bool) {
        let y = TOP + LANE * n as f64 + 3.0;
        let weight = if is_cpu { " font-weight=\"bold\"" } else { "" };
        self.put(&format!(
            "<text class=\"t\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\"{weight}>{}</text>",
            LEFT - 8.0,
            y + 12.0,
            escape(&cut(name, 26))
        ));
        // What is narrower than a pixel is left to the pixel that it begins in, which goes to the first.
        let mut free_from = LEFT;
        let (from_ns, to_ns) = (self.from_ns, self.to_ns);
        for span in spans.iter().filter(|span| span.to_ns > from_ns && span.from_ns < to_ns) {
            let thread = self.recording.thread(span.thread);
            let is_running = matches!(span.state, State::Running(_));
            let is_shown =
                if is_running { !thread.is_some_and(|t| t.is_idle) } else { span.state.is_waiting() };
            let (left, right) = (self.x(span.from_ns).max(free_from), self.x(span.to_ns));
            if !is_shown || right < free_from {
                continue;
            }
            let width = (right - left).max(1.0);
            let class = thread.map_or("", |thread| thread.class.as_str());
            let fill = if is_running { colour(class) } else { "url(#wait)" };
            let what = if is_running { "runs" } else { "waits" };
            let title = escape(&format!(
                "{} ({class} {}) {what} {} from {}",
                self.recording.name(span.thread),
                span.pri,
                number::rounded(span.ns()),
                number::rounded(span.from_ns)
            ));
            self.put(&format!(
                "<rect x=\"{left:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\"><title>{title}</title></rect>"
            ));
            free_from = left + width;
        }
    }

    /// A red rule where a bound was broken.
    fn breaches(&mut self, spans: &Spans, lanes: usize) {
        let bottom = TOP + LANE * lanes as f64;
        for violation in Violation::all(self.recording, spans) {
            let at = violation.at_ns;
            if at < self.from_ns || at > self.to_ns {
                continue;
            }
            let x = self.x(at);
            self.put(&format!(
                "<path d=\"M{x:.1} {:.0}V{bottom:.0}\" stroke=\"#c00\" stroke-width=\"2\"/>",
                TOP - 6.0
            ));
            let text = escape(&violation.text);
            self.put(&format!(
                "<text x=\"{x:.1}\" y=\"{:.0}\" fill=\"#c00\" text-anchor=\"middle\">{text}</text>",
                bottom + 44.0
            ));
        }
    }

    fn end(mut self) -> String {
        self.put("</svg>");
        self.text
    }

    fn x(&self, at_ns: u64) -> f64 {
        let share = (at_ns.clamp(self.from_ns, self.to_ns) - self.from_ns) as f64
            / (self.to_ns - self.from_ns) as f64;
        LEFT + WIDTH * share
    }

    fn put(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn colour(class: &str) -> &'static str {
    COLOURS.iter().find(|(name, _)| *name == class).map_or("#999999", |(_, colour)| colour)
}

/// The text with an ellipsis if it is longer than this.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The text with what XML takes for something else written out; control characters but the end of a line are left out.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Breach, Ending, Header, Thread};
    use umpire_shared::event::Kind;
    use umpire_watch::glass::TraceRecord;

    fn recording(count: u64) -> Recording {
        let record = |time_ns, kind, thread| TraceRecord { time_ns, cpu: 0, kind, thread, pri: 1, arg: 0 };
        let mut records = vec![record(0, Kind::Enqueue, 2)];
        for n in 0..count {
            let (at, thread) = (n * 10, n % 2);
            records.push(record(at, Kind::OnCpu, thread));
            records.push(record(at + 5, Kind::Enqueue, thread));
            records.push(record(at + 10, Kind::OffCpu, thread));
        }
        let thread = |id, name: &str| Thread {
            id,
            name: name.to_owned(),
            class: "TS".to_owned(),
            bound_cpu: None,
            is_idle: false,
            has_lwp: true,
        };
        let breach = Breach {
            monitor: "starvation".to_owned(),
            thread: Some("<victim>".to_owned()),
            limit: 50,
            worst: 99,
            is_count: false,
            passed_ns: None,
            says: Vec::new(),
        };
        Recording {
            header: Header { cpus: 1, ..Header::default() },
            threads: vec![thread(0, "a"), thread(1, "b"), thread(2, "<victim>")],
            records,
            ending: Some(Ending { breaches: vec![breach], ..Ending::default() }),
            ..Recording::default()
        }
    }

    #[test]
    fn picture_shows_the_wait_the_rule_and_no_markup_of_a_guest_s() {
        let picture = svg(&recording(20), 0..=u64::MAX);
        assert!(picture.contains("fill=\"url(#wait)\"><title>&lt;victim&gt; (TS 1) waits"), "{picture}");
        assert!(picture.contains("stroke=\"#c00\"") && !picture.contains("<victim>"), "{picture}");
    }

    #[test]
    fn picture_of_a_long_recording_is_no_larger() {
        let (short, long) = (svg(&recording(10_000), 0..=u64::MAX), svg(&recording(100_000), 0..=u64::MAX));
        assert!(long.len() < short.len() * 3 / 2, "{} and {} bytes", short.len(), long.len());
    }
}
