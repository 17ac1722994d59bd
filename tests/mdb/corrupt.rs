//! Corrupt memory: each walker and each command, at cores in which one word after the other is made wrong.
//!
//! A command is run once over the sound core, and the words that it reads are noted. Then it is run again for some of them: a
//! pointer that leads nowhere, a pointer that leads back to where the walk has been, a length that nothing has.
//!
//! # Invariants
//! - Whatever the word, the command ends, without a panic, and reads no more than [`MOST_READS`] times.
//! - A failure that comes of a pointer to nowhere names where that leads. A list that has lost its end says which link is wrong: the
//!   lists are in a table, and a walker that is neither there nor known to go through an arena fails the test.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use umpire_mdb::dcmd::DCMDS;
use umpire_mdb::image::GuestImage;
use umpire_mdb::session::{Output, Session, Style};
use umpire_mdb::view::View;
use umpire_mdb::walker::WALKERS;
use umpire_watch::glass::Target;

use crate::patched::{Corrupt, Patched, core_of};

/// Reads that a command may make beyond those over sound memory: a list may have 65536 elements, each of which is read twice, in two
/// words.
const MOST_READS: u64 = 1 << 19;
/// Where a broken pointer leads: no memory is there, and no other number looks like it.
const NOWHERE: u64 = 0x6_6666_0000;
/// A length that nothing has.
const HUGE: u64 = 1 << 40;
/// Words that are made wrong, a command and a way.
const TRIES: usize = 6;

/// The machines: scenario, moment.
pub const MACHINES: [(&str, &str); 7] = [
    ("i1532", "300ms"),
    ("deadlock", "50ms"),
    ("taskq_dependency", "50ms"),
    ("callout_dependency", "60ms"),
    ("cpu_caps", "300ms"),
    ("psets", "100ms"),
    ("stream_full", "200ms"),
];

/// What a walker that begins at an address is given.
const BEGINNINGS: &[(&str, &str)] = &[
    ("cpu_dispq", "::walk cpu"),
    ("cpupart_dispq", "::walk cpupart_walk"),
    ("cpupart_cpulist", "::walk cpupart_walk"),
    ("taskq_entry", "::walk taskq_cache"),
    ("wchan", "::walk blocked | ::print kthread_t t_wchan"),
    ("b_cont", "::queue -f QFULL -m timod | ::head -n 1 | ::print queue_t q_first"),
    ("b_next", "::queue -f QFULL -m timod | ::head -n 1 | ::print queue_t q_first"),
    ("qlink", "::stdata -q | ::print stdata_t sd_qhead | ::grep .!=0"),
    ("qnext", "::stdata -q | ::head -n 1 | ::str2wrq"),
    ("readq", "::stdata -q | ::head -n 1"),
    ("sqnext", "::walk syncq | ::print syncq_t sq_head | ::grep .!=0"),
    ("writeq", "::stdata -q | ::head -n 1"),
];

/// A list: the walker, the machine that has one, what gives an element of it, and the type and the member that have the link.
const LISTS: &[(&str, &str, &str, &str)] = &[
    ("cpu_dispq", "i1532", "::walk cpu | ::walk cpu_dispq", "kthread_t t_link"),
    ("sleepq", "callout_dependency", "::walk sleepq", "kthread_t t_link"),
    ("wchan", "callout_dependency", "::walk sleepq", "kthread_t t_link"),
    ("taskq_entry", "taskq_dependency", "::walk taskq_cache | ::walk taskq_entry", "TaskqEnt tqent_next"),
    (
        "b_next",
        "stream_full",
        "::queue -f QFULL -m timod | ::head -n 1 | ::print queue_t q_first | ::walk b_next",
        "mblk_t b_next",
    ),
    (
        "b_cont",
        "stream_full",
        "::queue -f QFULL -m timod | ::head -n 1 | ::print queue_t q_first | ::walk b_cont",
        "mblk_t b_cont",
    ),
    ("qnext", "stream_full", "::stdata -q | ::head -n 1 | ::str2wrq | ::walk qnext", "queue_t q_next"),
    ("writeq", "stream_full", "::stdata -q | ::head -n 1 | ::walk writeq", "queue_t q_next"),
];

/// Lists of STREAMS that are empty when a machine stands still, or that follow the links of another walker backwards: they are walked
/// with a corrupt memory like all others, but no element of theirs is made to lead astray.
const BESIDE: &[&str] = &["qlink", "readq", "sqnext"];

/// Walkers that follow no link: they go through arrays, whose lengths are known. A kp queue is read as a CPU's own.
const ARENAS: &[&str] = &[
    "mblk",
    "queue_cache",
    "stdata",
    "syncq",
    "blocked",
    "callout",
    "callout_table",
    "callouts_byid",
    "callouts_bytime",
    "cpu",
    "cpucap",
    "cpupart_walk",
    "cpupart_cpulist",
    "cpupart_dispq",
    "cyccpu",
    "cycomni",
    "cyctrace",
    "deathrow",
    "kmem_cache",
    "lgrptbl",
    "mac_srs",
    "pg",
    "soft_ring",
    "squeue_cache",
    "taskq_cache",
    "taskq_thread",
    "thread",
    "turnstile",
];

static IMAGE: LazyLock<Arc<GuestImage>> =
    LazyLock::new(|| Arc::new(GuestImage::built_in().expect("invariant: the built-in image can be read")));

/// Types a line: what was printed, and why it failed.
fn typed(target: &dyn Target, line: &str) -> (String, Option<String>) {
    typed_for(target, line, Style::Text, false)
}

/// The same in a style; each line at a new view, as what is known of one moment does not hold for another.
pub fn typed_for(
    target: &dyn Target,
    line: &str,
    style: Style,
    requires_clean: bool,
) -> (String, Option<String>) {
    let view = View::new(target, Arc::clone(&IMAGE));
    let mut out = Vec::new();
    let output = &mut Output { to: &mut out, style, requires_clean };
    let failed = Session::new(&view, false).run(line, output).err().map(|failure| failure.message);
    (String::from_utf8_lossy(&out).into_owned(), failed)
}

/// What a walker is typed as.
fn walk(name: &str) -> String {
    match BEGINNINGS.iter().find(|(walker, _)| *walker == name) {
        Some((_, beginning)) => format!("{beginning} | ::walk {name}"),
        None => format!("::walk {name}"),
    }
}

/// Every walker, and every example of a command that only looks.
pub fn lines() -> Vec<String> {
    let walkers = WALKERS.iter().map(|walker| walk(walker.name));
    let commands = DCMDS.iter().filter(|dcmd| !["dump", "log"].contains(&dcmd.name));
    let examples = commands.flat_map(|dcmd| dcmd.examples).map(|(line, _)| (*line).to_owned());
    walkers.chain(examples.filter(|line| !line.contains('!'))).collect()
}

#[test]
fn every_walker_is_known_to_follow_links_or_none() {
    for walker in WALKERS.iter().filter(|walker| !BESIDE.contains(&walker.name)) {
        let is_list = LISTS.iter().any(|(name, ..)| *name == walker.name);
        assert!(is_list != ARENAS.contains(&walker.name), "{}: a list, or an arena?", walker.name);
        let begins = BEGINNINGS.iter().any(|(name, _)| *name == walker.name);
        assert!(begins || walker.begins_at.is_none(), "{}: where does it begin?", walker.name);
    }
}

#[test]
fn list_whose_link_is_wrong_ends_there_and_the_link_is_named() {
    let folder = tempfile::tempdir().expect("a folder for cores");
    for (walker, scenario, elements, member) in LISTS {
        let (_, at) = MACHINES.iter().find(|(name, _)| name == scenario).expect("a machine");
        let core = core_of(scenario, at, folder.path());
        let target = Corrupt { core: &core, memory: Patched::of(&core) };
        let number = |line: &str| {
            let (shown, failed) = typed(&target, line);
            let number = u64::from_str_radix(shown.trim().trim_start_matches("0x"), 16);
            number.unwrap_or_else(|e| panic!("{walker}: `{line}` gives {shown:?}: {e}, {failed:?}"))
        };
        let element = number(&format!("{elements} | ::head -1"));
        let link = number(&format!("{element:x}::print -a {member} | >link; <link=K"));
        let line = walk(walker);
        let (sound, failed) = typed(&target, &line);
        assert!(failed.is_none() && sound.contains(&format!("{element:#x}")), "{line}: {sound}{failed:?}");
        let wrong =
            [(NOWHERE, format!("leads to {NOWHERE:#x}")), (element, format!("leads back to {element:#x}"))];
        for (to, says) in wrong {
            target.memory.set(Some((link, to)));
            let (shown, failed) = typed(&target, &line);
            let failed =
                failed.unwrap_or_else(|| panic!("{line}, {link:#x} = {to:#x}: no word of it\n{shown}"));
            let is_told = failed.contains(&format!("the list is corrupt: the link of {element:#x} {says}"));
            assert!(is_told, "{line}, {link:#x} = {to:#x}: {failed}");
            assert!(shown.contains(&format!("{element:#x}")), "{line}: what was met stays: {shown}");
            target.memory.set(None);
        }
    }
}

#[test]
fn every_walker_and_every_command_ends_whichever_word_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder for cores");
    let (mut tries, mut failures, mut silent) = (0, 0, Vec::new());
    for (scenario, at) in MACHINES {
        let core = core_of(scenario, at, folder.path());
        let target = Corrupt { core: &core, memory: Patched::of(&core) };
        let ranges = core.memory().ranges();
        let is_pointer = |value: u64| ranges.iter().any(|(from, len)| (*from..from + len).contains(&value));
        for line in lines() {
            *target.memory.seen.lock().expect("no test panics with it") = Some(BTreeMap::new());
            target.memory.set(None);
            let (sound, _) = typed(&target, &line);
            let most = target.memory.reads.load(Ordering::Relaxed) + MOST_READS;
            let seen = target.memory.seen.lock().expect("no test panics with it").take().unwrap_or_default();
            let pointers: Vec<u64> =
                seen.iter().filter(|(_, value)| is_pointer(**value)).map(|(at, _)| *at).collect();
            let first = pointers.first().map_or(NOWHERE, |at| seen[at]);
            let lengths = pointers
                .iter()
                .map(|at| at + 8)
                .filter(|at| seen.get(at).is_some_and(|n| (1..1 << 20).contains(n)));
            let wrong = spread(&pointers).flat_map(|at| [(at, NOWHERE), (at, first)]);
            let lengths: Vec<u64> = lengths.collect();
            let wrong: Vec<(u64, u64)> = wrong.chain(spread(&lengths).map(|at| (at, HUGE))).collect();
            for (at, value) in wrong {
                target.memory.set(Some((at, value)));
                let (_, failed) = typed(&target, &line);
                let reads = target.memory.reads.load(Ordering::Relaxed);
                assert!(reads <= most, "{line} at {scenario}, {at:#x} = {value:#x}: {reads} reads");
                tries += 1;
                let Some(failed) = failed else { continue };
                failures += 1;
                // Where an array is said to lie elsewhere, what leads into it leads to nothing: that is said of where it leads.
                let is_array = lengths.contains(&(at + 8));
                if value == NOWHERE && !failed.contains("0x6666") && !is_array && !sound.is_empty() {
                    silent.push(format!("{line} at {scenario}, {at:#x} led to {:#x}: {failed}", seen[&at]));
                }
            }
            target.memory.set(None);
        }
    }
    assert!(
        failures > 100 && failures < tries,
        "{failures} of {tries} failed: too few words were wrong, or all"
    );
    assert!(silent.is_empty(), "{} failures do not say where it led\n{}", silent.len(), silent.join("\n"));
}

#[test]
fn what_changes_under_the_reader_is_torn_and_an_error_where_clean_is_required() {
    let folder = tempfile::tempdir().expect("a folder for cores");
    let core = core_of("i1532", "300ms", folder.path());
    let target = Corrupt { core: &core, memory: Patched::of(&core) };
    let line = "::walk thread | ::head -1 | ::print kthread_t";
    let said = |style, requires_clean| typed_for(&target, line, style, requires_clean);
    for style in [Style::Text, Style::Json] {
        assert_eq!(said(style, true).1, None, "what stands still is clean");
    }
    let (shown, _) = typed(&target, "::walk thread | ::head -1 | ::print -a kthread_t t_waitrq | >w; <w=K");
    target.memory.stir(u64::from_str_radix(shown.trim(), 16).unwrap_or_else(|e| panic!("{shown}: {e}")));

    let (text, failed) = said(Style::Text, false);
    assert!(
        failed.is_none() && text.ends_with("(torn: the guest changed what was read meanwhile)\n"),
        "{text}"
    );
    let (json, failed) = said(Style::Json, false);
    assert!(failed.is_none() && json.contains("\"verdict\":\"torn\""), "{json}");
    for line in [line.to_owned(), format!("{line} ! cat")] {
        let (shown, failed) = typed_for(&target, &line, Style::Text, true);
        let failed = failed.unwrap_or_else(|| panic!("{line}: torn, and no error: {shown}"));
        assert_eq!(failed, "what was read is torn, and --require clean asks for more");
    }
}

/// Some of these, from the first to the last.
fn spread(all: &[u64]) -> impl Iterator<Item = u64> {
    let step = all.len().div_ceil(TRIES).max(1);
    all.iter().copied().step_by(step)
}
