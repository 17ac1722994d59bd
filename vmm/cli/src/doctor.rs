//! `umpire doctor`: is there a usable KVM, what kind, how many CPUs has the host, how noisy is it, what does a run give up, what to do.
//!
//! # Invariants
//! - Each check says what was found, and, unless it is fine, what to do.
//! - Only what makes a run impossible is a failure; what makes it doubtful is a warning.

use std::io;
use std::time::{Duration, Instant};

use super::confine;
use super::exit::Exit;
use super::streams::Streams;
use umpire_machine::confine::{Filter, Role, filter_of};
use umpire_machine::host::{API_VERSION, Host, HostKind};
use umpire_rows::number::rounded;
use umpire_rows::{Column, Kind, Table, Tone, json, text};

/// How long the host's noise is measured.
const SPIN: Duration = Duration::from_millis(300);
/// Share of the spin, in percent, that the host may keep a thread waiting without a warning.
const STEAL_PERCENT: u64 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Fine,
    Warning,
    Failed,
}

struct Check {
    name: &'static str,
    status: Status,
    found: String,
    advice: Option<String>,
}

fn table() -> Table<Check> {
    Table::new(
        "umpire.doctor/1",
        vec![
            Column::new("check", Kind::Text, |c: &Check| c.name).titled("CHECK", 9),
            Column::new("status", Kind::State, |c: &Check| c.status.as_str())
                .titled("STATUS", 7)
                .toned(|c: &Check| c.status.tone()),
            Column::new("found", Kind::Text, |c: &Check| c.found.clone()).titled("FOUND", 100),
            // Advice may be long: people see it below the row, where nothing cuts it.
            Column::new("advice", Kind::Text, |c: &Check| c.advice.clone()),
        ],
    )
}

/// Looks at the host and says what it finds.
pub(super) fn doctor(as_json: bool, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let table = table();
    if !as_json {
        streams.line(&text::header(&table, None))?;
    }
    let mut exit = Exit::Pass;
    let looks: [fn() -> Vec<Check>; 4] = [|| vec![kvm()], || vec![cpus()], || vec![noise()], given_up];
    for look in looks {
        streams.progress("looking ...");
        for check in look() {
            if check.status == Status::Failed {
                exit = Exit::Usage;
            }
            if as_json {
                streams.line(&json::line(&table, &check))?;
                continue;
            }
            streams.line(&text::row(&table, None, &check))?;
            if let Some(advice) = &check.advice {
                streams.line(&format!("    what to do: {advice}"))?;
            }
        }
    }
    Ok(exit)
}

/// The host in a few words, for tables of measurements.
pub(super) fn host_name() -> String {
    let kind =
        Host::probe().map_or_else(|_| "no KVM".to_owned(), |host| format!("KVM {}", host.kind().name()));
    format!("{kind}, {} CPUs", host_cpus())
}

fn kvm() -> Check {
    match Host::probe() {
        Ok(host) => {
            let what = match host.kind() {
                HostKind::Pvm => "software KVM, a guest's ring 0 emulated, ring 3 at full speed",
                HostKind::Vmx => "Intel VT-x",
                HostKind::Svm => "AMD-V",
                HostKind::Unknown => "of a kind that /sys/module does not tell",
            };
            let found =
                format!("{}: {what}; API {API_VERSION}; up to {} CPUs", host.kind(), host.max_vcpus());
            Check { name: "/dev/kvm", status: Status::Fine, found, advice: None }
        }
        Err(e) => Check {
            name: "/dev/kvm",
            status: Status::Failed,
            found: "not usable".to_owned(),
            advice: Some(e.to_string()),
        },
    }
}

fn cpus() -> Check {
    let cpus = host_cpus();
    let found = format!("{cpus} host CPUs for this process");
    let advice = "a machine of 2 CPUs and the sampler share one CPU: expect inconclusive runs, or use --sim";
    match cpus {
        1 => Check { name: "cpus", status: Status::Warning, found, advice: Some(advice.to_owned()) },
        _ => Check { name: "cpus", status: Status::Fine, found, advice: None },
    }
}

/// What a run gives up here before its guest starts: a thread gives it up, and tells.
fn given_up() -> Vec<Check> {
    let Ok((landlock, confined)) = std::thread::spawn(confine::as_a_run).join() else { return Vec::new() };
    let fine = |name, found| Check { name, status: Status::Fine, found, advice: None };
    let warning = |name, found: &str, advice: &str| {
        let (found, advice) = (found.to_owned(), Some(advice.to_owned()));
        Check { name, status: Status::Warning, found, advice }
    };
    let rights = match (confined.no_new_privs, confined.capabilities) {
        (true, Some(0)) => fine("rights", "no_new_privs, no capabilities".to_owned()),
        (true, Some(_)) => fine(
            "rights",
            "no_new_privs, no capabilities but those over files; threads that see the guest have none"
                .to_owned(),
        ),
        (true, None) => {
            warning("rights", "no_new_privs", "the host does not say which capabilities are left")
        }
        (false, _) => warning("rights", "no_new_privs is refused", "use a host kernel of 5.10 or newer"),
    };
    let seccomp = match confined.filter {
        Filter::Off => warning(
            "seccomp",
            "off",
            "UMPIRE_NO_SECCOMP is set: threads may make every system call; unset it",
        ),
        Filter::Failed(why) => warning(
            "seccomp",
            &format!("not to be had: {why}"),
            "use a host kernel with CONFIG_SECCOMP_FILTER",
        ),
        _ => {
            let [main, sampler, vcpu] = [Role::Main, Role::Sampler, Role::Vcpu].map(filter_of);
            fine("seccomp", format!("main: {main}; sampler: {sampler}; vcpu: {vcpu}"))
        }
    };
    let no_landlock = "nothing but file modes keeps a run from writing elsewhere; use a host kernel with landlock among its LSMs";
    let landlock = match landlock {
        Ok(Some(what)) => fine(
            "landlock",
            format!("{what}: writes only where the arguments say, runs no program, no network"),
        ),
        Ok(None) => warning("landlock", "this kernel has none", no_landlock),
        Err(why) => warning("landlock", &format!("refused: {why}"), no_landlock),
    };
    let cores =
        fine("cores", "core dumps of umpire hold no guest memory; --core-on and ::dump write it".to_owned());
    vec![rights, seccomp, landlock, cores]
}

/// One thread a host CPU spins for a while, as the vCPUs would; how long did the host keep them waiting?
fn noise() -> Check {
    let spinners: Vec<_> = (0..host_cpus().min(16)).map(|_| std::thread::spawn(spin)).collect();
    let spins: Vec<Spin> = spinners.into_iter().filter_map(|spinner| spinner.join().ok()).collect();
    let wall: u64 = spins.iter().map(|spin| spin.wall_ns).sum();
    let waited: Option<u64> = spins.iter().map(|spin| spin.waited_ns).sum();
    let pause = spins.iter().map(|spin| spin.longest_pause_ns).max().unwrap_or(0);
    let Some(waited) = waited else {
        let advice = "the host has no /proc/thread-self/schedstat: steal cannot be told from starvation by it; use a kernel \
                      with CONFIG_SCHED_INFO";
        let found = format!("longest pause {}", rounded(pause));
        return Check { name: "noise", status: Status::Warning, found, advice: Some(advice.to_owned()) };
    };
    let percent = waited.saturating_mul(100) / wall.max(1);
    let found = format!(
        "steal {percent}% ({} of {}), longest pause {}",
        rounded(waited),
        rounded(wall),
        rounded(pause)
    );
    if percent < STEAL_PERCENT {
        return Check { name: "noise", status: Status::Fine, found, advice: None };
    }
    let advice = "other work takes the CPUs: stop it, or expect inconclusive runs; --sim is not affected";
    Check { name: "noise", status: Status::Warning, found, advice: Some(advice.to_owned()) }
}

struct Spin {
    wall_ns: u64,
    waited_ns: Option<u64>,
    longest_pause_ns: u64,
}

fn spin() -> Spin {
    let before = run_delay_ns();
    let start = Instant::now();
    let mut last = start;
    let mut longest = Duration::ZERO;
    while last - start < SPIN {
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    let waited_ns = before.zip(run_delay_ns()).map(|(before, after)| after.saturating_sub(before));
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Spin { wall_ns: ns(last - start), waited_ns, longest_pause_ns: ns(longest) }
}

/// How long this thread has been runnable without running, in ns, as far as the host tells.
fn run_delay_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().nth(1)?.parse().ok()
}

fn host_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Status::Fine => "ok",
            Status::Warning => "warning",
            Status::Failed => "failed",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Status::Fine => Tone::Good,
            Status::Warning => Tone::Doubtful,
            Status::Failed => Tone::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_a_check_says_null_where_there_is_no_advice() {
        let check =
            Check { name: "cpus", status: Status::Fine, found: "2 host CPUs".to_owned(), advice: None };
        let expected = r#"{"schema":"umpire.doctor/1","check":"cpus","status":"ok","found":"2 host CPUs","advice":null}"#;
        assert_eq!(json::line(&table(), &check), expected);
        assert_eq!(table().faults(), [""; 0]);
    }
}
