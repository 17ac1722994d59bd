//! `[[thread]]` tables, and what a variant changes in them, turned into thread records.
//!
//! # Invariants
//! - A record that leaves here keeps the kernel's rules: priorities fit the class, the CPU exists, the name fits.
//! - `count` threads share all but the name.

use umpire_shared::program::{Thread, class};
use umpire_shared::{MAX_THREADS, NAME_LEN, pack_name};

use super::error::Fault;
use super::field::{Fields, Value};
use super::work::{self, Cast};

/// Bytes that a thread's or interrupt's name may have; the kernel's record ends with a NUL.
pub const THREAD_NAME_MAX: usize = NAME_LEN - 1;

/// Priorities of each class, by class number: SYS, TS.
const PRIORITIES: [(i64, i64); 2] = [(60, 99), (0, 59)];
/// Fields of a thread that a variant may change.
const CHANGEABLE: [&str; 5] = ["class", "pri", "cpu", "lwp", "work"];

/// One `[[thread]]` table as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Draft<'t> {
    /// Its name in the file.
    pub name: &'t str,
    /// How many threads it stands for, if it says so; they are then numbered.
    count: Option<usize>,
    class: Value<'t>,
    pri: Value<'t>,
    cpu: Option<Value<'t>>,
    lwp: Option<Value<'t>>,
    work: Value<'t>,
}

impl<'t> Draft<'t> {
    /// Reads a `[[thread]]` table, without looking at what names refer to.
    pub fn read(value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let keys = ["name", "class", "pri", "cpu", "count", "lwp", "work"];
        let fields = value.table("[[thread]]", &keys)?;
        let count = match fields.get("count") {
            Some(count) => Some(count.number(1, MAX_THREADS as i64)? as usize),
            None => None,
        };
        let draft = Draft {
            name: name(&fields)?,
            count,
            class: fields.need("class", "\"TS\"")?,
            pri: fields.need("pri", "59")?,
            cpu: fields.get("cpu"),
            lwp: fields.get("lwp"),
            work: fields.need("work", "\"spin\"")?,
        };
        let longest = count.map_or_else(String::new, |count| format!("{}/{}", draft.name, count - 1));
        if longest.len() > THREAD_NAME_MAX {
            let message =
                format!("`{longest}` is too long for a thread's name: at most {THREAD_NAME_MAX} bytes");
            return Err(fields.need("name", "\"worker\"")?.fault(message));
        }
        Ok(draft)
    }

    /// How many threads it stands for.
    pub fn len(&self) -> usize {
        self.count.unwrap_or(1)
    }

    /// The names of the threads it stands for.
    pub fn names(&self) -> Vec<String> {
        match self.count {
            None => vec![self.name.to_owned()],
            Some(count) => (0..count).map(|n| format!("{}/{n}", self.name)).collect(),
        }
    }

    /// The same threads with what a variant's `thread."name" = { ... }` changes.
    pub fn changed(&self, value: &Value<'t>) -> Result<Draft<'t>, Box<Fault>> {
        let fields = value.table("a variant's thread", &CHANGEABLE)?;
        let or = |key: &str, old: &Value<'t>| fields.get(key).unwrap_or_else(|| old.clone());
        Ok(Draft {
            name: self.name,
            count: self.count,
            class: or("class", &self.class),
            pri: or("pri", &self.pri),
            cpu: fields.get("cpu").or_else(|| self.cpu.clone()),
            lwp: fields.get("lwp").or_else(|| self.lwp.clone()),
            work: or("work", &self.work),
        })
    }

    fn record(&self, cast: &Cast) -> Result<Thread, Box<Fault>> {
        let class_number = self.class.word("class", class::NAMES)?;
        let (min, max) = PRIORITIES[class_number];
        let pri = self.pri.number(min, max).map_err(|fault| {
            fault.help(format!("class {} has priorities {min} to {max}", class::NAMES[class_number]))
        })?;
        let cpu = match &self.cpu {
            Some(cpu) => cpu.number(0, i64::from(cast.cpus) - 1).map_err(|fault| {
                fault.help(format!("the scenario has {} CPUs, counted from 0", cast.cpus))
            })?,
            None => -1,
        };
        let lwp = match &self.lwp {
            Some(lwp) => lwp.boolean()?,
            None => class_number == class::TS as usize,
        };
        let (work, args) = work::read(&self.work, cast)?;
        Ok(Thread {
            name: pack_name(self.name),
            class: class_number as u32,
            pri: pri as i32,
            cpu: cpu as i32,
            lwp,
            work: work as u32,
            args,
        })
    }
}

/// The records of all threads, in the order of the file.
pub(super) fn records(drafts: &[Draft<'_>], cast: &Cast) -> Result<Vec<Thread>, Box<Fault>> {
    let mut records = Vec::with_capacity(cast.threads.len());
    let mut origins = Vec::with_capacity(cast.threads.len());
    for draft in drafts {
        let record = draft.record(cast)?;
        for name in draft.names() {
            records.push(Thread { name: pack_name(&name), ..record });
            origins.push(draft);
        }
    }
    for (me, draft) in origins.iter().enumerate() {
        if let Some(misfit) = work::misfit(me, &records) {
            return Err(draft.work.fault(misfit));
        }
    }
    Ok(records)
}

/// The `name` of a thread or interrupt: printable ASCII that fits a name record.
pub(super) fn name<'t>(fields: &Fields<'t>) -> Result<&'t str, Box<Fault>> {
    let value = fields.need("name", "\"worker\"")?;
    let name = value.string()?;
    if name.is_empty() || name.len() > THREAD_NAME_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("a name has 1 to {THREAD_NAME_MAX} printable ASCII characters and no blanks");
        return Err(value.fault(message));
    }
    Ok(name)
}
