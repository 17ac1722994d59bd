//! `umpire ps`: the VMs of this user that run; `umpire image`: what runs in them, for other debuggers.
//!
//! # Invariants
//! - What is listed has answered just now, or is said not to answer; the name of a process that is gone is taken away.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use umpire_machine::GUEST_IMAGE;
use umpire_reach::client::Connected;
use umpire_reach::names::Directory;
use umpire_reach::wire::Welcome;
use umpire_rows::{Column, Kind, Table, json, text};

use super::exit::Exit;
use super::streams::Streams;

/// The schema of a row.
const SCHEMA: &str = "umpire.ps/1";

/// Lists them, as text or as JSON lines.
pub(super) fn ps(is_json: bool, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let found = Directory::of_user().and_then(|directory| directory.names().map(|names| (directory, names)));
    let (directory, names) = match found {
        Ok(found) => found,
        Err(e) => {
            streams.say(&format!("umpire: {e}"));
            return Ok(Exit::Usage);
        }
    };
    let mut all = Vec::new();
    for name in names {
        match Connected::to(&directory, &name, false) {
            Ok(connected) => all.push(connected.welcome().clone()),
            // It has ended meanwhile.
            Err(umpire_reach::AttachError::NoSuchName { .. }) => {}
            Err(error) => streams.say(&format!("umpire: {error}")),
        }
    }
    let width = all.iter().map(|vm| vm.name.len()).max().unwrap_or(0).max(4);
    let table = table(width);
    if !is_json {
        let header = text::header(&table, streams.width);
        streams.line(&header)?;
    }
    for vm in &all {
        let line = if is_json { json::line(&table, vm) } else { text::row(&table, streams.width, vm) };
        streams.line(&line)?;
    }
    Ok(Exit::Pass)
}

/// Writes the guest's image into a file that is not there yet.
pub(super) fn image(file: &Path, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let written = File::create_new(file).and_then(|mut out| out.write_all(&GUEST_IMAGE));
    if let Err(e) = written {
        streams.say(&format!(
            "umpire: cannot write the guest's image to {}: {e}; give another path",
            file.display()
        ));
        return Ok(Exit::Usage);
    }
    Ok(Exit::Pass)
}

/// Whether its CPUs run.
fn state(vm: &Welcome) -> String {
    let running = vm.held.iter().filter(|held| !**held).count();
    match (vm.is_held, vm.held.len()) {
        (true, _) => "held".to_owned(),
        (false, all) if running < all => format!("held, {running} of {all} run"),
        _ => "running".to_owned(),
    }
}

fn table(width: usize) -> Table<Welcome> {
    Table::new(
        SCHEMA,
        vec![
            Column::new("name", Kind::Text, |vm: &Welcome| vm.name.clone()).titled("NAME", width),
            Column::new("pid", Kind::Count, |vm: &Welcome| u64::from(vm.pid)).titled("PID", 7),
            Column::new("scenario", Kind::Text, |vm: &Welcome| vm.identity.scenario.clone())
                .titled("SCENARIO", 20),
            Column::new("variant", Kind::Text, |vm: &Welcome| vm.identity.variant.clone())
                .titled("VARIANT", 20),
            Column::new("cpus", Kind::Count, |vm: &Welcome| u64::from(vm.identity.cpus)).titled("CPUS", 4),
            Column::new("state", Kind::Text, state).titled("STATE", 16),
            Column::new("age_ns", Kind::Ns, |vm: &Welcome| vm.age_ms * 1_000_000).titled("AGE", 6),
            Column::new("kvm", Kind::Text, |vm: &Welcome| vm.kind.clone()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_declared_rightly() {
        assert_eq!(table(8).faults(), [""; 0]);
    }

    #[test]
    fn vm_of_which_some_cpus_are_held_says_how_many_run() {
        let vm = |held: &[bool]| Welcome {
            version: 1,
            name: "vm".to_owned(),
            pid: 1,
            kind: "pvm".to_owned(),
            identity: umpire_watch::glass::Identity::default(),
            build_id: String::new(),
            is_held: held.iter().all(|held| *held),
            held: held.to_vec(),
            age_ms: 0,
            period_ns: 0,
            gdb: None,
        };
        assert_eq!(state(&vm(&[false, false])), "running");
        assert_eq!(state(&vm(&[true, false, true, true])), "held, 1 of 4 run");
        assert_eq!(state(&vm(&[true, true])), "held");
    }
}
