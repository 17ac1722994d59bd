//! What the seeds quote is typed here, at each kind of machine and at a core of it, and answered in the form that they show.
//!
//! Two sources: `seeds/000`, the ticket of illumos #1532, with its dump of the hung machine; and `seeds/004`, the article
//! "Debugging Solaris Scheduling Problems, and Other Fun Party Tricks", with a healthy machine and the dump of the one whose ecache
//! scrubber was stuck. Where they name an address, a variable stands here that holds this machine's: `<q`.
//!
//! # Invariants
//! - Every command line of either source is in a table, once a place where it is quoted.
//! - A form is a list of patterns, one a line of the answer, in their order; `...` stands for any lines.

use std::path::Path;

use regex_lite::Regex;

use crate::answer;

/// What is looked at.
pub(crate) struct Looked {
    name: &'static str,
    /// Arguments of `umpire mdb`, behind the scenario.
    args: &'static [&'static str],
    /// False if the target keeps its stacks to itself.
    has_stacks: bool,
}

const SIMULATED: Looked = Looked { name: "sim", args: &["--sim"], has_stacks: false };
const KVM: Looked = Looked { name: "kvm", args: &[], has_stacks: true };

/// The targets that this host has.
pub(crate) fn targets() -> Vec<Looked> {
    let mut all = vec![SIMULATED];
    if Path::new("/dev/kvm").exists() {
        all.push(KVM);
    } else {
        eprintln!("skipped on kvm: there is no /dev/kvm");
    }
    all
}

/// A command line that a seed quotes.
pub(crate) struct Quoted {
    /// What it says there.
    source: &'static str,
    /// What sets the variables, before.
    given: &'static str,
    typed: &'static str,
    /// The form of its answer.
    form: &'static [&'static str],
    /// The form on a target without stacks, if it is another.
    without_stacks: Option<&'static [&'static str]>,
}

pub(crate) const fn quoted(
    source: &'static str,
    given: &'static str,
    typed: &'static str,
    form: &'static [&'static str],
) -> Quoted {
    Quoted { source, given, typed, form, without_stacks: None }
}

const QEMU: &str = "::walk cpu | ::print cpu_t cpu_thread | >q";
const WORKERS: &str =
    "::walk cpu | ::walk cpu_dispq | >last; ::walk cpu | ::walk cpu_dispq | ::head -1 | >first";
const NO_STACK: &[&str] = &[r"stack pointer for thread [0-9a-f]+ \(.*\): none is saved \(.*\)"];

const HUNG: &[Quoted] = &[
    quoted(
        "> ::cpuinfo -v",
        "",
        "::cpuinfo -v",
        &[
            " ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC",
            "...",
            "  1 [0-9a-f]{16}  1b    2    0   0  yes    no t-[0-9]+ +[0-9a-f]{16} qemu-system-x86_",
            r" {23}\|    \|",
            r" {12}RUNNING <--\+    \+-->  PRI THREAD           PROC",
            " {14}READY {16}99 [0-9a-f]{16} sched",
            " {13}EXISTS {16}99 [0-9a-f]{16} sched",
            " {13}ENABLE",
        ],
    ),
    quoted(
        "> ffffff01d5a600c0::print kthread_t t_cldata | ::print -a tsproc_t ts_timeleft",
        QEMU,
        "<q::print kthread_t t_cldata | ::print -a tsproc_t ts_timeleft",
        &["[0-9a-f]+ ts_timeleft = 0xff[0-9a-f]{6}"],
    ),
    quoted(
        "> ffffff01dde41b90/D",
        "::walk cpu | ::print cpu_t cpu_thread | ::print -a kthread_t t_cldata.ts_timeleft | >left",
        "<left/D",
        &["0x[0-9a-f]+: *-[0-9]+ *"],
    ),
    Quoted {
        source: "> ffffff0007e01c40::findstack -v",
        given: WORKERS,
        typed: "<first::findstack -v",
        form: &[
            r"stack pointer for thread [0-9a-f]+ \(mac_soft_ring_worker\): [0-9a-f]+",
            "...",
            r"\[ [0-9a-f]{16} swtch\+0x[0-9a-f]+\(\) \].*",
            "...",
            r"  [0-9a-f]{16} mac_soft_ring_worker\+0x[0-9a-f]+\(\).*",
            "...",
            r"  [0-9a-f]{16} thread_start\+0x[0-9a-f]+\(\).*",
        ],
        without_stacks: Some(NO_STACK),
    },
    Quoted {
        source: "> ffffff0007e1fc40::findstack -v",
        given: WORKERS,
        typed: "<last::findstack -v",
        form: &[
            r"stack pointer for thread [0-9a-f]+ \(squeue_worker\): [0-9a-f]+",
            "...",
            r"\[ [0-9a-f]{16} swtch\+0x[0-9a-f]+\(\) \].*",
            "...",
            r"  [0-9a-f]{16} squeue_worker\+0x[0-9a-f]+\(\).*",
            "...",
            r"  [0-9a-f]{16} thread_start\+0x[0-9a-f]+\(\).*",
        ],
        without_stacks: Some(NO_STACK),
    },
];

const HEALTHY: &[Quoted] = &[
    quoted(
        "> ::class",
        "",
        "::class",
        &[
            "SLOT NAME       INIT FCN                 CLASS FCN",
            "   0 SYS        [^ ]+ +.*",
            "   1 TS         [^ ]+ +.*",
            "...",
            "   [0-9] RT         [^ ]+ +.*",
        ],
    ),
    quoted(
        "> ::cpuinfo",
        "",
        "::cpuinfo",
        &[
            " ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC",
            "  0 [0-9a-f]{16}  1b +[0-9]+ +0 +-?[0-9]+ +(no|yes) +(no|yes) t-[0-9]+ +[0-9a-f]{16} .*",
            "  1 [0-9a-f]{16}  1b +[0-9]+ +0 +-?[0-9]+ +(no|yes) +(no|yes) t-[0-9]+ +[0-9a-f]{16} .*",
        ],
    ),
    quoted(
        "> 300423b2000::cpuinfo -v",
        "::walk cpu | >c",
        "<c::cpuinfo -v",
        &[
            " ID ADDR .*",
            "  [0-9]+ [0-9a-f]{16}  1b .*",
            r" {23}\|.*",
            r" {12}RUNNING <--\+.*",
            " {14}READY.*",
            " {13}EXISTS.*",
            " {13}ENABLE.*",
        ],
    ),
    quoted("> ::walk thread", "", "::walk thread", &["0x[0-9a-f]+", "0x[0-9a-f]+", "0x[0-9a-f]+"]),
    Quoted {
        source: "> ::walk thread |::findstack",
        given: "",
        typed: "::walk thread |::findstack",
        form: &[
            "...",
            r"stack pointer for thread [0-9a-f]+ \(.*\): [0-9a-f]+",
            r"\[ [0-9a-f]{16} [a-z_:<>A-Z ]+\+0x[0-9a-f]+\(\) \]",
            "...",
            r"  [0-9a-f]{16} thread_start\+0x[0-9a-f]+\(\)",
        ],
        without_stacks: Some(&["...", r"stack pointer for thread [0-9a-f]+ \(.*\): none is saved \(.*\)"]),
    },
    quoted(
        "> ::walk cpu |::print cpu_t cpu_thread |::print kthread_t t_pri",
        "",
        "::walk cpu |::print cpu_t cpu_thread |::print kthread_t t_pri",
        &["t_pri = (0|0x[0-9a-f]+)", "t_pri = (0|0x[0-9a-f]+)"],
    ),
    quoted(
        "> cpu0::print cpu_t cpu_disp |::print disp_t",
        "",
        "cpu0::print cpu_t cpu_disp |::print disp_t",
        &[
            r"\{",
            "    disp_lock = .*",
            "...",
            "    disp_maxrunpri = (0|0x[0-9a-f]+)",
            "    disp_max_unbound_pri = (0|0x[0-9a-f]+)",
            "    disp_nrunnable = (0|0x[0-9a-f]+)",
            "...",
            r"    disp_q = .*",
        ],
    ),
];

const DETACHED: &str = "::walk cpu | >c; <c::print cpu_t cpu_disp.disp_maxrunpri | >pri";

const STUCK: &[Quoted] = &[
    quoted(
        "panic[cpu1]/thread=30018dd6cc0: deadman: timed out after 9 seconds of clock inactivity",
        "",
        "::msgbuf",
        &[
            "MESSAGE",
            "...",
            r"panic\[cpu[0-9]+\]/thread=[0-9a-f]+: deadman: timed out after 1 seconds of clock inactivity",
        ],
    ),
    quoted(
        "> ::cpuinfo",
        "",
        "::cpuinfo",
        &[
            " ID ADDR .*",
            "  0 [0-9a-f]{16}  1b +[0-9]+ +[0-9]+ +99 +(no|yes) +(no|yes) t-[0-9]+ +[0-9a-f]{16} sched",
            "  1 [0-9a-f]{16}  2d    1    9  -1   no   yes t-[0-9]+ +[0-9a-f]{16} \\(idle\\)",
        ],
    ),
    quoted(
        "> 180c000::print cpu_t cpu_intr_actv",
        DETACHED,
        "<c::print cpu_t cpu_intr_actv",
        &["cpu_intr_actv = 0x200"],
    ),
    quoted(
        "> 180c000::cpuinfo -v",
        DETACHED,
        "<c::cpuinfo -v",
        &[
            " ID ADDR .*",
            "  1 [0-9a-f]{16}  2d    1    9  -1   no   yes t-[0-9]+ +[0-9a-f]{16} \\(idle\\)",
            r" {23}\|    \|    \|",
            r" {12}RUNNING <--\+    \|    \+--> PIL THREAD",
            r" {11}QUIESCED         \|           9 [0-9a-f]{16}",
            r" {13}EXISTS         \|",
            r" {12}OFFLINE         \+-->  PRI THREAD           PROC",
            " {33} 108 [0-9a-f]{16} sched",
        ],
    ),
    Quoted {
        source: "> 2a101423cc0::findstack",
        given: "::walk cpu | ::walk cpu_dispq | >i",
        typed: "<i::findstack",
        form: &[
            r"stack pointer for thread [0-9a-f]+ \(intr\): [0-9a-f]+",
            r"\[ [0-9a-f]{16} .*\(\) \]",
            "  [0-9a-f]{16} .*",
        ],
        without_stacks: Some(NO_STACK),
    },
    quoted(
        "> mp_cpu_quiesce+0x90::dis",
        "",
        "swtch+0x40::dis",
        &[
            r"swtch\+0x[0-9a-f]+: +[a-z].*",
            r"swtch\+0x[0-9a-f]+: +[a-z].*",
            "...",
            r"swtch\+0x[0-9a-f]+: +[a-z].*",
        ],
    ),
    quoted(
        "> ::cycinfo -v",
        "",
        "::cycinfo -v",
        &[
            "CPU     CYC_CPU   STATE NELEMS        ROOT            FIRE HANDLER",
            "...",
            r" +[0-9]+(  +[0-9]+)* *",
            r" +\|.*",
            r" +\+-+\+-+\+.*",
            "...",
            "         ADDR NDX HEAP LEVL  PEND            FIRE USECINT HANDLER",
            "...",
            "  [0-9a-f]+ +[0-9]+ +[0-9]+ lock +[1-9][0-9]* +[0-9a-f]+   10000 clock",
        ],
    ),
];

#[test]
fn what_the_ticket_of_i1532_types_at_the_hung_machine_is_answered_in_its_form() {
    for target in targets() {
        session("i1532", &["--at", "1s"], &target, HUNG);
    }
}

#[test]
fn what_the_article_types_at_a_healthy_machine_is_answered_in_its_form() {
    for target in targets() {
        session("healthy", &["--at", "100ms"], &target, HEALTHY);
    }
}

#[test]
fn what_the_article_types_at_the_stuck_ecache_scrubber_is_answered_in_its_form() {
    // On KVM it is up to the host whether the burst of interrupts comes at once, and so whether the scrubber is preempted.
    session("b6256245:preempted", &["--at", "2200ms"], &SIMULATED, STUCK);
}

/// Types all of a table at one machine, and at a core of it.
pub(crate) fn session(scenario: &str, at: &[&str], target: &Looked, all: &[Quoted]) {
    let args: Vec<&str> = ["--run", scenario].iter().chain(at).chain(target.args).copied().collect();
    typed_at(scenario, &args, target, all);
    let folder = tempfile::tempdir().expect("a folder for a core");
    let path = folder.path().join("core").display().to_string();
    let written = answer(&args, &format!("::dump {path}"));
    assert!(written.contains(" of memory"), "{written}");
    typed_at(&format!("the core of {scenario}"), &[&path], target, all);
}

/// Types all of a table at what the arguments name.
fn typed_at(scenario: &str, args: &[&str], target: &Looked, all: &[Quoted]) {
    // One process for all: what is quoted follows from what was quoted before. A line of the shell stands between the answers.
    let line = |one: &Quoted| {
        let given = if one.given.is_empty() { String::new() } else { format!("{}\n", one.given) };
        format!("{given}{}\n! echo {MARK}\n", one.typed)
    };
    let answered = answer(args, &all.iter().map(line).collect::<String>());
    let answers: Vec<&str> = answered.split(&format!("{MARK}\n")).collect();
    assert_eq!(answers.len(), all.len() + 1, "{} on {}: {answered}", scenario, target.name);
    for (one, said) in all.iter().zip(answers) {
        let form = one.without_stacks.filter(|_| !target.has_stacks).unwrap_or(one.form);
        let fits = fits(form, &said.lines().collect::<Vec<_>>());
        assert!(
            fits,
            "`{}`, quoted as `{}`, on {}:\n{said}is not of the form\n{}",
            one.typed,
            one.source,
            target.name,
            form.join("\n")
        );
    }
}

/// What stands between two answers.
const MARK: &str = "=-=-=";

/// True if the lines begin with what the patterns say.
fn fits(form: &[&str], lines: &[&str]) -> bool {
    match (form, lines) {
        ([], _) => true,
        (["...", rest @ ..], lines) => (0..=lines.len()).any(|skipped| fits(rest, &lines[skipped..])),
        ([pattern, rest @ ..], [line, more @ ..]) => {
            let pattern = Regex::new(&format!("^{pattern}$")).expect("a pattern");
            pattern.is_match(line) && fits(rest, more)
        }
        (_, []) => false,
    }
}

#[test]
fn form_fits_lines_in_their_order_only() {
    assert!(fits(&["a", "...", "c"], &["a", "b", "c", "d"]));
    assert!(fits(&["a", "...", "b"], &["a", "b"]));
    assert!(
        !fits(&["a", "c"], &["a", "b", "c"]) && !fits(&["b", "...", "a"], &["a", "b"]) && !fits(&["a"], &[])
    );
}
