//! The answer in words: one sentence a thread, from the one that was asked about to the one that everything hangs on.
//!
//! # Invariants
//! - Only what was read is said; what the kernel keeps no record of is said to be so.

use umpire_rows::number::rounded;
use umpire_shared::sys::callo::state;

use super::object::name;
use super::{About, Awaited, Hold, Link, Mode, QueueCard, Sender, Stall, StreamWait, Timeout, Why};

impl Why {
    /// `a (SYS 60) is blocked on mutex 0, which b (SYS 61) owns; b (SYS 61) is on the run queue of cpu 1 at place 1 of 1`.
    pub fn sentence(&self) -> String {
        match self.subject() {
            Some(link) => format!("{} {}", link.card, self.predicate()),
            None => String::new(),
        }
    }

    /// The same without the first thread's name.
    pub fn predicate(&self) -> String {
        let others = self.links.iter().skip(1).map(|link| format!("; {} {}", link.card, self.says(link)));
        let first = self.subject().map(|link| self.says(link)).unwrap_or_default();
        let circle = match &*self.circle {
            [] => String::new(),
            circle => {
                let names: Vec<String> =
                    circle.iter().chain(circle.first()).map(|&t| self.short(t)).collect();
                format!("; deadlock: {}", names.join(" waits for "))
            }
        };
        let cut = if self.is_cut { "; and so on" } else { "" };
        format!("{first}{}{circle}{cut}", others.collect::<String>())
    }

    /// What a thread of the answer is at, without its name.
    pub fn says(&self, link: &Link) -> String {
        match &link.stall {
            Stall::Blocked { lock, hold, place } => {
                let place = place.map(|(n, of)| among(n, of)).unwrap_or_default();
                format!("is blocked {}{place}", self.holding(name(lock), *hold))
            }
            Stall::Asleep { on, about, timeout } => {
                let timeout = timeout.map(|timeout| until(&timeout));
                let lost = timeout.is_none() && *about == About::Time;
                let until = timeout.unwrap_or_default();
                let lost = if lost { ", and its callout is gone: nobody will wake it" } else { "" };
                format!("{}{until}{lost}", self.sleeping(&name(on), about))
            }
            Stall::Queued { queue: None, .. } => "is on its way to a run queue".to_owned(),
            Stall::Queued { queue: Some(queue), place: (n, of), runs, is_closed } => {
                let place = if *of == 0 { String::new() } else { format!(" at place {n} of {of}") };
                let runs = match runs {
                    Some(runs) => format!(" behind {}", self.who(*runs)),
                    None => String::new(),
                };
                let closed = if *is_closed { ", which takes no work: it is offline or quiesced" } else { "" };
                format!("is on {queue}{place}{runs}{closed}")
            }
            Stall::Capped { is_zone, project, percent, used_percent, place } => {
                let whose = if *is_zone { "the zone of project" } else { "project" };
                let place = place.map(|(n, of)| among(n, of)).unwrap_or_default();
                format!(
                    "is held by the CPU cap of {whose} {project}: {used_percent} % used of {percent} %{place}"
                )
            }
            Stall::Runs { cpu, mode, spins } => {
                let spins = spins.as_ref().map(|(what, cpus)| spinning(&name(what), *cpus));
                format!("runs on cpu {cpu} {}{}", running(*mode), spins.unwrap_or_default())
            }
            Stall::Pinned { cpu, by } => match by {
                Some(by) => format!("is pinned on cpu {cpu} by {}", self.who(*by)),
                None => format!("is pinned on cpu {cpu}"),
            },
            Stall::Switching { cpu: Some(cpu) } => {
                format!("has been chosen by cpu {cpu} and has not come onto it yet")
            }
            Stall::Switching { cpu: None } => {
                "has been chosen by a CPU and has not come onto it yet".to_owned()
            }
            Stall::NotStarted => "was never started".to_owned(),
            Stall::Stopped { event: None } => {
                "is stopped (TP_PRSTOP), by no event of the scenario".to_owned()
            }
            Stall::Stopped { event: Some((due_ns, began_ns)) } => format!(
                "is stopped (TP_PRSTOP): the event `stop` of {} asked for it at {}, and none has let it run since",
                rounded(*due_ns),
                rounded(*began_ns)
            ),
            Stall::Ended => "has ended".to_owned(),
            Stall::Unknown { state } => format!("is at something unknown (t_state {state:#x})"),
        }
    }

    fn holding(&self, lock: String, hold: Hold) -> String {
        match hold {
            Hold::Mutex(Some(owner)) => format!("on {lock}, which {} owns", self.who(owner)),
            Hold::Mutex(None) => format!("on {lock}, which nobody owns"),
            Hold::Rwlock { wants_write, writer, readers } => {
                let wants = if wants_write { "as a writer" } else { "as a reader" };
                let holds = match (writer, readers) {
                    (Some(writer), _) => format!("which {} holds as the writer", self.who(writer)),
                    (None, 0) => "which nobody holds".to_owned(),
                    (None, 1) => "which 1 reader holds (the kernel keeps no record of readers)".to_owned(),
                    (None, n) => format!("which {n} readers hold (the kernel keeps no record of readers)"),
                };
                format!("{wants} on {lock}, {holds}")
            }
        }
    }

    fn sleeping(&self, on: &str, about: &About) -> String {
        match about {
            About::Nothing => format!("sleeps on {on}"),
            About::Time => "sleeps for a time".to_owned(),
            About::Units(0) => format!("sleeps on {on}, which has no unit free"),
            About::Units(n) => format!("sleeps on {on} although {n} units of it are free"),
            About::Packets(0, Some(source)) => format!("sleeps until {source} brings packets"),
            About::Packets(0, None) => "sleeps until somebody brings packets".to_owned(),
            About::Packets(n, _) => format!("sleeps although {n} packets wait for it"),
            About::Signal(n, sender) => {
                let by = sender.map(|sender| self.sending(&sender)).unwrap_or_default();
                format!("sleeps until {on}, sent {n} times so far, is sent again{by}")
            }
            About::Callout(Some(by)) => format!("sleeps in untimeout until {} has run {on}", self.who(*by)),
            About::Callout(None) => format!("sleeps in untimeout until {on} has been run"),
            About::Tasks { name, instance, are_there: false } => {
                format!("sleeps until {name}({instance}) has a task")
            }
            About::Tasks { name, instance, are_there: true } => {
                format!("sleeps although {name}({instance}) has tasks")
            }
            About::Stream(wait) => in_stream(wait),
        }
    }

    fn sending(&self, sender: &Sender) -> String {
        let Sender { callout, cpu, is_normal, state: at, executor } = *sender;
        let at = match (at, executor) {
            (state::PENDING, _) => format!("which has not expired on cpu {cpu}"),
            (state::EXPIRED, _) if is_normal => {
                format!("which has expired, and waits for a callout_taskq of cpu {cpu}")
            }
            (state::EXPIRED, _) => format!("which has expired, and cpu {cpu} has not run it"),
            (_, Some(executor)) => format!("which {} runs", self.who(executor)),
            _ => format!("which cpu {cpu} runs"),
        };
        format!(" by callout {callout}, {at}")
    }

    /// A thread of the answer as sentences speak of it.
    fn who(&self, thread: u32) -> String {
        self.link(thread).map_or_else(|| format!("thread {thread}"), |link| link.card.to_string())
    }

    /// Its name alone.
    fn short(&self, thread: u32) -> String {
        match self.link(thread) {
            Some(Link { card, .. }) if !card.name.is_empty() => match card.serves {
                Some(cpu) => format!("{} of cpu {cpu}", card.name),
                None => card.name.clone(),
            },
            _ => format!("thread {thread}"),
        }
    }
}

/// `, the second of 3 that wait`.
fn among(n: u32, of: u32) -> String {
    if of > 1 { format!(", number {n} of {of} that wait") } else { String::new() }
}

fn running(mode: Mode) -> String {
    match mode {
        Mode::User => "in user mode".to_owned(),
        Mode::Kernel => "in the kernel".to_owned(),
        Mode::Unpreemptible(depth) => format!("in the kernel, not to be preempted (t_preempt {depth})"),
        Mode::Interrupt(pil) => format!("handling an interrupt of level {pil}"),
        Mode::Idle => "as its idle thread".to_owned(),
    }
}

/// What a thread waits for in a stream.
fn in_stream(StreamWait { stream, what }: &StreamWait) -> String {
    let at = |queue: &Option<QueueCard>| queue.as_ref().map(holding).unwrap_or_default();
    match what {
        Awaited::Room(queue) => {
            format!("sleeps at the head of {stream} until there is room to write{}", at(queue))
        }
        Awaited::Message => format!("sleeps at the head of {stream} until something comes to be read"),
        Awaited::Drain(queue) => {
            format!(
                "closes {stream}, and sleeps until the queue below the head has sent what it has{}",
                at(queue)
            )
        }
        Awaited::Service(queue) => {
            format!("closes {stream}, and sleeps until the service procedure of {} has ended", called(queue))
        }
        Awaited::Answer => {
            format!(
                "sleeps at the head of {stream} until an ioctl is answered, or an open, a push or a pop is over"
            )
        }
        Awaited::Poll => format!("polls {stream}, and sleeps until something happens there"),
        Awaited::Users(1) => {
            format!("sleeps until a thread that uses {stream} has noticed that it is closed")
        }
        Awaited::Users(n) => {
            format!("sleeps until {n} threads that use {stream} have noticed that it is closed")
        }
        Awaited::Turn => format!("sleeps until somebody has opened or closed {stream}"),
        Awaited::Perimeter(queue, inside) => {
            let of = queue.as_ref().map(|queue| format!(" of {}", queue.module)).unwrap_or_default();
            format!("sleeps at the perimeter{of} in {stream}, in which {inside} threads are")
        }
    }
}

/// `the write queue of timod`.
fn called(queue: &QueueCard) -> String {
    format!("the {} queue of {}", if queue.is_read { "read" } else { "write" }, queue.module)
}

/// `: the write queue of timod has 512 bytes of 512, in 8 messages`.
fn holding(queue: &QueueCard) -> String {
    let QueueCard { bytes, hiwat, messages, .. } = queue;
    format!(": {} has {bytes} bytes of {hiwat}, in {messages} messages", called(queue))
}

fn spinning(what: &str, cpus: u64) -> String {
    let numbers: Vec<String> =
        (0..64).filter(|cpu| cpus >> cpu & 1 == 1).map(|cpu: u32| cpu.to_string()).collect();
    match &*numbers {
        [] => format!(", spinning for {what}, which somebody on another CPU holds"),
        [one] => format!(", spinning for {what}, which cpu {one} can end"),
        all => format!(", spinning for {what}, which cpus {} can end", all.join(", ")),
    }
}

/// `, and its timeout is 35ms overdue: ...`.
fn until(timeout: &Timeout) -> String {
    let Timeout { cpu, is_normal, state: at, due_ns, now_ns } = *timeout;
    let whose = if is_normal { "normal" } else { "realtime" };
    let overdue = timeout.overdue_ns();
    if overdue == 0 {
        return format!(", for {} more at most", rounded(due_ns - now_ns));
    }
    let why = match at {
        state::PENDING => format!("the {whose} callouts of cpu {cpu} have not expired"),
        state::EXPIRED if is_normal => format!("it has expired, and waits for a callout_taskq of cpu {cpu}"),
        state::EXPIRED => format!("it has expired, and cpu {cpu} has not run it"),
        _ => format!("cpu {cpu} is running it"),
    };
    format!(", and its timeout is {} overdue: {why}", rounded(overdue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::{Object, Place, ThreadCard};

    fn says(stall: Stall) -> String {
        let card = ThreadCard { name: "a".into(), pri: 60, ..ThreadCard::default() };
        let other = Link {
            thread: 2,
            card: ThreadCard { name: "b".into(), pri: 61, ..ThreadCard::default() },
            stall: Stall::Ended,
            waits_for: Vec::new(),
        };
        let link = Link { thread: 1, card, stall, waits_for: vec![2] };
        Why { links: vec![link, other], ..Why::default() }.sentence()
    }

    #[test]
    fn sentence_of_each_stall_that_no_scenario_makes_at_will() {
        let on = || Object { addr: 1, path: "k_work.cvs[2].wc_cv".into(), type_name: String::new() };
        let timeout = |state, due_ns| Timeout { cpu: 1, is_normal: false, state, due_ns, now_ns: 50_000_000 };
        let cases = [
            (
                Stall::Capped {
                    is_zone: false,
                    project: "batch".into(),
                    percent: 50,
                    used_percent: 51,
                    place: Some((2, 4)),
                },
                "a (SYS 60) is held by the CPU cap of project batch: 51 % used of 50 %, number 2 of 4 that wait; b",
            ),
            (Stall::NotStarted, "a (SYS 60) was never started; b (SYS 61) has ended"),
            (
                Stall::Stopped { event: None },
                "a (SYS 60) is stopped (TP_PRSTOP), by no event of the scenario; b",
            ),
            (
                Stall::Stopped { event: Some((100_000_000, 100_250_000)) },
                "is stopped (TP_PRSTOP): the event `stop` of 100ms asked for it at 100ms, and none has let it run since; b",
            ),
            (Stall::Pinned { cpu: 1, by: Some(2) }, "a (SYS 60) is pinned on cpu 1 by b (SYS 61); b"),
            (
                Stall::Queued { queue: Some(Place::Cpu(1)), place: (1, 2), runs: None, is_closed: true },
                "is on the run queue of cpu 1 at place 1 of 2, which takes no work: it is offline or quiesced",
            ),
            (
                Stall::Asleep {
                    on: on(),
                    about: About::Nothing,
                    timeout: Some(timeout(state::PENDING, 15_000_000)),
                },
                "sleeps on condition variable 2, and its timeout is 35ms overdue: the realtime callouts of cpu 1 have not \
                 expired",
            ),
            (
                Stall::Asleep {
                    on: on(),
                    about: About::Nothing,
                    timeout: Some(timeout(state::PENDING, 53_000_000)),
                },
                "sleeps on condition variable 2, for 3ms more at most",
            ),
            (
                Stall::Asleep { on: on(), about: About::Time, timeout: None },
                "sleeps for a time, and its callout is gone: nobody will wake it",
            ),
            (
                Stall::Asleep { on: on(), about: About::Callout(Some(2)), timeout: None },
                "sleeps in untimeout until b (SYS 61) has run condition variable 2",
            ),
            (Stall::Switching { cpu: Some(0) }, "has been chosen by cpu 0 and has not come onto it yet"),
            (
                Stall::Runs { cpu: 0, mode: Mode::Unpreemptible(2), spins: Some((on(), 0b1010)) },
                "runs on cpu 0 in the kernel, not to be preempted (t_preempt 2), spinning for condition variable 2, which cpus \
                 1, 3 can end",
            ),
        ];
        for (stall, expected) in cases {
            let said = says(stall);
            assert!(said.contains(expected), "no `{expected}` in `{said}`");
        }
    }
}
