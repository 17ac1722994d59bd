//! How the threads of the receive path fit together: who feeds whom, and whose thread one is.
//!
//! # Invariants
//! - What is refused here would run and do nothing, or lose packets without a word.

use umpire_shared::program::Thread;
use umpire_shared::work::Workload;
use umpire_shared::work::network::{Network, SoftRing, Squeue, SqueuePoll, SrsPoll, SrsWorker};

/// Why thread number `me` cannot be what its record says beside the others; `None` if it can.
pub(super) fn misfit(me: usize, all: &[Thread]) -> Option<String> {
    let of = |n: usize| match all.get(n)?.work {
        Workload::Network(network) => Some(network),
        _ => None,
    };
    let others = || (0..all.len()).filter(|n| *n != me).filter_map(|n| Some((n, of(n)?)));
    let mine = of(me)?;
    let is_alike = |other| match (mine, other) {
        (Network::SrsWorker(mine), Network::SrsWorker(other)) => mine == other,
        (Network::SrsPoll(mine), Network::SrsPoll(other)) => mine == other,
        (Network::SqueuePoll(mine), Network::SqueuePoll(other)) => mine == other,
        _ => false,
    };
    let (lacks, what) = match mine {
        Network::Squeue(_) => return None,
        Network::SoftRing(_) => return goes_round(me, all),
        Network::SrsWorker(SrsWorker { source }) => {
            (lacks_set(source.0, others), "worker of that soft ring set")
        }
        Network::SrsPoll(SrsPoll { source }) => {
            (lacks_set(source.0, others), "poll thread of that soft ring set")
        }
        Network::SqueuePoll(SqueuePoll { squeue }) => {
            let is_ring = |network| matches!(network, Network::SoftRing(SoftRing { sink: Some(sink), .. }) if sink == squeue);
            let is_fed = others().any(|(_, network)| is_ring(network));
            let why = "no soft_ring has that squeue as its sink: there is nothing that it could poll";
            ((!is_fed).then_some(why), "poll thread of that squeue")
        }
    };
    lacks.map(str::to_owned).or_else(|| {
        let (n, _) = others().find(|(n, network)| *n < me && is_alike(*network))?;
        let other = umpire_shared::unpack_name(&all.get(n)?.name);
        Some(format!("`{other}` is the {what} already: there is one"))
    })
}

/// True if packets of this interrupt come to it.
fn feeds_from(network: Network, interrupt: u32) -> bool {
    match network {
        Network::SoftRing(SoftRing { source, .. }) => source.0 == interrupt,
        Network::Squeue(Squeue { source, .. }) => source.is_some_and(|source| source.0 == interrupt),
        _ => false,
    }
}

/// Why an interrupt has no soft ring set, if it has none.
fn lacks_set<I: Iterator<Item = (usize, Network)>>(
    interrupt: u32,
    others: impl Fn() -> I,
) -> Option<&'static str> {
    let why =
        "no soft_ring or squeue names that interrupt: it has no soft ring set whose thread this could be";
    (!others().any(|(_, network)| feeds_from(network, interrupt))).then_some(why)
}

/// Why packets never leave the soft rings that begin with `me`, if that is so.
fn goes_round(me: usize, all: &[Thread]) -> Option<String> {
    let sink = |n: usize| match all.get(n)?.work {
        Workload::Network(Network::SoftRing(SoftRing { sink, .. })) => sink.map(|sink| sink.0 as usize),
        _ => None,
    };
    let mut at = me;
    for _ in all {
        at = sink(at)?;
        // A ring that is its own sink is told by name elsewhere.
        if at == me && sink(me) != Some(me) {
            let why = "its packets would come back to it by the sinks of other soft rings, and never end: one of them must be an squeue";
            return Some(why.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::Scenario;

    /// A scenario with these threads, each a name and its work.
    fn told(threads: &[(&str, &str)]) -> String {
        let mut text = "id = \"n\"\ntitle = \"n\"\nsource = \"a test\"\ncpus = 2\nrun = \"100ms\"\n[[interrupt]]\nname = \"nic0\"\ncpu = 0\npil = 6\nrate_hz = 100\n".to_owned();
        for (name, work) in threads {
            text +=
                &format!("[[thread]]\nname = \"{name}\"\nclass = \"SYS\"\npri = 60\nwork = {{ {work} }}\n");
        }
        text +=
            "[[bound]]\nmonitor = \"runq\"\nlimit = \"0s\"\n[[variant]]\nname = \"it\"\nexpect = \"held\"\n";
        Scenario::parse(&text, "n.toml").map_or_else(|e| e.to_string(), |_| String::new())
    }

    const RING: (&str, &str) = ("ring", "soft_ring = { source = \"nic0\", sink = \"sq\" }");
    const SQ: (&str, &str) = ("sq", "squeue = {}");

    #[test]
    fn threads_of_a_set_and_of_an_squeue_have_one_to_be_of_and_are_alone() {
        let worker = |name| (name, "srs_worker = { source = \"nic0\" }");
        let poll = |name| (name, "srs_poll = { source = \"nic0\" }");
        let squeue_poll = |name| (name, "squeue_poll = { squeue = \"sq\" }");
        assert_eq!(told(&[RING, SQ, worker("w"), poll("p"), squeue_poll("q")]), "");
        for (threads, what) in [
            (&[RING, SQ, worker("w"), worker("v")][..], "`w` is the worker of that soft ring set already"),
            (&[RING, SQ, poll("p"), poll("o")], "`p` is the poll thread of that soft ring set already"),
            (
                &[RING, SQ, squeue_poll("q"), squeue_poll("r")],
                "`q` is the poll thread of that squeue already",
            ),
            (&[SQ, poll("p")], "no soft_ring or squeue names that interrupt"),
            (&[SQ, worker("w")], "no soft_ring or squeue names that interrupt"),
            (&[SQ, squeue_poll("q")], "no soft_ring has that squeue as its sink"),
        ] {
            let said = told(threads);
            assert!(said.contains(what), "{said}");
        }
    }

    #[test]
    fn soft_rings_that_pass_packets_round_are_refused() {
        let round = [
            ("a", "soft_ring = { source = \"nic0\", sink = \"b\" }"),
            ("b", "soft_ring = { source = \"nic0\", sink = \"a\" }"),
        ];
        assert!(told(&round).contains("its packets would come back to it"), "{}", told(&round));
        let line = [("a", "soft_ring = { source = \"nic0\", sink = \"ring\" }"), RING, SQ];
        assert_eq!(told(&line), "");
    }
}
