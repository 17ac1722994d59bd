//! Mutants: kernels with one rule switched off, so that what watches the rule can be seen to work.
//!
//! # Invariants
//! - A mutant is one line of [`MUTANTS`]; its place there is its number. It breaks one rule and nothing else.
//! - The line also says what shows the mutant, and a test checks that it does: a monitor (the mutant has a scenario of its own
//!   name), a scenario (which has a variant with the mutant and one without), or a test of the simulator.
//! - A kernel's mutants are a [`Set`], as wide as the list is long; the empty set is the honest kernel.

/// One rule that can be switched off.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Its number.
    pub id: Id,
    /// Name in scenario files.
    pub name: &'static str,
    /// What shows that the rule is broken.
    pub shown_by: ShownBy,
    /// What the kernel then does wrong.
    pub breaks: &'static str,
}

/// What shows that a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownBy {
    /// The monitor that must catch it, in the scenario that has the mutant's name.
    Monitor(&'static str),
    /// A scenario: an event's result, a guest that dies, or one that does not. No monitor watches the rule.
    Scenario(&'static str),
    /// A test of the simulator, by file and function. No scenario file may name the mutant.
    Test(&'static str, &'static str),
}

macro_rules! mutants {
    ($($id:ident = $name:literal, $kind:ident($($by:literal),+), $breaks:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(usize)]
        enum Number { $($id),* }
        $(#[doc = $breaks] pub const $id: Id = Id(Number::$id as usize);)*
        /// Every mutant, in the order of their numbers.
        pub const MUTANTS: &[Mutant] = &[
            $(Mutant { id: $id, name: $name, shown_by: ShownBy::$kind($($by),+), breaks: $breaks }),*
        ];
    };
}

mutants! {
    LOST_KPRUNRUN = "lost_kprunrun", Monitor("starvation"), "cpu_resched never raises cpu_kprunrun, whatever kpreemptpri says";
    CLOCK_STOPS = "clock_stops", Monitor("deadman"), "clock() does nothing any more after half a second";
    STALE_MAXRUNPRI = "stale_maxrunpri", Monitor("runq"), "disp_maxrunpri is not lowered when its level becomes empty";
    SKEWED_NRUNNABLE = "skewed_nrunnable", Monitor("runq"), "for half of every 64 enqueues disp_nrunnable is one too high";
    WRONG_QACTMAP = "wrong_qactmap", Monitor("runq"), "now and then a non-empty level has no bit in disp_qactmap";
    HALT_BEFORE_PUBLISH = "halt_before_publish", Monitor("idle_while_queued"), "an idle CPU looks for work before it publishes that it halts";
    NO_STEAL_BARRIER = "no_steal_barrier", Monitor("order"), "a stolen thread runs whatever arrived during the steal (6482861)";
    NO_RATIFY = "no_ratify", Monitor("order"), "disp_ratify does not look again after it cleared the flags";
    BLINDED_IDLE = "blinded_idle", Monitor("idle_while_queued"), "the search for work ends at any idle CPU, halted and pinned ones too (6420092)";
    TS_NO_LWAIT = "ts_no_lwait", Monitor("progress"), "ts_update promotes nobody, however long it has waited";
    FSS_IGNORES_SHARES = "fss_ignores_shares", Monitor("share"), "an FSS project's priority follows its usage alone, as if all had equal shares";
    SDC_NEVER_SINKS = "sdc_never_sinks", Monitor("share"), "an SDC thread stays at sysdc_maxpri when it has had its duty cycle";
    UNASKED_KP = "unasked_kp", Monitor("order"), "setkpdq asks no CPU to take what it put on the kp queue";
    DEAF_RETURN = "deaf_return", Monitor("preempt_owed"), "the return from an interrupt to the kernel never looks at cpu_kprunrun";
    BORROWED_DISPTHREAD = "borrowed_dispthread", Monitor("one_cpu"), "a CPU that goes idle notes the next CPU's thread as its own cpu_dispthread";
    LOST_WAKEUP = "lost_wakeup", Monitor("idle_while_queued"), "an enqueue wakes no halted CPU";
    NO_INHERIT = "no_inherit", Monitor("inheritance"), "pi_inherit lends nobody the priority of whoever waits for its lock";
    HIGH_LOAN = "high_loan", Monitor("lent"), "pi_inherit lends five more than the waiter has";
    SECOND_FIRST = "second_first", Monitor("fifo"), "a CPU takes the second of a level while there is one";
    RATIFY_TO_BACK = "ratify_to_back", Monitor("fifo"), "a thread whose choice is not ratified goes behind its equals";
    BOUND_ANYWHERE = "bound_anywhere", Monitor("binding"), "setbackdq looks at no binding";
    WEAK_OVERRULED = "weak_overruled", Monitor("binding"), "a strong binding that comes while a thread has a weak one takes the weak one away";
    PSET_UNHEEDED = "pset_unheeded", Monitor("binding"), "a thread that is bound to a processor set is not asked to leave where it is";
    LATE_TICK = "late_tick", Monitor("charge"), "clock() does not look again who runs when it has the process lock: a thread that has left is charged with the tick";
    UNCHARGED_INTR = "uncharged_intr", Monitor("charge"), "interrupts are not charged to cpu_intracct: their time stays the interrupted thread's state's";
    LOST_SOFTINT = "lost_softint", Monitor("pending"), "after half a second the timer posts no soft interrupt for the cyclics that it counts up";
    CLOCK_STAYS = "clock_stays", Monitor("deadman"), "a CPU that goes offline keeps the clock's cyclic, which never fires again";
    LEAF_ONLY = "leaf_only", Monitor("idle_while_queued"), "the search for a CPU, or for work, ends at the own locality group";
    STRANDED_QUEUE = "stranded_queue", Monitor("progress"), "disp_cpu_inactive leaves an offline CPU the threads that wait on its queue, and disp_ratify does not put them elsewhere";
    LOST_TICK_SOFTINT = "lost_tick_softint", Monitor("progress"), "the threaded tick posts no soft interrupt on the CPUs that are to charge its sets";
    STALE_WAITRQ = "stale_waitrq", Monitor("waitrq"), "a thread that switches to itself keeps a stamp in t_waitrq while it runs (6840801)";
    RESTAMPED_WAIT = "restamped_wait", Monitor("waitrq"), "dispdeq clears t_waitrq: a thread that is requeued while it waits seems to wait since then";
    UNLOCKED_LOCKP = "unlocked_lockp", Monitor("progress"), "a CPU changes the t_lockp of the thread that it takes after it gave the queue's lock back (6294464)";
    SDC_LOST_SLEEPER = "sdc_lost_sleeper", Monitor("share"), "an SDC thread that was pruned as it slept is not looked at again when it wakes";
    WEAK_FORGOTTEN = "weak_forgotten", Monitor("latency"), "cpu_offline does not wait for weak bindings, and leaves threads on the offline CPU's queue";
    STUCK_LEVEL = "stuck_level", Monitor("heartbeat"), "after half a second an interrupt of a CPU other than the first returns to level 15 instead of the level that it found";
    LOST_TIMER = "lost_timer", Monitor("heartbeat"), "after half a second the timer of a CPU other than the first is not armed again when it has fired";
    EQUAL_ASKS = "equal_asks", Scenario("equal_no_poke"), "cpu_resched asks a CPU to think again for a thread that is no better than the one that runs";
    LIFO_LEVEL = "lifo_level", Monitor("fifo"), "setbackdq puts a thread before its equals";
    WAIVE_KEEPS = "waive_keeps", Monitor("lent"), "who releases a lock keeps the priority that it was lent for it";
    WAIVE_DROPS_ALL = "waive_drops_all", Monitor("inheritance"), "who releases a lock loses what it was lent for other locks as well";
    WAIVE_NO_SURRENDER = "waive_no_surrender", Scenario("pi_release"), "who releases a lock does not look whether a better thread waits for its CPU";
    LONE_CALLOUT = "lone_callout", Scenario("callout_dependency"), "callouts that expire together call for one thread of callout_taskq, and not for two";
    FSS_NO_DECAY = "fss_no_decay", Scenario("fss_history"), "usage of FSS projects is only added up";
    KEPT_SPIN = "kept_spin", Monitor("spin"), "after half a second spin_exit lowers the level and keeps the mutex";
    BLIND_SPIN = "blind_spin", Monitor("spin"), "who wants a mutex spins whether or not its owner runs";
    WAKE_ALL = "wake_all", Monitor("storm"), "an enqueue that wakes a halted CPU to steal wakes all that are halted, and leaves their bits in cp_haltset";
    ASKS_AGAIN = "asks_again", Monitor("storm"), "cpu_resched pokes a CPU whose cpu_kprunrun is set already";
    BLIND_SPLX = "blind_splx", Scenario("owed_at_once"), "splx takes the interrupts that were held off and then does not look at cpu_kprunrun";
    BLIND_USER = "blind_user", Scenario("owed_at_once"), "a return to user mode takes its AST and does not look at cpu_runrun";
    UNPOSTED_REFUSAL = "unposted_refusal", Scenario("owed_at_once"), "a preemption that is refused at DISP_LEVEL posts nothing that would look at cpu_kprunrun again";
    DEADMAN_OFF_BY_ONE = "deadman_off_by_one", Scenario("b6655821"), "the in-guest deadman looks at its countdown before it counts down (6655821)";
    CYCLIC_NO_CATCHUP = "cyclic_no_catchup", Scenario("i6641"), "a cyclic that is more than a second late makes up for every time that it missed (before 6641)";
    UNHEEDED_MOTION = "unheeded_motion", Scenario("nomigrate_inmotion"), "a thread that pins itself on a CPU which is about to go offline is not moved off it";
    STALE_CALLOUTS = "stale_callouts", Test("time_callout", "untimeout_that_does_not_wait_is_caught"), "untimeout does not wait for a callout that has begun, and a wake-up is not checked against the wait that it was meant for";
    CYCLIC_PEND_LOST = "cyclic_pend_lost", Test("time_cyclic", "level_10_held_off_ticks_are_owed_and_then_paid"), "a cyclic that is due while its handler is still owed owes no more than that";
    LOST_TICK_PENDING = "lost_tick_pending", Test("clock_tick_mp", "a_kernel_that_forgets_what_is_pending_charges_too_little"), "ticks that were pending when the threaded tick comes to charge are charged as one";
    STALE_ROUNDS = "stale_rounds", Test("kmem", "a_magazine_that_is_counted_wrong_hands_a_buffer_out_twice"), "a CPU that changes to its other magazine does not note how many rounds are in the one it leaves";
    NO_THROTTLE = "no_throttle", Test("kmem", "an_allocation_leaves_what_is_kept_for_pageout"), "allocations go below throttlefree";
    SRS_NO_HIWAT = "srs_no_hiwat", Scenario("srs_backpressure"), "a soft ring set drops nothing, however many packets it has";
    SRS_POLL_UNSENT = "srs_poll_unsent", Scenario("srs_polling"), "a soft ring that has passed packets on does not send its set's poll thread for more";
    SQUEUE_UNBOUNDED = "squeue_unbounded", Scenario("squeue_drain"), "who enters an squeue handles packets as long as some come, whatever squeue_drain_ms says";
    FANOUT_BY_TURN = "fanout_by_turn", Test("net", "a_flow_that_goes_two_ways_overtakes_itself"), "a soft ring set gives packets to its rings in turn, whatever flow they are of";
    TORN_DB_REF = "torn_db_ref", Test("streams_msg", "two_that_free_one_buffer_at_once_free_it_once"), "freeb takes a reference away by a load and a store: of two at once one counts";
    PUTQ_APPENDS = "putq_appends", Test("streams_queue", "a_queue_is_what_the_model_says"), "putq puts a message of high priority behind all others";
    UNWANTED_ROOM = "unwanted_room", Monitor("stream"), "canput refuses without setting QWANTW: nobody says when there is room";
    PUT_NOT_EXCL = "put_not_excl", Monitor("perimeter"), "putnext does not set SQ_EXCL at a perimeter that puts do not share";
    ENTER_IN_COMPANY = "enter_in_company", Test("streams_perimeter", "exclusive_entries_do_not_overlap"), "entersq comes in alone although others are inside";
    DRAIN_EARLY = "drain_early", Monitor("message_order"), "qdrain_syncq counts a message off before its put procedure: a later one overtakes it";
    QWRITER_IN_COMPANY = "qwriter_in_company", Test("streams_perimeter", "a_writer_is_alone"), "qwriter(PERIM_INNER) runs its function although others are inside";
    REMOVE_BLIND = "remove_blind", Test("streams_close", "nothing_of_an_instance_runs_after_qprocsoff"), "removeq changes links although threads are inside the perimeters";
    SERVICE_ONCE = "service_once", Test("streams_service", "what_is_enabled_while_it_runs_runs_again"), "runservice does not look whether its queue was enabled meanwhile";
    NO_LAST_LOOK = "no_last_look", Monitor("stream"), "a writer sleeps without a last look under sd_lock: room that came meanwhile is told to nobody";
    FORGETS_PARKED = "forgets_parked", Monitor("conservation"), "removeq forgets the messages that are parked for the queue that goes: they are neither passed on nor freed";
    PULL_SHORT = "pull_short", Monitor("conservation"), "pullupmsg takes one byte too few from each block that it frees";
    LINK_LATE_GUARD = "link_late_guard", Monitor("conservation"), "a stream that is linked gets STPLEX before messages are kept from its head";
    PUT_STACK_UNHEEDED = "put_stack_unheeded", Monitor("stack"), "putnext does not look how much of the stack is left";
    SQBKGRND_ASLEEP = "sqbkgrnd_asleep", Monitor("stream"), "a perimeter that is left to sqbkgrnd does not wake it";
    TQ_FRONT_AT_END = "tq_front_at_end", Test("taskq", "a_queue_of_one_thread_keeps_the_order_and_front_jumps_it"), "a dispatch with TQ_FRONT puts its task behind all others";
    TASKQ_NO_SIGNAL = "taskq_no_signal", Monitor("taskq"), "after half a second a dispatch wakes no thread of its queue";
    NO_TASKQ_THROTTLE = "no_taskq_throttle", Test("taskq", "maxalloc_is_a_rate_and_no_bound"), "a dispatch beyond maxalloc does not wait";
    SUSPEND_UNHEEDED = "suspend_unheeded", Test("taskq", "a_suspended_queue_begins_nothing_and_waits_for_what_runs"), "a thread of a task queue does not look whether the queue is suspended";
    KMEM_FORGETS = "kmem_forgets", Monitor("memory"), "after a quarter of a second kmem_cache_free forgets the buffers of caches that were begun at run time";
    MEMORY_UNSIGNALLED = "memory_unsignalled", Monitor("memory"), "vmem_free wakes nobody who waits for pages, and who waits does not look again";
    LOST_WAIT_CPU = "lost_wait_cpu", Monitor("charge"), "waits on run queues are not charged to LMS_WAIT_CPU: microstates do not add up";
}

/// A mutant's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

impl Id {
    /// Which word of a set has its bit.
    #[inline(always)]
    pub const fn word(self) -> usize {
        self.0 / 64
    }

    /// Its bit in that word.
    #[inline(always)]
    pub const fn bit(self) -> u64 {
        1 << (self.0 % 64)
    }
}

/// Words of a set.
pub const WORDS: usize = MUTANTS.len().div_ceil(64);

/// Rules that a kernel breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set([u64; WORDS]);

impl Set {
    /// The set of the honest kernel.
    pub const NONE: Set = Set([0; WORDS]);

    /// The set of these words, as [`Set::words`] gives them.
    pub const fn of_words(words: [u64; WORDS]) -> Set {
        Set(words)
    }

    /// Its words, with a bit for each mutant.
    pub const fn words(&self) -> [u64; WORDS] {
        self.0
    }

    /// This set and what is in `other`.
    #[must_use]
    pub fn and(mut self, other: impl Into<Set>) -> Set {
        for (word, more) in self.0.iter_mut().zip(other.into().0) {
            *word |= more;
        }
        self
    }
}

impl From<Id> for Set {
    fn from(id: Id) -> Set {
        let mut set = Set::NONE;
        set.0[id.word()] = id.bit();
        set
    }
}

/// Everything that a scenario file may switch off.
pub fn of_scenarios() -> impl Iterator<Item = &'static Mutant> {
    MUTANTS.iter().filter(|m| !matches!(m.shown_by, ShownBy::Test(..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_s_number_is_its_place_and_its_bit_its_own() {
        let mut all = Set::NONE;
        for (n, mutant) in MUTANTS.iter().enumerate() {
            assert_eq!(mutant.id, Id(n), "{}", mutant.name);
            assert_ne!(all.and(mutant.id), all, "{}", mutant.name);
            assert!(MUTANTS[..n].iter().all(|other| other.name != mutant.name), "{}", mutant.name);
            all = all.and(mutant.id);
        }
        assert_eq!(all.words().iter().map(|word| word.count_ones()).sum::<u32>(), MUTANTS.len() as u32);
    }

    #[test]
    fn the_numbers_go_on_beyond_a_word() {
        assert_eq!((Id(63).word(), Id(63).bit()), (0, 1 << 63));
        assert_eq!((Id(64).word(), Id(64).bit()), (1, 1));
    }
}
