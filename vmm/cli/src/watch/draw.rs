//! The live screen, drawn: CPUs, run queues by level, threads, verdicts, keys.
//!
//! # Invariants
//! - It fits 80 columns and 24 lines, and uses no colour: what stands out is bold or reversed.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Clear, Paragraph};
use umpire_mdb::procs::Thread;
use umpire_rows::number;

use super::state::State;
use super::still::{CpuLine, Still};

/// Lines of verdicts that are shown.
const VERDICTS: usize = 3;
/// CPUs that are shown if the screen is small.
const CPUS: usize = 8;

const KEYS: &str = "q quit  f freeze  <-> time  s sort  / filter  d debug  c core  r record  ? help";

const HELP: &str = "\
space, f    freeze the screen, and let it go on
left, right a moment back, a moment on (PageUp, PageDown: ten)
up, down    select a thread
s           sort by: waited, pri, ran, name
/           filter threads by name, class, priority or state
d, Enter    the debugger, at this moment, with <thread as the selected one
c           write a core of the machine
r           write a recording of the time before this, for umpire why
q, Esc      end

Any key takes this away.";

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, title: &str, state: &State) {
    let Some(still) = state.shown() else {
        frame.render_widget(Paragraph::new(format!("{title}: the guest boots")), frame.area());
        return;
    };
    let queued = still.kps.len() as u16;
    let cpus = (still.cpus.len().min(CPUS) + usize::from(still.cpus.len() > CPUS)) as u16;
    let [head, table, kps, threads, verdicts, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1 + cpus),
        Constraint::Length(queued),
        Constraint::Min(4),
        Constraint::Length(1 + VERDICTS as u16),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(bold(heading(title, state, still)), head);
    frame.render_widget(Paragraph::new(cpu_table(still)), table);
    let kp = |(part, levels): &(u64, Vec<(i16, u64)>)| {
        Line::from(format!("kp queue of partition {part}: {}", by_level(levels)))
    };
    frame.render_widget(Paragraph::new(still.kps.iter().map(kp).collect::<Vec<_>>()), kps);
    draw_threads(frame, threads, state, still);
    frame.render_widget(Paragraph::new(verdict_lines(still)), verdicts);
    let line = match (state.is_typing, state.message.as_str()) {
        (true, _) => format!("filter: {}_", state.filter),
        (false, "") if !state.filter.is_empty() => {
            format!("filter: {}   (/ and Esc takes it away)   ? help", state.filter)
        }
        (false, "") => KEYS.to_owned(),
        (false, message) => message.to_owned(),
    };
    frame.render_widget(bold(line), foot);
    if state.shows_help {
        draw_help(frame);
    }
}

fn bold(text: String) -> Paragraph<'static> {
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn heading(title: &str, state: &State, still: &Still) -> String {
    let at = number::rounded(still.at_ns);
    let mode = match (state.is_frozen(), state.is_over) {
        (true, _) => format!("FROZEN -{}", number::rounded(state.behind_ns())),
        (false, true) => "ENDED".to_owned(),
        (false, false) => "LIVE".to_owned(),
    };
    let rate = state.torn as f64 * 1000.0 / state.reads.max(1) as f64;
    format!("{title}  t={at}  {mode}  torn {}/{} ({rate:.1} per 1000)", state.torn, state.reads)
}

fn cpu_table(still: &Still) -> Text<'static> {
    let header = format!(
        "{:>3} {:<20} {:>3} {:>4} {:>4} {:>5} {}",
        "CPU", "RUNS", "PRI", "NRUN", "RNRN", "KRNRN", "WAIT BY LEVEL"
    );
    let yes = |flag| if flag { "yes" } else { "no" };
    let line = |cpu: &CpuLine| {
        let runs = if cpu.is_online { cpu.runs.clone() } else { format!("{} offline", cpu.runs) };
        let text = format!(
            "{:>3} {runs:<20.20} {:>3} {:>4} {:>4} {:>5} {}",
            cpu.id,
            cpu.pri,
            cpu.nrunnable,
            yes(cpu.runrun),
            yes(cpu.kprunrun),
            by_level(&cpu.levels)
        );
        // A CPU that keeps others waiting stands out.
        let style = if cpu.nrunnable > 0 && !cpu.is_idle { Modifier::BOLD } else { Modifier::empty() };
        Line::styled(text, Style::new().add_modifier(style))
    };
    let mut lines = vec![underlined(header)];
    // If not all fit, those on which something happens are shown.
    let mut cpus: Vec<&CpuLine> = still.cpus.iter().collect();
    if cpus.len() > CPUS {
        cpus.sort_by_key(|cpu| (cpu.nrunnable == 0, cpu.is_idle, cpu.id));
    }
    lines.extend(cpus.iter().take(CPUS).map(|cpu| line(cpu)));
    if let Some(more) = cpus.len().checked_sub(CPUS).filter(|more| *more > 0) {
        lines.push(Line::from(format!("    and {more} more, on whose queues less waits")));
    }
    Text::from(lines)
}

/// `99:2 60:1`: two threads at 99, one at 60.
fn by_level(levels: &[(i16, u64)]) -> String {
    levels.iter().map(|(level, count)| format!("{level}:{count}")).collect::<Vec<_>>().join(" ")
}

fn underlined(text: String) -> Line<'static> {
    Line::styled(text, Style::new().add_modifier(Modifier::UNDERLINED))
}

fn draw_threads(frame: &mut Frame<'_>, area: Rect, state: &State, still: &Still) {
    let threads = state.threads(still);
    let header = format!(
        "{:<20} {:<4} {:>4} {:<1} {:>3} {:>8} {:>8} {}",
        "THREAD",
        "CLS",
        "PRI",
        "S",
        "CPU",
        "WAITED",
        "RAN",
        format_args!("WAITS FOR   [by {}]", state.sort.name())
    );
    let mut lines = vec![underlined(header)];
    let rows = usize::from(area.height).saturating_sub(1);
    let selected = state.selected(&threads);
    let first = (selected + 1).saturating_sub(rows);
    for (n, thread) in threads.iter().enumerate().skip(first).take(rows) {
        let style = if n == selected { Modifier::REVERSED } else { Modifier::empty() };
        lines.push(Line::styled(row(still, thread), Style::new().add_modifier(style)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn row(still: &Still, t: &Thread) -> String {
    let cpu = t.cpu.map_or_else(|| "-".to_owned(), |cpu| cpu.to_string());
    let waited = t.waited_ns.map_or_else(|| "-".to_owned(), number::rounded);
    let bound = if t.bound.is_some() { "*" } else { "" };
    format!(
        "{:<20.20} {:<4} {:>4} {:<1} {:>3} {waited:>8} {:>8} {}",
        t.name,
        t.class,
        t.pri.max(t.epri),
        t.letter(),
        format!("{cpu}{bound}"),
        number::rounded(t.ran_ns()),
        still.waits_for(t)
    )
}

fn verdict_lines(still: &Still) -> Text<'static> {
    let mut lines = vec![underlined(format!("{:<80}", "VERDICTS"))];
    if still.verdicts.is_empty() {
        lines.push(Line::from("no bound is broken"));
    }
    lines.extend(still.verdicts.iter().take(VERDICTS).map(|text| Line::from(text.clone())));
    Text::from(lines)
}

fn draw_help(frame: &mut Frame<'_>) {
    let whole = frame.area();
    let (width, height) = (74.min(whole.width), 13.min(whole.height));
    let area = Rect::new((whole.width - width) / 2, (whole.height - height) / 2, width, height);
    frame.render_widget(Clear, area);
    let block = ratatui::widgets::Block::bordered().title("keys");
    frame.render_widget(Paragraph::new(HELP).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use umpire_shared::sys::thread::ts;

    use super::*;

    fn thread(number: u64, name: &str, state: u32, waited_ns: Option<u64>) -> Thread {
        Thread {
            addr: 0x1000 * (number + 1),
            number,
            pid: 1,
            name: name.to_owned(),
            proc: name.to_owned(),
            class: "SYS".to_owned(),
            pri: 99,
            epri: 0,
            state: u64::from(state),
            role: 0,
            has_lwp: false,
            cpu: Some(1),
            bound: Some(1),
            queue: None,
            wchan: 0,
            sobj: "none".to_owned(),
            owner: None,
            waited_ns,
            nvcsw: 0,
            nivcsw: 0,
            acct: Default::default(),
            mstate: 0,
        }
    }

    fn still(ncpus: u64) -> Still {
        let cpu = |id| CpuLine {
            id,
            runs: "(idle)".to_owned(),
            pri: -1,
            is_online: true,
            is_idle: true,
            ..CpuLine::default()
        };
        let mut cpus: Vec<CpuLine> = (0..ncpus).map(cpu).collect();
        let last = cpus.last_mut().expect("a CPU");
        (last.runs, last.pri, last.is_idle) = ("qemu-system-x86_".to_owned(), 0, false);
        (last.runrun, last.nrunnable, last.levels) = (true, 3, vec![(99, 2), (60, 1)]);
        let threads = vec![
            thread(0, "qemu-system-x86_", ts::ONPROC, None),
            thread(1, "squeue_worker", ts::RUN, Some(1_000_000)),
            thread(2, "mac_soft_ring_worker", ts::RUN, Some(2_000_000_000)),
        ];
        let verdicts = vec!["violated: starvation of mac_soft_ring_worker 2.00s, limit 50ms".to_owned()];
        Still { at_ns: 2_000_000_000, cpus, threads, verdicts, reads: 3, torn: 0, ..Still::default() }
    }

    fn lines(state: &State) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
        terminal.draw(|frame| draw(frame, "i1532 kpreemptpri=100", state)).expect("a screen");
        let buffer = terminal.backend().buffer().clone();
        (0..24)
            .map(|y| (0..80).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn screen_of_80_by_24_has_what_matters() {
        let mut state = State::default();
        state.push(still(2));
        let lines = lines(&state);
        assert_eq!(lines[0], "i1532 kpreemptpri=100  t=2s  LIVE  torn 0/3 (0.0 per 1000)");
        assert_eq!(lines[1], "CPU RUNS                 PRI NRUN RNRN KRNRN WAIT BY LEVEL");
        assert_eq!(lines[3], "  1 qemu-system-x86_       0    3  yes    no 99:2 60:1");
        assert_eq!(
            lines[4],
            "THREAD               CLS   PRI S CPU   WAITED      RAN WAITS FOR   [by waited]"
        );
        assert!(lines[5].starts_with("mac_soft_ring_worker SYS    99 R  1*       2s"), "{}", lines[5]);
        assert!(lines[6].starts_with("squeue_worker"), "who waited longest is first: {lines:#?}");
        assert_eq!(lines[20], "violated: starvation of mac_soft_ring_worker 2.00s, limit 50ms");
        assert_eq!(lines[23], KEYS, "no key is cut off");
        for key in ["q ", "f ", "s ", "/ ", "d ", "c ", "r ", "? "] {
            assert!(KEYS.contains(key), "{key}");
        }
    }

    #[test]
    fn sixteen_cpus_leave_room_for_threads_and_the_busy_one_is_shown() {
        let mut state = State::default();
        state.push(still(16));
        let lines = lines(&state);
        assert!(lines[2].starts_with(" 15 qemu-system-x86_"), "{lines:#?}");
        assert!(lines[10].contains("and 8 more"), "{lines:#?}");
        assert!(lines[12].starts_with("mac_soft_ring_worker"), "{lines:#?}");
    }

    #[test]
    fn help_and_filter_are_shown_and_nothing_is_coloured() {
        let mut state = State::default();
        state.push(still(2));
        state.shows_help = true;
        assert!(lines(&state).iter().any(|line| line.contains("freeze the screen")));
        state.shows_help = false;
        state.filter = "squeue".to_owned();
        let lines = lines(&state);
        assert!(lines[5].starts_with("squeue_worker") && lines[6].is_empty(), "{lines:#?}");
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
        terminal.draw(|frame| draw(frame, "t", &state)).expect("a screen");
        let plain = ratatui::style::Color::Reset;
        assert!(terminal.backend().buffer().content.iter().all(|cell| cell.fg == plain && cell.bg == plain));
    }

    #[test]
    fn screen_of_any_size_is_drawn() {
        let mut state = State::default();
        state.push(still(16));
        state.shows_help = true;
        for (width, height) in [(1, 1), (10, 3), (80, 10), (200, 60)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            terminal.draw(|frame| draw(frame, "t", &state)).expect("a screen");
        }
    }
}
