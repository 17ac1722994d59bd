//! The layout of the kernel's structures, found by name, once, when the glass is put up.
//!
//! # Invariants
//! - No offset is written in the host's source: each comes from the guest's own debug information.
//! - A field that is missing, or that became another kind of thing, is an error with its name in it, before the
//!   first sample. A number that merely became wider or signed is read as what it is.
//! - What wraps a number without adding to it (`AtomicU64`, `SharedPtr`, a lock of one word) is looked through.

use super::dwarf::{self, Type, TypeAt, Types};
use super::error::GlassError;

/// Where the kernel's root structure is defined.
const ROOT: (&[&str], &str) = (&["umpire_kernel", "kernel"], "Kernel");
/// Wrappers of wrappers that are looked through at most.
const MAX_WRAPPERS: usize = 8;
/// Members that a path may name at most.
const MAX_DEPTH: usize = 8;

/// A number or a pointer within a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the structure's beginning.
    pub offset: usize,
    /// Bytes: 1, 2, 4 or 8.
    pub size: usize,
    /// True if its sign bit is one.
    pub signed: bool,
}

impl Field {
    /// The value in a copy of the structure, sign-extended if it is signed; 0 if the copy is too short.
    #[inline]
    pub fn get(self, copy: &[u8]) -> u64 {
        let rest = copy.get(self.offset..).unwrap_or(&[]);
        let word = match rest.first_chunk::<8>() {
            // One load, whatever the size: what follows the field is shifted out below.
            Some(raw) => u64::from_le_bytes(*raw),
            None => self.last_word(rest),
        };
        let unused = 64 - 8 * self.size as u32;
        if self.signed { ((word << unused) as i64 >> unused) as u64 } else { word << unused >> unused }
    }

    /// A field in the last bytes of a copy.
    #[cold]
    fn last_word(self, rest: &[u8]) -> u64 {
        let mut raw = [0; 8];
        if let Some(bytes) = rest.get(..self.size) {
            raw[..self.size].copy_from_slice(bytes);
        }
        u64::from_le_bytes(raw)
    }

    /// First byte behind it.
    pub fn end(self) -> usize {
        self.offset.saturating_add(self.size)
    }
}

/// An array within a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayField {
    /// Bytes from the structure's beginning.
    pub offset: usize,
    /// Bytes from one element to the next.
    pub stride: usize,
    /// Elements.
    pub count: usize,
}

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $path:literal as $kind:ident: $what:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            /// Bytes of the whole structure.
            pub size: usize,
            $(#[doc = $what] pub $field: fields!(@type $kind),)*
        }
        impl $name {
            fn resolve(types: &mut Types<'_>, at: TypeAt) -> Result<$name, GlassError> {
                Ok($name { size: types.size(at)? as usize, $($field: $kind(types, at, $path)?,)* })
            }
        }
    };
    (@type number) => { Field };
    (@type pointer) => { Field };
    (@type array) => { ArrayField };
}

fields! {
    /// `Kernel`.
    KernelFields {
        magic = "k_magic" as number: "\"KERNEL!!\".",
        cpus = "k_cpus.data_ptr" as pointer: "The first CPU.",
        ncpus = "k_cpus.length" as number: "How many CPUs.",
        threads = "k_threads.data_ptr" as pointer: "The first thread.",
        nthreads = "k_threads.length" as number: "How many threads, idle threads included.",
        psets = "k_psets.data_ptr" as pointer: "The first processor set's partition.",
        npsets = "k_psets.length" as number: "How many of those.",
        chains = "k_turnstile_table.data_ptr" as pointer: "The first chain of turnstiles.",
        nchains = "k_turnstile_table.length" as number: "How many chains.",
        turnstiles = "k_turnstiles.data_ptr" as pointer: "The first turnstile.",
        nturnstiles = "k_turnstiles.length" as number: "How many turnstiles.",
        projects = "k_fss.fss_kprojects.data_ptr" as pointer: "The first project.",
        nprojects = "k_fss.fss_kprojects.length" as number: "How many projects.",
        tunables = "k_tunables" as array: "The tunables, by number.",
        events = "k_events.data_ptr" as pointer: "The first event of the scenario.",
        nevents = "k_events.length" as number: "How many events.",
        kpreemptpri = "kpreemptpri" as number: "Least priority that preempts the kernel.",
        kpqpri = "kpqpri" as number: "Least priority of the kp queue.",
        upreemptpri = "upreemptpri" as number: "Least priority that preempts user mode.",
        hz = "hz" as number: "Clock ticks a second.",
        lbolt = "lbolt" as number: "Ticks since boot.",
        clock_ticks = "k_clock_ticks" as number: "Times that clock() ran.",
        deadman_counter = "deadman_counter" as number: "Seconds that clock() has counted.",
        deadman_panics = "deadman_panics" as number: "Times that the in-guest deadman fired.",
        clock_cpu = "k_clock_cpu" as number: "The CPU that clock() runs on.",
    }
}

fields! {
    /// `Cpu`, its run queue apart.
    CpuFields {
        id = "cpu_id" as number: "Its number.",
        flags = "cpu_flags" as number: "RUNNING, READY and so on.",
        part = "cpu_part" as pointer: "Its partition.",
        pswitch = "cpu_stats.pswitch" as number: "Switches.",
        inv_swtch = "cpu_stats.inv_swtch" as number: "Preemptions.",
        cyclics = "cpu_cyclic.cyp_cyclics" as array: "Its cyclics.",
        thread = "cpu_thread" as pointer: "What runs.",
        idle_thread = "cpu_idle_thread" as pointer: "What runs when nothing does.",
        dispthread = "cpu_dispthread" as pointer: "What the dispatcher chose.",
        dispatch_pri = "cpu_dispatch_pri" as number: "Its priority.",
        chosen_level = "cpu_chosen_level" as number: "Best aimed here through the kp queue.",
        runrun = "cpu_runrun" as number: "Preempt on the way to user mode.",
        kprunrun = "cpu_kprunrun" as number: "Preempt in the kernel.",
        disp_flags = "cpu_disp_flags" as number: "DONTSTEAL, HALTED.",
        base_spl = "cpu_base_spl" as number: "Floor of the priority level.",
        intr_actv = "cpu_intr_actv" as number: "Active interrupt levels.",
        last_swtch = "cpu_last_swtch" as number: "lbolt of the last switch.",
    }
}

fields! {
    /// `Disp`: a run queue.
    DispFields {
        generation = "disp_lock.generation" as number: "The lock's word.",
        maxrunpri = "disp_maxrunpri" as number: "Highest level in use.",
        max_unbound_pri = "disp_max_unbound_pri" as number: "Highest level with an unbound thread.",
        nrunnable = "disp_nrunnable" as number: "Threads on it.",
        qactmap = "disp_qactmap" as array: "A bit a level.",
        levels = "disp_q" as array: "The levels.",
    }
}

fields! {
    /// `DispQ`: a level of a run queue.
    LevelFields {
        first = "dq_first" as pointer: "Head.",
        last = "dq_last" as pointer: "Tail.",
        sruncnt = "dq_sruncnt" as number: "How many.",
    }
}

fields! {
    /// `Kthread`.
    ThreadFields {
        link = "t_link" as pointer: "Next on its queue.",
        disp_queue = "t_disp_queue" as pointer: "The run queue it is on.",
        cpu = "t_cpu" as pointer: "Where it runs or last ran.",
        bound_cpu = "t_bound_cpu" as pointer: "Strong binding.",
        weakbound_cpu = "t_weakbound_cpu" as pointer: "Weak binding.",
        state = "t_state" as number: "TS_RUN and so on.",
        pri = "t_pri" as number: "Its priority.",
        epri = "t_epri" as number: "What it inherits.",
        flag = "t_flag" as number: "Interrupt thread and so on.",
        intr = "t_intr" as pointer: "The thread that it pins, if it is an interrupt thread.",
        pil = "t_pil" as number: "The level that it handles, if it is one.",
        mstate = "t_mstate" as number: "Its microstate.",
        mstart = "t_mstart" as number: "Since when.",
        acct = "t_acct" as array: "Time in each microstate.",
        project = "t_project" as number: "Its project.",
        duty_cycle = "t_cldata.sdc.sdc_target_dc" as number: "Class SDC: what it aims at, in per cent.",
        class = "t_cid" as number: "Its class.",
        preempt = "t_preempt" as number: "Depth of kpreempt_disable.",
        lwp_state = "lwp_state" as number: "None, user or system.",
        waitrq = "t_waitrq" as number: "When it was put on a run queue.",
        sp = "t_sp" as number: "Saved stack pointer.",
        startpc = "t_startpc" as number: "What it runs.",
        progress = "t_progress" as number: "Turns that its workload has done.",
        stkbase = "t_stkbase" as number: "Lowest address of its stack.",
        stk = "t_stk" as number: "First address above its stack.",
        name = "t_name" as array: "Its name.",
    }
}

fields! {
    /// `Cyclic`.
    CyclicFields {
        pend = "cy_pend" as number: "Times owed.",
        level = "cy_level" as number: "The level it runs at.",
        handler = "cy_handler" as number: "What it runs, 0 for a free slot.",
    }
}

fields! {
    /// `Cpupart`, its kp queue apart.
    PartFields {
        id = "cp_id" as number: "Its number.",
    }
}

fields! {
    /// `TurnstileChain`.
    ChainFields {
        generation = "tc_lock.generation" as number: "The lock's word.",
        first = "tc_first" as pointer: "The first turnstile.",
    }
}

fields! {
    /// `Turnstile`.
    TurnstileFields {
        next = "ts_next" as pointer: "Next of the chain.",
        sobj = "ts_sobj" as number: "The lock.",
        kind = "ts_kind" as number: "What it is.",
        sleepq = "ts_sleepq" as array: "Writers and readers.",
    }
}

fields! {
    /// `SleepList`.
    SleepListFields {
        first = "sq_first" as pointer: "The best sleeper.",
    }
}

fields! {
    /// `Kproject`.
    ProjectFields {
        shares = "kpj_shares" as number: "Its shares.",
        zone = "kpj_zone" as number: "The first project of its zone.",
        zone_shares = "kpj_zone_shares" as number: "The shares of its zone.",
        cap = "kpj_cap" as number: "Its cap.",
        zone_cap = "kpj_zone_cap" as number: "The cap of its zone, if it is the zone's first.",
        is_system = "kpj_is_system" as number: "True for the project `system`.",
    }
}

fields! {
    /// `ScriptEvent`.
    EventFields {
        verb = "ev_verb" as number: "What happens.",
        target = "ev_target" as number: "To whom.",
        at_ns = "ev_at_ns" as number: "When it is due.",
        began_ns = "ev_began_ns" as number: "When it began.",
        ended_ns = "ev_ended_ns" as number: "When it was finished.",
        errno = "ev_errno" as number: "Its result.",
    }
}

/// Where everything that the glass looks at lies.
#[derive(Debug, Clone)]
pub struct Layout {
    /// `Kernel`.
    pub kernel: KernelFields,
    /// `Cpu`.
    pub cpu: CpuFields,
    /// `Disp`.
    pub disp: DispFields,
    /// `DispQ`.
    pub level: LevelFields,
    /// `Kthread`.
    pub thread: ThreadFields,
    /// `Cyclic`.
    pub cyclic: CyclicFields,
    /// `Cpupart`.
    pub part: PartFields,
    /// `TurnstileChain`.
    pub chain: ChainFields,
    /// `Turnstile`.
    pub turnstile: TurnstileFields,
    /// `SleepList`.
    pub sleep_list: SleepListFields,
    /// `Kproject`.
    pub project: ProjectFields,
    /// Offset of the kp queue in `Cpupart`.
    pub part_kp: usize,
    /// Offset of the default partition in `Kernel`.
    pub default_part: usize,
    /// `ScriptEvent`.
    pub event: EventFields,
    /// Offset of the run queue in `Cpu`.
    pub cpu_disp: usize,
    /// Bytes at the beginning of `Kthread` that hold all that a queue walk reads.
    pub thread_prefix: usize,
}

impl Layout {
    /// Finds every field in the debug information of a guest image.
    ///
    /// # Errors
    /// [`GlassError`] if the image is not ELF, has no debug information, or lacks a type or field; it names which.
    pub fn from_elf(image: &[u8]) -> Result<Layout, GlassError> {
        let sections = dwarf::sections(image)?;
        let mut types = Types::new(dwarf::borrow(&sections))?;
        let types = &mut types;
        let root = types.find(ROOT.0, ROOT.1)?;
        let cpu = pointee(types, root, "k_cpus.data_ptr")?;
        let thread = pointee(types, root, "k_threads.data_ptr")?;
        let event = pointee(types, root, "k_events.data_ptr")?;
        let (cpu_disp, disp) = structure(types, cpu, "cpu_disp")?;
        let (default_part, part) = structure(types, root, "cp_default")?;
        let (part_kp, _) = structure(types, part, "cp_kp_queue")?;
        let cyclic = element(types, cpu, "cpu_cyclic.cyp_cyclics")?;
        let chain = pointee(types, root, "k_turnstile_table.data_ptr")?;
        let turnstile = pointee(types, root, "k_turnstiles.data_ptr")?;
        let sleep_list = element(types, turnstile, "ts_sleepq")?;
        let project = pointee(types, root, "k_fss.fss_kprojects.data_ptr")?;
        let level = element(types, disp, "disp_q")?;
        let thread_fields = ThreadFields::resolve(types, thread)?;
        let thread_prefix = hot_prefix(&thread_fields);
        Ok(Layout {
            kernel: KernelFields::resolve(types, root)?,
            cpu: CpuFields::resolve(types, cpu)?,
            disp: DispFields::resolve(types, disp)?,
            level: LevelFields::resolve(types, level)?,
            thread: thread_fields,
            cyclic: CyclicFields::resolve(types, cyclic)?,
            part: PartFields::resolve(types, part)?,
            chain: ChainFields::resolve(types, chain)?,
            turnstile: TurnstileFields::resolve(types, turnstile)?,
            sleep_list: SleepListFields::resolve(types, sleep_list)?,
            project: ProjectFields::resolve(types, project)?,
            part_kp,
            default_part,
            event: EventFields::resolve(types, event)?,
            cpu_disp,
            thread_prefix,
        })
    }
}

/// The fields that are read of each queued thread, so that one copy gets them all.
fn hot_prefix(t: &ThreadFields) -> usize {
    let hot = [t.link, t.disp_queue, t.bound_cpu, t.weakbound_cpu, t.state, t.pri, t.epri, t.class, t.waitrq];
    hot.iter().map(|f| f.end()).max().unwrap_or(0).next_multiple_of(8).min(t.size)
}

fn number(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<Field, GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match unwrapped(types, of)? {
        Type::Base { size: size @ (1 | 2 | 4 | 8), signed } => {
            Ok(Field { offset, size: size as usize, signed })
        }
        found => Err(retyped(types, owner, path, "a number", &found)),
    }
}

fn pointer(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<Field, GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match unwrapped(types, of)? {
        Type::Pointer { .. } => Ok(Field { offset, size: 8, signed: false }),
        found => Err(retyped(types, owner, path, "a pointer", &found)),
    }
}

fn array(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<ArrayField, GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match types.get(of)? {
        Type::Array { element, count } => {
            let stride = types.size(element)? as usize;
            Ok(ArrayField { offset, stride, count: count as usize })
        }
        found => Err(retyped(types, owner, path, "an array", &found)),
    }
}

fn structure(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<(usize, TypeAt), GlassError> {
    let (offset, of) = locate(types, owner, path)?;
    match types.get(of)? {
        Type::Struct { .. } => Ok((offset, of)),
        found => Err(retyped(types, owner, path, "a structure", &found)),
    }
}

fn element(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<TypeAt, GlassError> {
    let (_, of) = locate(types, owner, path)?;
    match types.get(of)? {
        Type::Array { element, .. } => Ok(element),
        found => Err(retyped(types, owner, path, "an array", &found)),
    }
}

fn pointee(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<TypeAt, GlassError> {
    let (_, of) = locate(types, owner, path)?;
    match unwrapped(types, of)? {
        Type::Pointer { to: Some(to) } => Ok(to),
        found => Err(retyped(types, owner, path, "a pointer to a structure", &found)),
    }
}

/// Offset and type of the member that `path` names, each step by name.
fn locate(types: &mut Types<'_>, owner: TypeAt, path: &str) -> Result<(usize, TypeAt), GlassError> {
    let mut at = owner;
    let mut offset = 0;
    for step in path.split('.').take(MAX_DEPTH) {
        let found = types.get(at)?;
        let Type::Struct { name, members, .. } = &found else {
            return Err(retyped(types, owner, path, "a structure on the way", &found));
        };
        let Some(member) = members.iter().find(|m| m.name == step) else {
            let nearest = members.iter().max_by(|a, b| {
                strsim::jaro_winkler(&a.name, step).total_cmp(&strsim::jaro_winkler(&b.name, step))
            });
            return Err(GlassError::MissingField {
                owner: name.clone(),
                field: step.into(),
                nearest: nearest.map(|m| m.name.clone()),
            });
        };
        offset = member.offset.wrapping_add(offset as u64) as usize;
        at = member.of;
    }
    Ok((offset, at))
}

/// The type behind structures that hold one thing of their own size at offset 0, and nothing else.
fn unwrapped(types: &mut Types<'_>, mut at: TypeAt) -> Result<Type, GlassError> {
    for _ in 0..MAX_WRAPPERS {
        let Type::Struct { size, members, .. } = types.get(at)? else { break };
        let mut inner = None;
        for member in members {
            let member_size = types.size(member.of)?;
            if member_size == size && member.offset == 0 && inner.is_none() {
                inner = Some(member.of);
            } else if member_size != 0 {
                return types.get(at);
            }
        }
        let Some(of) = inner else { break };
        at = of;
    }
    types.get(at)
}

fn retyped(
    types: &mut Types<'_>,
    owner: TypeAt,
    path: &str,
    expected: &'static str,
    found: &Type,
) -> GlassError {
    let owner = match types.get(owner) {
        Ok(Type::Struct { name, .. }) => name,
        _ => "a type without a name".into(),
    };
    let found = match found {
        Type::Base { size, .. } => format!("a number of {size} bytes"),
        Type::Pointer { .. } => "a pointer".into(),
        Type::Struct { name, .. } => format!("a structure {name}"),
        Type::Array { count, .. } => format!("an array of {count}"),
        Type::Other { what } => (*what).into(),
    };
    GlassError::Retyped { owner, field: path.into(), expected, found }
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
