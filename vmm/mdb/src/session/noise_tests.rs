//! Every command, at a guest whose memory is noise: answers or errors, no panic and no walk without an end.
//!
//! # Invariants
//! - Compiled for tests only. The noise is drawn from a seed: a failure repeats.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use umpire_machine::memory::GuestMemory;
use umpire_machine::{GUEST_IMAGE, Registers};
use umpire_shared::roster;
use umpire_shared::sys::KERNEL_MAGIC;
use umpire_watch::glass::{
    Ability, AskCpu, Asking, Control, CpuClocks, Identity, Lacks, Layout, Pause, Root, Symbols, Target,
    Verdicts,
};

use super::{Output, Session, Style};
use crate::dcmd::DCMDS;
use crate::image::GuestImage;
use crate::types::{Place, steps};
use crate::view::View;
use crate::walker::WALKERS;

static IMAGE: LazyLock<Arc<GuestImage>> =
    LazyLock::new(|| Arc::new(GuestImage::built_in().expect("invariant: the built-in image can be read")));
static LAYOUT: LazyLock<Arc<Layout>> = LazyLock::new(|| {
    Arc::new(Layout::from_elf(&GUEST_IMAGE).expect("invariant: the built-in image has a layout"))
});

const BASE: u64 = 0x10_0000;
const BYTES: u64 = 0x10_0000;

/// Memory whose words are zeros, small numbers, addresses of other words, or anything; but the root's arenas are where they say.
struct Noise {
    seed: u64,
    fixed: HashMap<u64, u64>,
}

impl Noise {
    fn new(seed: u64) -> Noise {
        let types = IMAGE.types();
        let kernel = types.find("Kernel").expect("a kernel");
        let offset = |path: &str| {
            let mut at = (0, kernel);
            for step in steps(path).expect("a path") {
                let Ok(Place::Inside(by, of)) = types.step(at.1, &step) else { panic!("{path}") };
                at = (at.0 + by, of);
            }
            at.0
        };
        let threads = u64::from(roster::total(2, 3));
        let arenas = [("k_cpus", 0x4000, 2), ("k_threads", 0x1_0000, threads), ("k_parts.parts", 0x3000, 1)];
        let mut fixed = HashMap::from([(BASE + offset("k_magic"), KERNEL_MAGIC)]);
        for (path, at, count) in arenas {
            fixed.insert(BASE + offset(&format!("{path}.data_ptr")), BASE + at);
            fixed.insert(BASE + offset(&format!("{path}.length")), count);
        }
        Noise { seed, fixed }
    }

    fn word(&self, addr: u64) -> u64 {
        if let Some(word) = self.fixed.get(&addr) {
            return *word;
        }
        let mut x = addr ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..3 {
            x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        }
        match x >> 62 {
            0 => 0,
            1 => x & 7,
            2 => BASE + (x & (BYTES - 8)),
            _ => x,
        }
    }
}

impl GuestMemory for Noise {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        let end = addr.checked_add(out.len() as u64);
        if addr < BASE || end.is_none_or(|end| end > BASE + BYTES) {
            return false;
        }
        for (n, byte) in out.iter_mut().enumerate() {
            let at = addr + n as u64;
            *byte = self.word(at & !7).to_le_bytes()[(at & 7) as usize];
        }
        true
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        vec![(BASE, BYTES)]
    }
}

struct Corrupt(Arc<Noise>);

impl Corrupt {
    fn lacks<T>(&self, ability: Ability) -> Result<T, Lacks> {
        Err(Lacks::new(self, ability, "it is noise"))
    }
}

impl Target for Corrupt {
    fn name(&self) -> &str {
        "noise"
    }

    fn identity(&self) -> Identity {
        Identity::default()
    }

    fn memory(&self) -> Arc<dyn GuestMemory> {
        Arc::<Noise>::clone(&self.0)
    }

    fn root(&self) -> Root {
        Root::At(BASE)
    }

    fn layout(&self) -> Arc<Layout> {
        Arc::clone(&LAYOUT)
    }

    fn symbols(&self) -> Result<Arc<Symbols>, Lacks> {
        self.lacks(Ability::Symbols)
    }

    fn clocks(&self) -> Result<&dyn CpuClocks, Lacks> {
        self.lacks(Ability::Clocks)
    }

    fn registers(&self, _cpu: u32) -> Result<Registers, Lacks> {
        self.lacks(Ability::Registers)
    }

    fn asker(&self, _whom: Asking) -> Result<Arc<dyn AskCpu>, Lacks> {
        self.lacks(Ability::Asker)
    }

    fn console(&self) -> Result<String, Lacks> {
        self.lacks(Ability::Console)
    }

    fn pause(&self) -> Result<Pause<'_>, Lacks> {
        Ok(Pause::of_still())
    }

    fn verdicts(&self) -> Result<Verdicts, Lacks> {
        self.lacks(Ability::Verdicts)
    }

    fn control(&self) -> Result<Arc<dyn Control>, Lacks> {
        self.lacks(Ability::Control)
    }
}

/// Runs a line in a session over noise, and says whether it failed.
fn typed(session: &mut Session<'_>, line: &str, style: Style) -> bool {
    let mut out = Vec::new();
    let failed = session.run(line, &mut Output { to: &mut out, style, requires_clean: false });
    if style == Style::Json {
        for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let _: serde_json::Value = serde_json::from_slice(line).expect("a row is a JSON object");
        }
    }
    if let Err(failure) = &failed {
        assert!(!failure.told(line).is_empty());
    }
    failed.is_err()
}

#[test]
fn every_example_of_every_command_ends_whatever_memory_holds() {
    let folder = tempfile::tempdir().expect("a folder for cores");
    let (mut failed, mut lines) = (0, 0);
    for seed in 1..=6 {
        let target = Corrupt(Arc::new(Noise::new(seed)));
        let view = View::new(&target, Arc::clone(&IMAGE));
        let mut session = Session::new(&view, false);
        for dcmd in DCMDS {
            for (line, _) in dcmd.examples.iter().filter(|(line, _)| !line.contains('!')) {
                // A core goes into the folder, not where the test runs.
                let line = match dcmd.name {
                    "dump" => {
                        let options = if line.contains(" -z") { " -z" } else { "" };
                        let file = folder.path().join(format!("{seed}.{lines}.core"));
                        &format!("::dump{options} {}", file.display())
                    }
                    _ => *line,
                };
                failed += u32::from(typed(&mut session, line, Style::Text));
                failed += u32::from(typed(&mut session, line, Style::Json));
                lines += 2;
            }
        }
        for walker in WALKERS {
            for line in
                [format!("::walk {}", walker.name), format!("{:x}::walk {}", BASE + 0x3000, walker.name)]
            {
                failed += u32::from(typed(&mut session, &line, Style::Text));
                lines += 1;
            }
        }
    }
    assert!(0 < failed && failed < lines, "{failed} of {lines} failed: the noise is too much, or none");
}

#[test]
fn every_type_can_be_printed_whatever_memory_holds() {
    let target = Corrupt(Arc::new(Noise::new(7)));
    let view = View::new(&target, Arc::clone(&IMAGE));
    let mut session = Session::new(&view, false);
    for (_, of) in IMAGE.types().iter().filter(|(_, of)| of.krate().starts_with("umpire_") && of.size < 4096)
    {
        let line = format!("{:x}::print -aTh '{}'", BASE + 0x8000, of.path());
        typed(&mut session, &line, Style::Text);
    }
}

#[test]
fn every_text_is_understood_or_refused() {
    let target = Corrupt(Arc::new(Noise::new(3)));
    let view = View::new(&target, Arc::clone(&IMAGE));
    let mut session = Session::new(&view, true);
    let pieces = [
        "1",
        ".",
        "kpreemptpri",
        "<v",
        "(",
        ")",
        "*",
        "%",
        "#",
        "+",
        "::print",
        "::walk cpu",
        "|",
        ",",
        "/",
        "X",
        "=",
        ">v",
        ";",
        "\n",
        "'",
        "\"",
        "$[",
        "]",
        "kthread_t",
        "t_pri",
        " ",
        "::grep",
        "-a",
        "é",
        "//",
        "$c",
        "^",
        "&",
        "0t9",
    ];
    let mut x: u64 = 88172645463325252;
    for _ in 0..4000 {
        let mut text = String::new();
        for _ in 0..9 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            text += pieces[(x % pieces.len() as u64) as usize];
        }
        typed(&mut session, &text, Style::Text);
        session.complete(&text);
    }
}
