//! `[[stream]]` tables, and what a variant changes in them, turned into records of streams.
//!
//! # Invariants
//! - A record that leaves here names modules and drivers that the kernel has, no more of them than a stream may have, and marks of
//!   which the low one is not above the high one.

use umpire_shared::pack_name;
use umpire_shared::program::{MARK_OWN, MAX_LINKS, MAX_MODULES, MAX_STREAMS, Stream, Thread};
use umpire_shared::tunable::{self, TUNABLES};
use umpire_shared::work::streams::{
    BYTES_A_PAIR, DRIVERS, LEAST_MEMORY, MODULES, MUX, PERIMETERS, SINK, Streams, TL,
};
use umpire_shared::work::{Kind, Workload};

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::namespace::at_list;
use super::thread;

/// Keys of a stream.
const KEYS: [&str; 11] = [
    "name",
    "modules",
    "driver",
    "perimeter",
    "hiwat",
    "lowat",
    "module_hiwat",
    "module_lowat",
    "close_time",
    "links",
    "peer",
];
/// ns for which a close waits for each queue, unless the file says otherwise, and at most.
const CLOSE_NS: (u64, u64) = (15_000_000_000, 3_600_000_000_000);
/// Bytes of the highest mark.
const MOST_BYTES: i64 = 16 << 20;
/// Bytes of `strmem` of a scenario with streams that does not give it: for itself, and for each stream.
const MEMORY: (i64, i64) = (128 << 10, 64 << 10);

/// One `[[stream]]` table as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Draft<'t> {
    /// Its name.
    pub name: &'t str,
    layers: Layers<'t>,
}

impl<'t> Draft<'t> {
    /// Reads a `[[stream]]` table.
    pub fn read(value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("[[stream]]", &KEYS)?;
        Ok(Draft { name: thread::name(&fields)?, layers: Layers::of(fields) })
    }

    /// The same stream with what a variant's `stream."name" = { ... }` changes.
    pub fn changed(&self, value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("a variant's stream", &KEYS[1..])?;
        Ok(Draft { name: self.name, layers: self.layers.with(fields) })
    }

    fn record(&self, names: &[&str]) -> Result<Stream, Box<Fault>> {
        let driver = self.layers.get("driver").map(|v| v.word("driver", DRIVERS)).transpose()?;
        let kinds: Vec<&str> = PERIMETERS.iter().map(|(name, _)| *name).collect();
        let perimeter = self.layers.get("perimeter").map(|v| v.word("perimeter", &kinds)).transpose()?;
        let (hiwat, lowat) = self.marks("hiwat", "lowat")?;
        let (module_hiwat, module_lowat) = self.marks("module_hiwat", "module_lowat")?;
        Ok(Stream {
            name: pack_name(self.name),
            driver: driver.unwrap_or(0) as u32,
            modules: self.modules()?,
            perimeter: PERIMETERS[perimeter.unwrap_or(0)].1,
            hiwat,
            lowat,
            module_hiwat,
            module_lowat,
            links: self.links(driver.unwrap_or(0) as u32, names)?,
            peer: self
                .layers
                .optional("peer", |v| v.word("stream", names))?
                .map_or(0, |place| place as u32 + 1),
            close_ns: self
                .layers
                .optional("close_time", |v| v.duration(0, CLOSE_NS.1))?
                .unwrap_or(CLOSE_NS.0),
        })
    }

    fn modules(&self) -> Result<[u32; MAX_MODULES], Box<Fault>> {
        let mut modules = [0; MAX_MODULES];
        let Some(list) = self.layers.get("modules") else { return Ok(modules) };
        let words = list.list()?;
        if words.len() > MAX_MODULES {
            let message =
                format!("a stream has at most {MAX_MODULES} modules (nstrpush), found {}", words.len());
            return Err(list.key_fault(message));
        }
        for (place, word) in modules.iter_mut().zip(&words) {
            *place = word.word("module", MODULES)? as u32 + 1;
        }
        Ok(modules)
    }

    /// The streams that are linked below this one when it is opened.
    fn links(&self, driver: u32, names: &[&str]) -> Result<[u32; MAX_LINKS], Box<Fault>> {
        let mut links = [0; MAX_LINKS];
        let Some(list) = self.layers.get("links") else { return Ok(links) };
        let words = list.list()?;
        if words.len() > MAX_LINKS {
            return Err(
                list.key_fault(format!("at most {MAX_LINKS} streams are linked, found {}", words.len()))
            );
        }
        if driver != MUX && !words.is_empty() {
            let mux = DRIVERS[MUX as usize];
            let message =
                format!("streams are linked below a multiplexor, and the driver of `{}` is none", self.name);
            return Err(list.key_fault(message).help(format!("write: driver = \"{mux}\"")));
        }
        for (n, word) in words.iter().enumerate() {
            let place = word.word("stream", names)?;
            if links[..n].contains(&(place as u32 + 1)) {
                return Err(word.fault(format!("`{}` is linked twice", names[place])));
            }
            links[n] = place as u32 + 1;
        }
        Ok(links)
    }

    /// A pair of marks; the low one follows a high one that is given alone.
    fn marks(&self, high: &str, low: &str) -> Result<(u64, u64), Box<Fault>> {
        let mark = |key: &str| self.layers.optional(key, |v| v.number(0, MOST_BYTES));
        let (hiwat, lowat) = (mark(high)?, mark(low)?);
        if let (Some(hiwat), Some(lowat), Some(at)) = (hiwat, lowat, self.layers.get(low))
            && lowat > hiwat
        {
            let message = format!("`{low}` is above `{high}`: {lowat} bytes, and {hiwat}");
            return Err(at
                .fault(message)
                .help("who waits for room is told when less than the low-water mark is queued"));
        }
        let lowat = lowat.or(hiwat.map(|hiwat| hiwat / 4));
        let word = |mark: Option<i64>| mark.map_or(MARK_OWN, i64::cast_unsigned);
        Ok((word(hiwat), word(lowat)))
    }
}

/// The records of all streams, in the order of the file. `table` is the table that a fault of all of them together points at.
pub(super) fn records(drafts: &[Draft<'_>], table: &Fields<'_>) -> Result<Vec<Stream>, Box<Fault>> {
    if drafts.len() > MAX_STREAMS {
        let message = format!("a scenario has at most {MAX_STREAMS} streams, found {}", drafts.len());
        return Err(at_list(table, "stream", message));
    }
    let names: Vec<&str> = drafts.iter().map(|draft| draft.name).collect();
    let records: Vec<Stream> = drafts.iter().map(|draft| draft.record(&names)).collect::<Result<_, _>>()?;
    for (me, (draft, record)) in drafts.iter().zip(&records).enumerate() {
        if let Some(peer) = draft.layers.get("peer") {
            let is_tl = |place: usize| records[place].driver == TL;
            if !is_tl(me) || !is_tl(record.peer as usize - 1) {
                let message =
                    format!("a peer is another stream over `{}`, and both must be", DRIVERS[TL as usize]);
                return Err(peer.fault(message));
            }
        }
        let Some(list) = draft.layers.get("links") else { continue };
        let shared =
            |lower: &&u32| **lower != 0 && records[..me].iter().any(|other| other.links.contains(lower));
        if let Some(lower) = record.links.iter().find(shared) {
            let message = format!("`{}` is linked below another stream already", names[*lower as usize - 1]);
            return Err(list.key_fault(message));
        }
        let of_mux = |lower: &&u32| **lower != 0 && records[**lower as usize - 1].driver == MUX;
        if let Some(lower) = record.links.iter().find(of_mux) {
            let name = names[*lower as usize - 1];
            let message =
                format!("`{name}` is a stream of the same multiplexor: links would lead in a circle");
            return Err(list.key_fault(message));
        }
    }
    Ok(records)
}

/// Why so much memory is too little for these streams; `None` if it is enough. What is not given is not judged.
pub(super) fn misfit_of_memory(strmem: i64, is_given: bool, streams: &[Stream]) -> Option<String> {
    // A head, the modules, a driver, and one that is pushed.
    let pairs = |stream: &Stream| 3 + stream.modules.iter().filter(|module| **module != 0).count() as u64;
    let least = LEAST_MEMORY.max(streams.iter().map(pairs).sum::<u64>() * BYTES_A_PAIR).cast_signed();
    match strmem {
        _ if !is_given || strmem >= least || strmem == 0 && streams.is_empty() => None,
        0 => Some(format!(
            "`strmem = 0` is a kernel without STREAMS, and the scenario has {} of them",
            streams.len()
        )),
        _ => Some(format!("`strmem` must be at least {least} for {} streams, found {strmem}", streams.len())),
    }
}

/// Why a thread cannot do what it is to with its stream, together with the others; `None` if it can.
pub(super) fn misfit(me: usize, threads: &[Thread], streams: &[Stream]) -> Option<String> {
    let Workload::Streams(Streams::StreamEcho(echo)) = threads.get(me)?.work else { return None };
    let stream = streams.get(echo.stream.0 as usize)?;
    let name = umpire_shared::unpack_name(&stream.name);
    if stream.driver == SINK {
        let sink = DRIVERS[SINK as usize];
        return Some(format!(
            "stream_echo waits for its message to come back, and the driver `{sink}` of `{name}` sends nothing back: use `loop`"
        ));
    }
    let other = threads.iter().enumerate().find(|(n, t)| *n != me && sends_or_reads(t, echo.stream.0))?.1;
    Some(format!(
        "stream_echo sends and reads `{name}` alone, and `{}` uses that too: give it a stream of its own",
        umpire_shared::unpack_name(&other.name)
    ))
}

/// True if a thread puts messages into a stream, or takes them.
fn sends_or_reads(thread: &Thread, stream: u32) -> bool {
    let (_, words) = thread.work.record();
    let params = thread.work.about().params.iter().zip(words);
    let is_of = params
        .into_iter()
        .any(|(param, word)| matches!(param.kind, Kind::Stream) && word == u64::from(stream));
    let only_plumbs = matches!(
        thread.work,
        Workload::Streams(Streams::StreamPlumber(_) | Streams::StreamFreezer(_) | Streams::StreamCloser(_))
    );
    is_of && !only_plumbs
}

/// Gives a kernel with streams memory for messages, if nothing does.
pub(super) fn give_memory(tunables: &mut [i64], streams: usize) {
    let strmem = &mut tunables[tunable::STRMEM];
    if streams != 0 && *strmem == 0 {
        *strmem = (MEMORY.0 + MEMORY.1 * streams as i64).min(TUNABLES[tunable::STRMEM].max);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Overrides, Scenario};

    const FILE: &str = r#"
id = "s"
title = "t"
source = "a test"
run = "1s"
[[stream]]
name = "a"
modules = ["timod", "udp"]
driver = "ip"
hiwat = 4096
[[thread]]
name = "r"
class = "SYS"
pri = 60
work = { stream_read = { stream = "a" } }
[[bound]]
monitor = "deadman"
limit = "1s"
"#;

    fn refused(from: &str, to: &str) -> String {
        let text = FILE.replacen(from, to, 1);
        assert_ne!(text, FILE);
        Scenario::parse(&text, "s.toml").map(|_| ()).expect_err("a file with a mistake").to_string()
    }

    #[test]
    fn stream_is_what_its_table_says() {
        let scenario = Scenario::parse(FILE, "s.toml").expect("a good file");
        let stream = scenario.variants[0].streams[0];
        assert_eq!((stream.driver, stream.modules[..3].to_vec()), (2, vec![5, 6, 0]));
        assert_eq!((stream.hiwat, stream.lowat, stream.perimeter), (4096, 1024, 0));
    }

    #[test]
    fn echo_needs_a_driver_that_answers_and_the_stream_for_itself() {
        let echo = FILE.replace("stream_read", "stream_echo");
        Scenario::parse(&echo, "s.toml").expect("a good file");
        let said = Scenario::parse(&echo.replace("\"ip\"", "\"sink\""), "s.toml").map(|_| ());
        let said = said.expect_err("nothing comes back").to_string();
        assert!(said.contains("s.toml:15") && said.contains("sends nothing back"), "{said}");
        let second = "[[thread]]\nname = \"w\"\nclass = \"SYS\"\npri = 60\nwork = { stream_write = { stream = \"a\" } }\n[[bound]]";
        let said = Scenario::parse(&echo.replace("[[bound]]", second), "s.toml").map(|_| ());
        let said = said.expect_err("two senders").to_string();
        assert!(said.contains("`w` uses that too"), "{said}");
    }

    #[test]
    fn links_are_of_a_multiplexor_to_streams_that_are_not_linked_already_and_lead_to_no_circle() {
        let file = |a: &str, b: &str| {
            let more = format!("[[stream]]\nname = \"b\"\n{b}\n[[stream]]\nname = \"c\"\n[[thread]]");
            FILE.replacen("driver = \"ip\"", a, 1).replacen("[[thread]]", &more, 1)
        };
        let good = file("driver = \"mux\"\nlinks = [\"b\", \"c\"]", "");
        let scenario = Scenario::parse(&good, "s.toml").expect("a good file");
        assert_eq!(scenario.variants[0].streams[0].links, [2, 3, 0, 0]);
        for (a, b, words) in [
            ("driver = \"ip\"\nlinks = [\"b\"]", "", "the driver of `a` is none"),
            ("driver = \"mux\"\nlinks = [\"a\"]", "", "lead in a circle"),
            ("driver = \"mux\"\nlinks = [\"b\", \"b\"]", "", "`b` is linked twice"),
            (
                "driver = \"mux\"\nlinks = [\"c\"]",
                "driver = \"mux\"\nlinks = [\"c\"]",
                "below another stream already",
            ),
            (
                "driver = \"mux\"\nlinks = [\"b\"]",
                "driver = \"mux\"",
                "`b` is a stream of the same multiplexor",
            ),
            ("driver = \"mux\"\nlinks = [\"bb\"]", "", "did you mean `b`?"),
        ] {
            let said =
                Scenario::parse(&file(a, b), "s.toml").map(|_| ()).expect_err("a bad file").to_string();
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn memory_from_the_command_line_is_looked_at_as_well() {
        let with = |text: &str| {
            let settings = vec![text.parse().expect("a good setting")];
            Scenario::parse(FILE, "s.toml")
                .expect("a good file")
                .with(&Overrides { settings, ..Overrides::default() })
        };
        let error = with("strmem=4096").expect_err("too little").to_string();
        assert!(error.contains("at least 32768"), "{error}");
        assert!(with("strmem=0").is_err() && with("strmem=65536").is_ok() && with("hz=1000").is_ok());
    }

    #[test]
    fn mistake_is_told_with_its_place_and_what_was_probably_meant() {
        let said = refused("\"timod\"", "\"timud\"");
        assert!(said.contains("s.toml:8") && said.contains("did you mean `timod`?"), "{said}");
        let said = refused("stream = \"a\"", "stream = \"b\"");
        assert!(said.contains("s.toml:15") && said.contains("unknown stream `b`"), "{said}");
        let said = refused("hiwat = 4096", "hiwat = 1\nlowat = 2");
        assert!(said.contains("`lowat` is above `hiwat`"), "{said}");
        for (memory, words) in
            [(0, "is a kernel without STREAMS"), (1, "must be at least 32768 for 1 streams")]
        {
            let said = refused("run = \"1s\"", &format!("run = \"1s\"\nset = {{ strmem = {memory} }}"));
            assert!(said.contains("s.toml:6") && said.contains(words), "{said}");
        }
        let said = refused("[[stream]]", "[stream]");
        assert!(said.contains("write [[stream]]"), "{said}");
        let ten = ["\"pass\""; 10].join(", ");
        let said = refused("[\"timod\", \"udp\"]", &format!("[{ten}]"));
        assert!(said.contains("at most 9 modules (nstrpush), found 10"), "{said}");
    }
}
