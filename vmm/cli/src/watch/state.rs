//! What the live screen is at: the last stills, which of them is shown, what is selected, and what each key does.
//!
//! # Invariants
//! - Stills are kept for [`KEPT`] moments; going back in them freezes the screen, and going past the newest lets it go on.
//! - A key that means nothing does nothing.

use std::cmp::Reverse;
use std::collections::VecDeque;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use umpire_mdb::procs::Thread;

use super::still::Still;

/// Stills that are kept.
pub(super) const KEPT: usize = 600;

/// The order of the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// Who has waited longest for a CPU first.
    #[default]
    Waited,
    /// By priority.
    Pri,
    /// By the time they have run.
    Ran,
    /// By name.
    Name,
}

impl Sort {
    pub fn name(self) -> &'static str {
        match self {
            Sort::Waited => "waited",
            Sort::Pri => "pri",
            Sort::Ran => "ran",
            Sort::Name => "name",
        }
    }

    fn next(self) -> Sort {
        match self {
            Sort::Waited => Sort::Pri,
            Sort::Pri => Sort::Ran,
            Sort::Ran => Sort::Name,
            Sort::Name => Sort::Waited,
        }
    }
}

/// What a key asks of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing but to be shown.
    Nothing,
    /// To end.
    Quit,
    /// The debugger, at the moment that is shown, with the selected thread by its number.
    Debug { at_ns: u64, thread: Option<u64> },
    /// A core of the machine.
    Core,
    /// A recording of the time before.
    Record,
}

/// The screen's state.
#[derive(Debug, Default)]
pub(super) struct State {
    stills: VecDeque<Still>,
    /// How far back from the newest; `None` while the screen follows it.
    back: Option<usize>,
    pub sort: Sort,
    pub filter: String,
    /// True while the filter is being typed.
    pub is_typing: bool,
    pub shows_help: bool,
    /// The number of the selected thread.
    selected: Option<u64>,
    /// Said on the last line, until the next key.
    pub message: String,
    /// Run queues read and torn since the beginning.
    pub reads: u64,
    pub torn: u64,
    /// True once there will be no newer still.
    pub is_over: bool,
}

impl State {
    /// Takes a new still.
    pub fn push(&mut self, still: Still) {
        self.reads += still.reads;
        self.torn += still.torn;
        if self.stills.len() == KEPT {
            self.stills.pop_front();
        }
        self.stills.push_back(still);
        // What is looked at stays where it is.
        if let Some(back) = &mut self.back {
            *back = (*back + 1).min(self.stills.len() - 1);
        }
    }

    /// The still that is shown.
    pub fn shown(&self) -> Option<&Still> {
        self.stills.len().checked_sub(1 + self.back.unwrap_or(0)).and_then(|n| self.stills.get(n))
    }

    /// True while the screen does not follow the guest.
    pub fn is_frozen(&self) -> bool {
        self.back.is_some()
    }

    /// ns from the still that is shown to the newest.
    pub fn behind_ns(&self) -> u64 {
        let (shown, newest) = (self.shown(), self.stills.back());
        shown.zip(newest).map_or(0, |(shown, newest)| newest.at_ns.saturating_sub(shown.at_ns))
    }

    /// The threads that are shown, in their order.
    pub fn threads<'s>(&self, still: &'s Still) -> Vec<&'s Thread> {
        let wanted = self.filter.to_lowercase();
        let takes = |t: &&Thread| {
            let text = format!("{} {} {} {}", t.name, t.class, t.pri, t.letter()).to_lowercase();
            if wanted.is_empty() { t.is_worker() } else { text.contains(&wanted) }
        };
        let mut threads: Vec<&Thread> = still.threads.iter().filter(takes).collect();
        match self.sort {
            Sort::Waited => {
                threads.sort_by_key(|t| (Reverse(t.waited_ns), Reverse(t.letter() == 'O'), t.number))
            }
            Sort::Pri => threads.sort_by_key(|t| (Reverse(t.pri.max(t.epri)), t.number)),
            Sort::Ran => threads.sort_by_key(|t| (Reverse(t.ran_ns()), t.number)),
            Sort::Name => threads.sort_by(|a, b| (&a.name, a.number).cmp(&(&b.name, b.number))),
        }
        threads
    }

    /// The place of the selected thread among those that are shown; the first if it is not among them.
    pub fn selected(&self, threads: &[&Thread]) -> usize {
        threads.iter().position(|t| Some(t.number) == self.selected).unwrap_or(0)
    }

    /// Does what a key says.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        self.message.clear();
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Quit;
        }
        if self.is_typing {
            self.typed(key.code);
            return Wish::Nothing;
        }
        if std::mem::take(&mut self.shows_help) {
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char(' ' | 'f') => self.back = if self.is_frozen() { None } else { Some(0) },
            KeyCode::Left | KeyCode::Char('h') => self.go_back(1),
            KeyCode::PageUp => self.go_back(10),
            KeyCode::Right | KeyCode::Char('l') => self.go_on(1),
            KeyCode::PageDown => self.go_on(10),
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char('c') => return Wish::Core,
            KeyCode::Char('r') => return Wish::Record,
            KeyCode::Char('?') => self.shows_help = true,
            KeyCode::Char('d') | KeyCode::Enter => return self.debug(),
            _ => {}
        }
        Wish::Nothing
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if !c.is_control() => self.filter.push(c),
            _ => {}
        }
    }

    fn go_back(&mut self, steps: usize) {
        let oldest = self.stills.len().saturating_sub(1);
        self.back = Some((self.back.unwrap_or(0) + steps).min(oldest));
    }

    fn go_on(&mut self, steps: usize) {
        self.back = self.back.and_then(|back| back.checked_sub(steps));
    }

    fn select(&mut self, by: isize) {
        let Some(still) = self.shown() else { return };
        let threads = self.threads(still);
        let at = self.selected(&threads).saturating_add_signed(by).min(threads.len().saturating_sub(1));
        self.selected = threads.get(at).map(|t| t.number);
    }

    fn debug(&self) -> Wish {
        let Some(still) = self.shown() else { return Wish::Nothing };
        let threads = self.threads(still);
        let thread = threads.get(self.selected(&threads)).map(|t| t.number);
        Wish::Debug { at_ns: still.at_ns, thread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(moments: u64) -> State {
        let mut state = State::default();
        (1..=moments).for_each(|n| state.push(Still { at_ns: n * 1_000_000, ..Still::default() }));
        state
    }

    fn press(state: &mut State, code: KeyCode) -> Wish {
        state.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn going_back_freezes_and_going_on_past_the_newest_follows_again() {
        let mut state = state(5);
        press(&mut state, KeyCode::Left);
        press(&mut state, KeyCode::Left);
        assert_eq!((state.is_frozen(), state.behind_ns()), (true, 2_000_000));
        state.push(Still { at_ns: 6_000_000, ..Still::default() });
        assert_eq!(state.shown().map(|still| still.at_ns), Some(3_000_000), "what is looked at stays");
        press(&mut state, KeyCode::PageDown);
        assert!(!state.is_frozen());
        assert_eq!(state.shown().map(|still| still.at_ns), Some(6_000_000));
    }

    #[test]
    fn only_the_last_stills_are_kept() {
        let mut state = state(KEPT as u64 + 5);
        for _ in 0..KEPT + 5 {
            press(&mut state, KeyCode::Left);
        }
        assert_eq!(state.shown().map(|still| still.at_ns), Some(6_000_000));
    }

    #[test]
    fn keys_of_a_filter_are_no_commands() {
        let mut state = state(1);
        press(&mut state, KeyCode::Char('/'));
        for c in "sq".chars() {
            assert_eq!(press(&mut state, KeyCode::Char(c)), Wish::Nothing);
        }
        press(&mut state, KeyCode::Enter);
        assert_eq!((state.filter.as_str(), state.sort), ("sq", Sort::Waited));
        assert_eq!(press(&mut state, KeyCode::Char('q')), Wish::Quit);
    }

    #[test]
    fn debugger_is_asked_for_at_the_moment_that_is_shown() {
        let mut state = state(3);
        press(&mut state, KeyCode::Left);
        assert_eq!(press(&mut state, KeyCode::Enter), Wish::Debug { at_ns: 2_000_000, thread: None });
    }
}
