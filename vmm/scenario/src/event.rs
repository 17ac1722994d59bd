//! `[[event]]` tables: what happens while a scenario runs, at which time, and with which result.
//!
//! # Invariants
//! - Events are in the order of their times; those of one time are in the order of the file.
//! - What an event does is checked against the state in which the events before it leave a thread's class, unless the
//!   event is a `priocntl` that is expected to fail: then only the thread that it is about has to exist.
//! - A binding is taken away as it was made, unless the event says how: what one way bound, another does not let go.

use umpire_shared::errno;
use umpire_shared::program::{EVENT_ARGS, Event, NO_CHANGE, TargetKind, Thread, Verb, binding, class};
use umpire_shared::sys::stream::flush;
use umpire_shared::tunable::{self, TUNABLES};
use umpire_shared::work::streams::MODULES;

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::namespace::Namespace;
use super::params::{self, Quantum};
use super::ticks::Span;
use super::topology;

/// Events that a program may have.
const MAX_EVENTS: usize = 1024;
/// Keys of an event that are no verb.
const OTHER_KEYS: [&str; 3] = ["at", "expect", "within"];
/// ns of the longest pause.
const PAUSE_NS: u64 = 10_000_000_000;

/// [`ScriptedEvent::expect`] of an event that must not begin before the run ends. No errno is that number.
pub const NEVER: u32 = u32::MAX;

/// One event of a scenario's script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedEvent {
    /// What the kernel is told.
    pub event: Event,
    /// The errno that it must give, one of [`umpire_shared::errno`], or [`NEVER`].
    pub expect: u32,
    /// It must be finished so many ns after its time. Where the file does not say it, this is the rest of the file's run.
    pub within_ns: u64,
    /// What it does, and to what, in words.
    pub label: String,
}

impl ScriptedEvent {
    /// The CPU that it needs, if it needs a certain one.
    pub(super) fn cpu(&self) -> Option<u32> {
        match self.event.verb {
            verb if verb.target() == TargetKind::Cpu => Some(self.event.target),
            Verb::Bind => u32::try_from(self.event.args[0]).ok(),
            _ => None,
        }
    }
}

/// What an event's verb says.
struct Action {
    target: usize,
    args: [i64; EVENT_ARGS],
    /// A quantum in time, for the argument of that name.
    quantum: Option<Span>,
    whom: String,
}

impl Action {
    fn of(target: usize, args: &[i64], whom: impl Into<String>) -> Action {
        let mut all = [NO_CHANGE; EVENT_ARGS];
        all[..args.len()].copy_from_slice(args);
        Action { target, args: all, quantum: None, whom: whom.into() }
    }
}

/// The script under one setting: events by time, and the quanta that they give, by event and argument.
pub(super) type Script = (Vec<ScriptedEvent>, Vec<(usize, usize, Span)>);

/// Reads `[[event]]` tables for threads as they are under one setting.
pub(super) fn script(
    tables: &[Value<'_>],
    namespace: &Namespace,
    threads: &[Thread],
    run_ns: u64,
) -> Result<Script, Box<Fault>> {
    if let Some(one_more) = tables.get(MAX_EVENTS) {
        return Err(
            one_more.fault(format!("a scenario has at most {MAX_EVENTS} events, found {}", tables.len()))
        );
    }
    let keys: Vec<&str> = OTHER_KEYS.iter().chain(Verb::NAMES).copied().collect();
    let mut timed = Vec::with_capacity(tables.len());
    for table in tables {
        let fields = table.table("[[event]]", &keys)?;
        let at_ns = fields
            .need("at", "\"500ms\"")?
            .duration(0, run_ns.saturating_sub(1))
            .map_err(|fault| fault.help("an event comes before the run ends"))?;
        timed.push((at_ns, fields));
    }
    timed.sort_by_key(|(at_ns, _)| *at_ns);
    let mut states: Vec<State> = threads.iter().map(State::of).collect();
    let (mut events, mut quanta) = (Vec::new(), Vec::new());
    for (n, (at_ns, fields)) in timed.iter().enumerate() {
        let (event, quantum) = event(*at_ns, fields, namespace, &mut states, run_ns)?;
        quanta
            .extend(quantum.zip(event.event.verb.place_of("quantum")).map(|(span, place)| (n, place, span)));
        events.push(event);
    }
    Ok((events, quanta))
}

/// What is known of a thread when an event's turn comes.
struct State {
    class: u32,
    /// How it is bound to a CPU, one of [`binding`]; none if it is not.
    bound: Option<u32>,
}

impl State {
    fn of(thread: &Thread) -> State {
        State { class: thread.class, bound: (thread.cpu >= 0).then_some(thread.binding) }
    }

    /// How an event binds it that does not say how.
    fn usual_binding(&self, fails: bool) -> u32 {
        match self.bound {
            _ if fails => binding::HARD,
            Some(bound) => bound,
            // Nobody but the kernel binds a thread of class SYS.
            None if self.class == class::SYS => binding::AFFINITY,
            None => binding::HARD,
        }
    }
}

fn event(
    at_ns: u64,
    fields: &Fields<'_>,
    namespace: &Namespace,
    states: &mut [State],
    run_ns: u64,
) -> Result<(ScriptedEvent, Option<Span>), Box<Fault>> {
    let names: Vec<&str> = errno::NAMES.iter().map(|(_, name)| *name).chain(["never"]).collect();
    let number = |n: usize| errno::NAMES.get(n).map_or(NEVER, |(number, _)| *number);
    let expect = fields.optional("expect", |v| v.word("result", &names))?.map_or(0, number);
    let left_ns = run_ns - at_ns;
    let within = fields.get("within");
    if let Some(within) = within.as_ref().filter(|_| expect == NEVER) {
        let message = "an event that must never begin is not finished `within` anything";
        return Err(within.key_fault(message).help("leave `within` out"));
    }
    let within_ns = within.map_or(Ok(left_ns), |v| v.duration(1, left_ns))?;
    let verbs: Vec<Value<'_>> =
        fields.entries().into_iter().filter(|v| !OTHER_KEYS.contains(&v.key.as_ref())).collect();
    let [action] = verbs.as_slice() else {
        let message = format!("an event does exactly one thing, found {}", verbs.len());
        let fault =
            verbs.get(1).map_or_else(|| fields.fault(message.clone()), |v| v.key_fault(message.clone()));
        return Err(fault.help(format!("one of: {}", Verb::NAMES.join(", "))));
    };
    let Some(verb) = Verb::named(&action.key) else { return Err(action.unknown_key("verb", Verb::NAMES)) };
    let done = perform(verb, action, namespace, states, !matches!(expect, 0 | NEVER))?;
    debug_assert!(
        done.args[verb.args().len()..].iter().all(|arg| *arg == NO_CHANGE),
        "{verb:?} is given more arguments than it declares"
    );
    let label = format!("{} {}", action.key, done.whom).trim_end().to_owned();
    let event = Event { at_ns, verb, target: done.target as u32, args: done.args };
    Ok((ScriptedEvent { event, expect, within_ns, label }, done.quantum))
}

fn priocntl(
    value: &Value<'_>,
    namespace: &Namespace,
    states: &mut [State],
    fails: bool,
) -> Result<Action, Box<Fault>> {
    let keys: Vec<&str> = ["thread", "class"].into_iter().chain(params::KEYS).collect();
    let fields = value.table("`priocntl`", &keys)?;
    let target = namespace.thread(&fields.need("thread", "\"worker\"")?)?;
    let class = fields.optional("class", |v| v.word("class", class::NAMES))?.map(|n| n as u32);
    let now = class.unwrap_or(states[target].class);
    if now == class::FSS && namespace.projects.is_empty() && !fails {
        let message = "a thread of class FSS is in a project, and the scenario has none";
        return Err(value.fault(message).help("add a [[project]] table"));
    }
    let params = params::read(&Layers::of(fields), (!fails).then_some(now), 0)?;
    if !fails {
        states[target].class = now;
    }
    let (ticks, quantum) = match params.quantum {
        None => (NO_CHANGE, None),
        Some(Quantum::Ticks(ticks)) => (i64::from(ticks), None),
        Some(Quantum::Time(span)) => (NO_CHANGE, Some(span)),
    };
    let or_same = |value: Option<i64>| value.unwrap_or(NO_CHANGE);
    let class = or_same(class.map(i64::from));
    let args = [class, or_same(params.pri), or_same(params.upri), ticks, or_same(params.duty_cycle)];
    Ok(Action { quantum, ..Action::of(target, &args, namespace.threads[target].as_str()) })
}

/// The cap that an event sets, in per cent of one CPU; 0 for none.
fn cap_of(fields: &Fields<'_>, namespace: &Namespace) -> Result<i64, Box<Fault>> {
    let cap = fields.need("cap", "50")?;
    match cap.is_string() {
        true => cap.word("cap", &["none"]).map(|_| 0),
        false => topology::cap(&cap, namespace.cpus).map(i64::from),
    }
}

/// What an event's verb says, as the kernel is told it. `fails`: the event is expected to fail.
fn perform(
    verb: Verb,
    value: &Value<'_>,
    namespace: &Namespace,
    states: &mut [State],
    fails: bool,
) -> Result<Action, Box<Fault>> {
    let table = |keys: &[&str]| value.table(verb.quoted(), keys);
    let thread_of = |fields: &Fields<'_>| namespace.thread(&fields.need("thread", "\"worker\"")?);
    let cpu_of = |fields: &Fields<'_>| namespace.cpu(&fields.need("cpu", "1")?);
    let pset_of = |fields: &Fields<'_>| namespace.pset(&fields.need("pset", "\"default\"")?);
    let action = match verb {
        Verb::Priocntl => priocntl(value, namespace, states, fails)?,
        Verb::Tunable => tunable(value)?,
        Verb::Shares => {
            let fields = table(&["project", "shares"])?;
            let project = namespace.project(&fields.need("project", "\"batch\"")?)?;
            let shares = fields.need("shares", "1")?.number(0, class::MAX_SHARES.into())?;
            Action::of(project, &[shares], umpire_shared::unpack_name(&namespace.projects[project].name))
        }
        Verb::Cap => {
            let fields = table(&["project", "cap"])?;
            let project = namespace.project(&fields.need("project", "\"batch\"")?)?;
            let whom = umpire_shared::unpack_name(&namespace.projects[project].name);
            Action::of(project, &[cap_of(&fields, namespace)?], whom)
        }
        Verb::ZoneCap => {
            let fields = table(&["zone", "cap"])?;
            let (first, zone) = namespace.zone(&fields.need("zone", "1")?)?;
            Action::of(first, &[cap_of(&fields, namespace)?], format!("zone {zone}"))
        }
        Verb::Offline => {
            let fields = table(&["cpu", "force"])?;
            let cpu = cpu_of(&fields)?;
            let force = fields.optional("force", Value::boolean)?.unwrap_or(false);
            Action::of(cpu as usize, &[i64::from(force)], format!("cpu {cpu}"))
        }
        Verb::Online | Verb::Poweroff => {
            let cpu = cpu_of(&table(&["cpu"])?)?;
            Action::of(cpu as usize, &[], format!("cpu {cpu}"))
        }
        Verb::Bind => {
            let fields = table(&["thread", "cpu", "binding"])?;
            let thread = thread_of(&fields)?;
            let cpu = fields.need("cpu", "1")?;
            let cpu = match cpu.is_string() {
                true => cpu.word("CPU", &["none"]).map(|_| -1)?,
                false => i64::from(namespace.cpu(&cpu)?),
            };
            let how = fields.optional("binding", |v| v.word("binding", binding::NAMES))?;
            let how = how.map_or_else(|| states[thread].usual_binding(fails), |how| how as u32);
            if !fails {
                states[thread].bound = (cpu != -1).then_some(how);
            }
            Action::of(thread, &[cpu, i64::from(how)], namespace.threads[thread].as_str())
        }
        Verb::PsetAssign => {
            let fields = table(&["cpu", "pset"])?;
            let cpu = cpu_of(&fields)?;
            Action::of(cpu as usize, &[pset_of(&fields)? as i64], format!("cpu {cpu}"))
        }
        Verb::PsetBind => {
            let fields = table(&["thread", "pset"])?;
            let thread = thread_of(&fields)?;
            Action::of(thread, &[pset_of(&fields)? as i64], namespace.threads[thread].as_str())
        }
        Verb::Pause => {
            let fields = table(&["for"])?;
            let ns = fields.need("for", "\"10ms\"")?.duration(0, PAUSE_NS)?;
            Action::of(0, &[ns.cast_signed()], "")
        }
        Verb::Push => {
            let fields = table(&["stream", "module"])?;
            let module = fields.need("module", "\"pass\"")?.word("module", MODULES)?;
            on_stream(&fields, namespace, &[module as i64])?
        }
        Verb::Pop | Verb::Close => on_stream(&table(&["stream"])?, namespace, &[])?,
        Verb::Flush => {
            let fields = table(&["stream", "side", "band"])?;
            let sides = [("both", flush::RW), ("read", flush::R), ("write", flush::W)];
            let side = fields.optional("side", |v| v.word("side", &sides.map(|(name, _)| name)))?;
            let band = fields.optional("band", |v| v.number(0, 255))?.unwrap_or(-1);
            on_stream(&fields, namespace, &[i64::from(sides[side.unwrap_or(0)].1), band])?
        }
        Verb::Freeze => {
            let fields = table(&["stream", "for"])?;
            let ns = fields.need("for", "\"1ms\"")?.duration(0, PAUSE_NS)?;
            on_stream(&fields, namespace, &[ns.cast_signed()])?
        }
        Verb::Link => {
            let fields = table(&["stream", "lower", "persistent"])?;
            let lower = namespace.stream(&fields.need("lower", "\"eth0\"")?)?;
            let persists = fields.optional("persistent", Value::boolean)?.unwrap_or(false);
            on_stream(&fields, namespace, &[lower as i64, i64::from(persists)])?
        }
        Verb::Unlink => {
            let fields = table(&["stream", "lower", "persistent"])?;
            let lower = fields.optional("lower", |v| namespace.stream(v))?.map_or(-1, |lower| lower as i64);
            let persists = fields.optional("persistent", Value::boolean)?.unwrap_or(false);
            on_stream(&fields, namespace, &[lower, i64::from(persists)])?
        }
        Verb::Stop | Verb::Run => {
            let thread = thread_of(&table(&["thread"])?)?;
            Action::of(thread, &[], namespace.threads[thread].as_str())
        }
        Verb::Focus => {
            let fields = table(&["thread", "has"])?;
            let thread = thread_of(&fields)?;
            let has = fields.optional("has", Value::boolean)?.unwrap_or(true);
            Action::of(thread, &[i64::from(has)], namespace.threads[thread].as_str())
        }
    };
    Ok(action)
}

/// What is done to the stream that a verb's table names.
fn on_stream(fields: &Fields<'_>, namespace: &Namespace, args: &[i64]) -> Result<Action, Box<Fault>> {
    let stream = namespace.stream(&fields.need("stream", "\"udp0\"")?)?;
    Ok(Action::of(stream, args, namespace.streams[stream].as_str()))
}

fn tunable(value: &Value<'_>) -> Result<Action, Box<Fault>> {
    let entries = value.map()?;
    let [entry] = entries.as_slice() else {
        let message = format!("an event sets one tunable, found {}", entries.len());
        return Err(value.fault(message).help("write: tunable = { kpreemptpri = 100 }"));
    };
    let names: Vec<&str> = TUNABLES.iter().map(|t| t.name).collect();
    let Some(number) = tunable::find(&entry.key) else { return Err(entry.unknown_key("tunable", &names)) };
    let tunable = &TUNABLES[number];
    if !tunable.can_change() {
        let message = format!("`{}` cannot change while the kernel runs: it is read at boot", tunable.name);
        return Err(entry.key_fault(message).help("use `set`"));
    }
    let to = entry.number(tunable.min, tunable.max).map_err(|fault| fault.help(tunable.doc))?;
    Ok(Action::of(number, &[to], tunable.name))
}
