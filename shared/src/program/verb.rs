//! Verbs: what an event of a scenario does.
//!
//! # Invariants
//! - A verb is one line below: its place is its number, and the line has its name in scenario files, what it happens to, and its
//!   arguments in their order.
//! - Code that acts on a verb matches all verbs: a new one does not compile until host and kernel know what it does.

/// What an event happens to: what the number [`Event::target`](super::Event::target) counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A thread of the scenario.
    Thread,
    /// A CPU.
    Cpu,
    /// A project of the scenario.
    Project,
    /// A tunable.
    Tunable,
    /// A stream of the scenario.
    Stream,
    /// The machine as a whole: the number counts nothing.
    Machine,
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $target:ident, [$($arg:literal),*];)*) => {
        /// What an event does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Verb { $($(#[$doc])* $id),* }

        impl Verb {
            /// Every verb, by number.
            pub const ALL: &[Verb] = &[$(Verb::$id),*];
            /// How many there are.
            pub const COUNT: usize = Verb::ALL.len();
            /// Their names in scenario files, by number.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name in backquotes, as messages have it.
            pub const fn quoted(self) -> &'static str {
                match self { $(Verb::$id => concat!("`", $name, "`")),* }
            }

            /// What it happens to.
            pub const fn target(self) -> TargetKind {
                match self { $(Verb::$id => TargetKind::$target),* }
            }

            /// What its arguments are, in their order.
            pub const fn args(self) -> &'static [&'static str] {
                match self { $(Verb::$id => &[$($arg),*]),* }
            }
        }
    };
}

verbs! {
    /// `priocntl`: thread `target` gets class, priority, user's offset, quantum (ticks), duty cycle (%).
    Priocntl = "priocntl", Thread, ["class", "pri", "upri", "quantum", "duty_cycle"];
    /// Project `target` gets so many shares.
    Shares = "shares", Project, ["shares"];
    /// CPU `target` goes offline; `force`: 1 to break hard bindings too (`psradm -F -f`).
    Offline = "offline", Cpu, ["force"];
    /// CPU `target` comes online (`psradm -n`).
    Online = "online", Cpu, [];
    /// Thread `target` is bound to `cpu`, -1 for none; `binding` is one of [`binding`](super::binding).
    Bind = "bind", Thread, ["cpu", "binding"];
    /// CPU `target` moves to processor set `pset` (0: the default one).
    PsetAssign = "pset_assign", Cpu, ["pset"];
    /// Thread `target` moves to processor set `pset` (0: the default one).
    PsetBind = "pset_bind", Thread, ["pset"];
    /// Every CPU pauses for so many ns (`pause_cpus`, `start_cpus`).
    Pause = "pause", Machine, ["ns"];
    /// Tunable `target` gets the value, as `mdb -kw` would write it.
    Tunable = "tunable", Tunable, ["value"];
    /// Thread `target` of class IA gets (`has`: 1) or loses (0) the focus.
    Focus = "focus", Thread, ["has"];
    /// CPU `target`, offline and quiesced, is powered off.
    Poweroff = "poweroff", Cpu, [];
    /// Project `target` is capped at so many per cent of one CPU; 0 for no cap.
    Cap = "cap", Project, ["percent"];
    /// The zone of project `target` is capped at so many per cent of one CPU; 0 for no cap.
    ZoneCap = "zone_cap", Project, ["percent"];
    /// A module, by its place in [`MODULES`](crate::work::streams::MODULES), is pushed below the head of stream `target` (`I_PUSH`).
    Push = "push", Stream, ["module"];
    /// The module below the head of stream `target` is popped (`I_POP`).
    Pop = "pop", Stream, [];
    /// Sides of stream `target` are flushed, bits of [`flush`](crate::sys::stream::flush); in one band, or -1 (`I_FLUSH`, `I_FLUSHBAND`).
    Flush = "flush", Stream, ["sides", "band"];
    /// Stream `target` is frozen for so many ns (`freezestr`, `unfreezestr`).
    Freeze = "freeze", Stream, ["ns"];
    /// Stream `target` is closed; who uses it next opens it anew (`strclose`).
    Close = "close", Stream, [];
    /// Stream `lower` is linked below the multiplexor of stream `target`; `persistent`: 1 to outlive it (`I_LINK`, `I_PLINK`).
    Link = "link", Stream, ["lower", "persistent"];
    /// Stream `lower` is unlinked from below stream `target`, -1 for every one (`I_UNLINK`, `I_PUNLINK`).
    Unlink = "unlink", Stream, ["lower", "persistent"];
    /// Thread `target` is to stop when it is next about to go to user mode (`TP_PRSTOP`).
    Stop = "stop", Thread, [];
    /// Thread `target` is let go again.
    Run = "run", Thread, [];
}

impl Verb {
    /// The verb of a number.
    pub fn of(number: u32) -> Option<Verb> {
        Verb::ALL.get(number as usize).copied()
    }

    /// The verb of a name.
    pub fn named(name: &str) -> Option<Verb> {
        Verb::NAMES.iter().position(|n| *n == name).map(|n| Verb::ALL[n])
    }

    /// Its name in scenario files.
    pub const fn name(self) -> &'static str {
        Verb::NAMES[self as usize]
    }

    /// The place of an argument among its arguments.
    pub fn place_of(self, arg: &str) -> Option<usize> {
        self.args().iter().position(|a| *a == arg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::EVENT_ARGS;

    #[test]
    fn number_and_name_lead_back_to_the_verb() {
        for (n, &verb) in Verb::ALL.iter().enumerate() {
            assert_eq!(verb as usize, n);
            assert_eq!((Verb::of(n as u32), Verb::named(verb.name())), (Some(verb), Some(verb)));
            assert!(verb.args().len() <= EVENT_ARGS, "{verb:?}: a record has no room for its arguments");
        }
        assert_eq!(Verb::of(Verb::ALL.len() as u32), None);
    }
}
