//! The `umpire` binary: the one place that knows both the referee and the simulated kernel.
//!
//! # Invariants
//! - Nothing is decided here. The referee (`umpire-referee`) never links the kernel, and the simulator (`umpire-sim`) never
//!   links the referee: this file hands one to the other.

mod simulated;

use std::process::ExitCode;

use umpire_cli::{Backends, Built};
use umpire_machine::signals;
use umpire_referee::{Guest, KvmReferee, SimReferee, bench};

fn main() -> ExitCode {
    if let Err(e) = signals::install() {
        eprintln!("umpire: {e}");
        return ExitCode::from(2);
    }
    // The arguments decide which backend is used, and are not known yet: each backend is made on its first use.
    let mut kvm: Option<KvmReferee> = None;
    let mut sim: Option<SimReferee> = None;
    let new_sim = || SimReferee::new(Guest::start_reading(), Box::new(simulated::build));
    let built = Built { commit: env!("UMPIRE_COMMIT"), target: env!("UMPIRE_TARGET") };
    let backends = Backends {
        kvm: Box::new(move |scenario, variant, options| {
            kvm.get_or_insert_with(|| KvmReferee::new(Guest::start_reading())).run(scenario, variant, options)
        }),
        sim: Box::new(move |scenario, variant, options| {
            sim.get_or_insert_with(new_sim).run(scenario, variant, options)
        }),
        inspect: Box::new(|scenario, variant, options, is_simulated, look| {
            if is_simulated {
                new_sim().run_and_look(scenario, variant, options, look)
            } else {
                KvmReferee::new(Guest::start_reading()).run_and_look(scenario, variant, options, look)
            }
        }),
        bench: Box::new(|wanted, each| {
            let (kvm, sim) = (&mut KvmReferee::new(Guest::start_reading()), &mut new_sim());
            bench::run(wanted, bench::Referees { kvm, sim }, each)
        }),
    };
    umpire_cli::main(built, backends)
}
