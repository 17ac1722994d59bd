//! `[[stream]]` tables, and what a variant changes in them, turned into records of streams.
//!
//! # Invariants
//! - A record that leaves here names modules and drivers that the kernel has, no more of them than a stream may have, and marks of
//!   which the low one is not above the high one.

use umpire_shared::pack_name;
use umpire_shared::program::{MARK_OWN, MAX_MODULES, MAX_STREAMS, Stream};
use umpire_shared::tunable::{self, TUNABLES};
use umpire_shared::work::streams::{DRIVERS, MODULES, PERIMETERS};

use super::error::Fault;
use super::field::{Fields, Value};
use super::layers::Layers;
use super::namespace::at_list;
use super::thread;

/// Keys of a stream.
const KEYS: [&str; 8] =
    ["name", "modules", "driver", "perimeter", "hiwat", "lowat", "module_hiwat", "module_lowat"];
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

    fn record(&self) -> Result<Stream, Box<Fault>> {
        let driver = self.layers.get("driver").map(|v| v.word("driver", DRIVERS)).transpose()?;
        let names: Vec<&str> = PERIMETERS.iter().map(|(name, _)| *name).collect();
        let perimeter = self.layers.get("perimeter").map(|v| v.word("perimeter", &names)).transpose()?;
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
    drafts.iter().map(Draft::record).collect()
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
    use crate::Scenario;

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
    fn mistake_is_told_with_its_place_and_what_was_probably_meant() {
        let said = refused("\"timod\"", "\"timud\"");
        assert!(said.contains("s.toml:8") && said.contains("did you mean `timod`?"), "{said}");
        let said = refused("stream = \"a\"", "stream = \"b\"");
        assert!(said.contains("s.toml:15") && said.contains("unknown stream `b`"), "{said}");
        let said = refused("hiwat = 4096", "hiwat = 1\nlowat = 2");
        assert!(said.contains("`lowat` is above `hiwat`"), "{said}");
        let ten = ["\"pass\""; 10].join(", ");
        let said = refused("[\"timod\", \"udp\"]", &format!("[{ten}]"));
        assert!(said.contains("at most 9 modules (nstrpush), found 10"), "{said}");
    }
}
