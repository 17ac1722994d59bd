//! The scenarios that are part of the program: everything in `scenarios/`.
//!
//! # Invariants
//! - A built-in scenario's ID is its file's name; a test checks it, and that each loads.
//! - Dispatcher tables that built-in scenarios name are built in as well: `scenarios/tables/`.
//! - Mutants' scenarios show that a monitor can fail; `umpire run` without an ID leaves them out.

use super::error::ScenarioError;
use super::file::Scenario;

/// One scenario of the built-in set.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its ID, and the name of its file.
    pub id: &'static str,
    /// Whether it runs a kernel that is broken on purpose.
    pub is_mutant: bool,
    /// Its file's text.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($folder:literal $id:literal $is_mutant:literal;)*) => {
        /// Every built-in scenario, in the order in which they are listed and run.
        pub const BUILTIN: &[Builtin] = &[$(Builtin {
            id: $id,
            is_mutant: $is_mutant,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/", $folder, $id, ".toml")),
        }),*];
    };
}

builtin! {
    "" "i1532" false;
    "" "healthy" false;
    "" "stuck_clock" false;
    "" "i1532_pageout" false;
    "" "i7232" false;
    "" "stream_chain" false;
    "" "stream_rt" false;
    "" "stream_full" false;
    "" "stream_storm" false;
    "" "stream_qprocsoff" false;
    "" "stream_mux" false;
    "" "stream_tl" false;
    "" "stream_services" false;
    "" "stream_fragments" false;
    "" "stream_strand" false;
    "" "srs_polling" false;
    "" "srs_backpressure" false;
    "" "squeue_drain" false;
    "" "hz100_hz1000" false;
    "" "crowd" false;
    "" "i1532_kpq" false;
    "" "i7232_sdc" false;
    "" "nopreempt_loop" false;
    "" "pil11_loop" false;
    "" "nosteal" false;
    "" "lone_preempted" false;
    "" "clock_plock" false;
    "" "b6655821" false;
    "" "i6641" false;
    "" "b6256245" false;
    "" "interrupt_storm" false;
    "" "intr_pi" false;
    "" "softcall" false;
    "" "callout_dependency" false;
    "" "taskq_dependency" false;
    "" "taskq_front" false;
    "" "taskq_life" false;
    "" "taskq_throttle" false;
    "" "taskq_slow" false;
    "" "taskq_kinds" false;
    "" "kmem_pressure" false;
    "" "timers" false;
    "" "zfs_pageout" false;
    "" "zfs_pageout_deadman" false;
    "" "pause_latency" false;
    "" "offline_bound" false;
    "" "nomigrate_inmotion" false;
    "" "offline_clock" false;
    "" "offline_quiesced" false;
    "" "offline_online" false;
    "" "psets" false;
    "" "cmt_spread" false;
    "" "lgroups" false;
    "" "level_15" false;
    "" "i5029" false;
    "" "fss_shares" false;
    "" "fss_history" false;
    "" "fss_zero_shares" false;
    "" "cpu_caps" false;
    "" "capped_for_ever" false;
    "" "zone_cap" false;
    "" "ts_starvation_relief" false;
    "" "ia_focus" false;
    "" "fx_60_over_59" false;
    "" "rt_hog" false;
    "" "rt_rescue" false;
    "" "console_masked" false;
    "" "priocntl_edges" false;
    "" "quanta" false;
    "" "sdc_duty_cycle" false;
    "" "sdc_behind_system" false;
    "" "i1517" false;
    "" "requeue_hides_wait" false;
    "" "pi_inversion" false;
    "" "pi_chain" false;
    "" "pi_gaps" false;
    "" "deadlock" false;
    "" "equal_no_poke" false;
    "" "fifo_equals" false;
    "" "kpq_front" false;
    "" "pi_release" false;
    "" "owed_at_once" false;
    "" "thundering_herd" false;
    "" "adaptive_spin" false;
    "" "spin_held" false;
    "" "rwlock_starvewriter" false;
    "" "clock_tick_threads" false;
    "" "b6915132" false;
    "mutants/" "taskq_no_signal" true;
    "mutants/" "kmem_forgets" true;
    "mutants/" "memory_unsignalled" true;
    "mutants/" "unwanted_room" true;
    "mutants/" "no_last_look" true;
    "mutants/" "sqbkgrnd_asleep" true;
    "mutants/" "put_not_excl" true;
    "mutants/" "drain_early" true;
    "mutants/" "forgets_parked" true;
    "mutants/" "pull_short" true;
    "mutants/" "put_stack_unheeded" true;
    "mutants/" "link_late_guard" true;
    "mutants/" "lost_kprunrun" true;
    "mutants/" "clock_stops" true;
    "mutants/" "stale_maxrunpri" true;
    "mutants/" "skewed_nrunnable" true;
    "mutants/" "wrong_qactmap" true;
    "mutants/" "unasked_kp" true;
    "mutants/" "deaf_return" true;
    "mutants/" "borrowed_dispthread" true;
    "mutants/" "lost_wakeup" true;
    "mutants/" "lost_softint" true;
    "mutants/" "halt_before_publish" true;
    "mutants/" "no_steal_barrier" true;
    "mutants/" "no_ratify" true;
    "mutants/" "blinded_idle" true;
    "mutants/" "ts_no_lwait" true;
    "mutants/" "fss_ignores_shares" true;
    "mutants/" "sdc_never_sinks" true;
    "mutants/" "no_inherit" true;
    "mutants/" "waive_keeps" true;
    "mutants/" "high_loan" true;
    "mutants/" "waive_drops_all" true;
    "mutants/" "clock_stays" true;
    "mutants/" "leaf_only" true;
    "mutants/" "stranded_queue" true;
    "mutants/" "lost_tick_softint" true;
    "mutants/" "stale_waitrq" true;
    "mutants/" "restamped_wait" true;
    "mutants/" "unlocked_lockp" true;
    "mutants/" "sdc_lost_sleeper" true;
    "mutants/" "weak_forgotten" true;
    "mutants/" "stuck_level" true;
    "mutants/" "lost_timer" true;
    "mutants/" "lifo_level" true;
    "mutants/" "second_first" true;
    "mutants/" "ratify_to_back" true;
    "mutants/" "bound_anywhere" true;
    "mutants/" "weak_overruled" true;
    "mutants/" "pset_unheeded" true;
    "mutants/" "late_tick" true;
    "mutants/" "uncharged_intr" true;
    "mutants/" "lost_wait_cpu" true;
    "mutants/" "kept_spin" true;
    "mutants/" "blind_spin" true;
    "mutants/" "wake_all" true;
    "mutants/" "asks_again" true;
}

macro_rules! tables {
    ($($name:literal;)*) => {
        /// Every built-in dispatcher table: its name in a built-in scenario, and its text.
        const TABLES: &[(&str, &str)] = &[$(
            ($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/", $name)))
        ),*];
    };
}

tables! {
    "tables/TS.tbl";
    "tables/TS_no_relief.tbl";
}

/// The text of a built-in dispatcher table.
pub(super) fn table(name: &str) -> Option<&'static str> {
    TABLES.iter().find(|(builtin, _)| *builtin == name).map(|(_, text)| *text)
}

impl Builtin {
    /// The scenario.
    ///
    /// # Errors
    /// Never, as a test shows; the type is that of every other scenario.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let folder = if self.is_mutant { "scenarios/mutants/" } else { "scenarios/" };
        let mut scenario = Scenario::builtin(self.text, &format!("{folder}{}.toml", self.id))?;
        scenario.origin = self.id.into();
        Ok(scenario)
    }
}

/// The built-in scenario of this ID.
pub fn find(id: &str) -> Option<&'static Builtin> {
    BUILTIN.iter().find(|builtin| builtin.id == id)
}

#[cfg(test)]
mod tests {
    use umpire_shared::mutant::{MUTANTS, Set, ShownBy};
    use umpire_shared::program::{Program, class};

    use super::*;
    use crate::{Expect, Tracing, dispadmin};

    #[test]
    fn every_builtin_loads_encodes_and_decodes() {
        for builtin in BUILTIN {
            let scenario = builtin.scenario().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.id, builtin.id);
            for variant in &scenario.variants {
                let bytes = variant.program(&scenario, Tracing::Off);
                let program = Program::decode(&bytes).expect("what was encoded decodes");
                assert_eq!(program.header().tunables, variant.tunables);
                assert_eq!(program.header().mutants, variant.mutants);
                assert!(program.threads().eq(variant.threads.iter().copied()));
                assert!(program.interrupts().eq(variant.interrupts.iter().copied()));
            }
        }
    }

    #[test]
    fn every_mutant_has_a_scenario_whose_monitor_catches_it() {
        for mutant in MUTANTS {
            let ShownBy::Monitor(monitor) = mutant.shown_by else { continue };
            let scenario =
                find(mutant.name).expect("a scenario a mutant").scenario().unwrap_or_else(|e| panic!("{e}"));
            let on = |expect| scenario.variants.iter().find(|v| v.expect == expect).map(|v| v.mutants);
            assert_eq!(on(Expect::Held), Some(Set::NONE), "{}", mutant.name);
            assert_eq!(on(Expect::Violated), Some(mutant.id.into()), "{}", mutant.name);
            assert!(scenario.bounds.iter().any(|b| b.monitor.name() == monitor), "{}", mutant.name);
        }
    }

    #[test]
    fn every_mutant_that_a_scenario_shows_is_in_a_variant_of_it_and_not_in_another() {
        for mutant in MUTANTS {
            let ShownBy::Scenario(id) = mutant.shown_by else { continue };
            let scenario = find(id).unwrap_or_else(|| panic!("{} has no scenario", mutant.name));
            let scenario = scenario.scenario().unwrap_or_else(|e| panic!("{e}"));
            for set in [Set::NONE, mutant.id.into()] {
                assert!(scenario.variants.iter().any(|v| v.mutants == set), "{}: {set:?}", mutant.name);
            }
        }
    }

    #[test]
    fn every_scenario_file_is_built_in() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        for folder in [folder.clone(), folder.join("mutants")] {
            for entry in std::fs::read_dir(&folder).expect("the folder of scenarios").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Some(id) = name.strip_suffix(".toml") else { continue };
                assert!(find(id).is_some(), "{name} is not in the table of built-in scenarios");
            }
        }
    }

    #[test]
    fn every_table_is_built_in_and_is_one() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/tables");
        for entry in std::fs::read_dir(folder).expect("the folder of tables").flatten() {
            let name = format!("tables/{}", entry.file_name().to_string_lossy());
            let text =
                table(&name).unwrap_or_else(|| panic!("{name} is not in the table of built-in tables"));
            let class = class::NAMES.iter().position(|class| name.starts_with(&format!("tables/{class}")));
            let class = class.unwrap_or_else(|| panic!("{name} does not begin with its class")) as u32;
            dispadmin::read(class, text).unwrap_or_else(|slip| panic!("{name}: {slip:?}"));
        }
    }
}
