//! `::cpuinfo -v`: a CPU as mdb would draw it.
//!
//! ```text
//!  ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC
//!   1 ffffff01d3e32580  1f    4    0   0  yes    no t-5    ffffff01d5a600c0 qemu-system-x86_
//!                        |    |
//!             RUNNING <--+    +-->  PRI THREAD           PROC
//!               READY                99 ffffff0007e01c40 sched
//! ```
//!
//! # Invariants
//! - Widths, order and spelling are mdb's (`genunix.c cpuinfo`), so that a reader of the one can read the other.
//! - What could not be read consistently is said below the CPU it belongs to; mdb has no word for that.

use std::fmt::{self, Write};

use crate::glass::{CpuPicture, Picture, QueueRow};
use umpire_shared::sys::cpuvar::flag;

/// Columns left of the blocks for threads: those of ID, ADDR and FLG.
const LEFT: usize = 28;
/// As many blanks: padding by the formatter writes one after the other.
const BLANKS: &str = match str::from_utf8(&[b' '; LEFT]) {
    Ok(blanks) => blanks,
    Err(_) => "",
};
/// Columns to the right end of a flag's name.
const FLAG_NAME: usize = 19;
/// The column of the bar below FLG.
const FLAG_BAR: usize = 23;

/// The CPUs of a picture, each with its header, and the kp queue if it is in the picture.
pub fn cpuinfo(picture: &Picture) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = draw(&mut out, picture);
    out
}

/// One CPU of a picture, with its header.
pub fn cpu(cpu: &CpuPicture) -> String {
    // Its own lines, and one for each that waits.
    let mut out = String::with_capacity(1024 + 64 * cpu.queue.len());
    let _ = one(&mut out, cpu);
    out
}

fn draw(out: &mut String, picture: &Picture) -> fmt::Result {
    for (n, cpu) in picture.cpus.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        one(out, cpu)?;
    }
    if let Some(queue) = &picture.kp_queue {
        kp_queue(out, queue)?;
    }
    Ok(())
}

fn one(out: &mut String, cpu: &CpuPicture) -> fmt::Result {
    out.push_str(HEADER);
    block(out, cpu)?;
    if !cpu.verdict.is_trusted() {
        writeln!(out, "(run queue: {})", cpu.verdict)?;
    }
    Ok(())
}

/// The line above each CPU's row.
const HEADER: &str = " ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC\n";

/// The row of a CPU and what hangs below it.
fn block(out: &mut String, cpu: &CpuPicture) -> fmt::Result {
    row(out, cpu)?;
    let mut left = left_lines(cpu.flags);
    let mut line = |out: &mut String, right: fmt::Arguments<'_>| {
        push_left(out, left.next());
        out.write_fmt(right)?;
        out.truncate(out.trim_end_matches(' ').len());
        out.write_char('\n')
    };
    let queue_bar = if cpu.queue.is_empty() { ' ' } else { '|' };
    if cpu.intr.is_empty() {
        line(out, format_args!("{queue_bar}"))?;
    } else {
        line(out, format_args!("{queue_bar}    |"))?;
        line(out, format_args!("{queue_bar}    +--> PIL THREAD"))?;
        for intr in &cpu.intr {
            line(out, format_args!("{queue_bar}         {:>3} {:016x}", intr.pil, intr.thread))?;
        }
        if let Some(pinned) = &cpu.pinned {
            line(out, format_args!("{queue_bar}           - {:016x} {}", pinned.addr, pinned.proc))?;
        }
        if !cpu.queue.is_empty() {
            line(out, format_args!("|"))?;
        }
    }
    if !cpu.queue.is_empty() {
        line(out, format_args!("+-->  {:>3} {:<16} PROC", "PRI", "THREAD"))?;
        for queued in &cpu.queue {
            push_left(out, left.next());
            push_queued(out, queued);
        }
    }
    for rest in left {
        push_left(out, Some(rest));
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    Ok(())
}

fn row(out: &mut String, cpu: &CpuPicture) -> fmt::Result {
    let yes_no = |flag: bool| if flag { "yes" } else { "no" };
    write!(
        out,
        "{:>3} {:016x} {:>3x} {:>4} {:>4} ",
        cpu.id, cpu.addr, cpu.flags, cpu.nrunnable, cpu.base_spl
    )?;
    match cpu.pri {
        Some(pri) => write!(out, "{pri:>3} ")?,
        None => write!(out, "{:>3} ", "-")?,
    }
    write!(out, "{:>4} {:>5} ", yes_no(cpu.runrun), yes_no(cpu.kprunrun))?;
    write!(out, "t-{:<4} {:016x}", cpu.switch_ticks, cpu.thread)?;
    if cpu.thread == 0 {
        writeln!(out, " -")
    } else if cpu.is_idle {
        writeln!(out, " (idle)")
    } else if cpu.proc.is_empty() {
        writeln!(out, " ?")
    } else {
        writeln!(out, " {}", cpu.proc)
    }
}

/// The rest of the line of a thread that waits. There may be a thousand, so the formatter has no part in it.
fn push_queued(out: &mut String, QueueRow { pri, addr, proc }: &QueueRow) {
    out.push_str("      ");
    push_pri(out, *pri);
    out.push(' ');
    let digits: [u8; 16] =
        std::array::from_fn(|n| b"0123456789abcdef"[(addr >> (60 - 4 * n) & 0xf) as usize]);
    out.push_str(str::from_utf8(&digits).unwrap_or_default());
    out.push(' ');
    out.push_str(proc);
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// As `{pri:>3}`.
fn push_pri(out: &mut String, pri: i16) {
    let digit = |n: i16| char::from(b'0' + (n % 10) as u8);
    match pri {
        0..=9 => out.extend([' ', ' ', digit(pri)]),
        10..=99 => out.extend([' ', digit(pri / 10), digit(pri)]),
        100..=999 => out.extend([digit(pri / 100), digit(pri / 10), digit(pri)]),
        // Only a guest that is broken has such a one. A String takes everything; there is no error to handle.
        _ => drop(write!(out, "{pri:>3}")),
    }
}

/// The lines of the flags' block, each what ends at a column, and what follows: a bar, then a name a line, the first with an arrow to the bar.
fn left_lines(flags: u32) -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    let names = flag::NAMES.shorts(flags.into()).enumerate();
    let name = |(n, name)| (FLAG_NAME, name, if n == 0 { " <--+" } else { "" });
    std::iter::once((FLAG_BAR + 1, "|", "")).chain(names.map(name))
}

/// What stands left of the blocks for threads, filled up to where those begin.
fn push_left(out: &mut String, line: Option<(usize, &str, &str)>) {
    let (ends, name, then) = line.unwrap_or_default();
    let before = ends.saturating_sub(name.len());
    for part in [BLANKS.get(..before).unwrap_or_default(), name, then] {
        out.push_str(part);
    }
    out.push_str(BLANKS.get(before + name.len() + then.len()..).unwrap_or_default());
}

/// The threads of the partition's kp queue, as `::cpupart -v` lists them.
fn kp_queue(out: &mut String, queue: &[QueueRow]) -> fmt::Result {
    writeln!(out)?;
    writeln!(out, "kp queue of the partition, NRUN {}", queue.len())?;
    if queue.is_empty() {
        return Ok(());
    }
    writeln!(out, "  +-->  {:>3} {:<16} PROC", "PRI", "THREAD")?;
    queue
        .iter()
        .try_for_each(|QueueRow { pri, addr, proc }| writeln!(out, "        {pri:>3} {addr:016x} {proc}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::{IntrRow, PinnedRow, Verdict};
    use flag::{ENABLE, EXISTS, QUIESCED, READY, RUNNING};

    fn queued(pri: i16, addr: u64, proc: &str) -> QueueRow {
        QueueRow { pri, addr, proc: proc.into() }
    }

    /// CPU 1 of illumos #1532.
    fn cpu1() -> CpuPicture {
        CpuPicture {
            id: 1,
            addr: 0xffff_ff01_d3e3_2580,
            flags: RUNNING | READY | QUIESCED | EXISTS | ENABLE,
            nrunnable: 4,
            pri: Some(0),
            runrun: true,
            switch_ticks: 6_620_600,
            thread: 0xffff_ff01_d5a6_00c0,
            proc: "qemu-system-x86_".into(),
            queue: vec![
                queued(99, 0xffff_ff00_07e0_1c40, "sched"),
                queued(99, 0xffff_ff00_07e1_fc40, "sched"),
                queued(59, 0xffff_ff01_cfa6_d7c0, "qemu-system-x86_"),
                queued(59, 0xffff_ff01_e35b_43c0, "qemu-system-x86_"),
            ],
            verdict: Verdict::Clean,
            ..CpuPicture::default()
        }
    }

    #[track_caller]
    fn check(cpu: CpuPicture, expect: &str) {
        let drawn = cpuinfo(&Picture { cpus: vec![cpu], ..Picture::default() });
        // A literal that begins with a line break keeps the blanks of its first line.
        assert_eq!(drawn, expect.trim_start_matches('\n'), "\n{drawn}");
    }

    #[test]
    fn cpuinfo_cpu_1_of_1532_is_drawn_as_in_the_report() {
        check(
            cpu1(),
            "
 ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC
  1 ffffff01d3e32580  1f    4    0   0  yes    no t-6620600 ffffff01d5a600c0 qemu-system-x86_
                       |    |
            RUNNING <--+    +-->  PRI THREAD           PROC
              READY                99 ffffff0007e01c40 sched
           QUIESCED                99 ffffff0007e1fc40 sched
             EXISTS                59 ffffff01cfa6d7c0 qemu-system-x86_
             ENABLE                59 ffffff01e35b43c0 qemu-system-x86_
",
        );
    }

    #[test]
    fn push_pri_is_what_the_formatter_makes() {
        for pri in (-20..1200).chain([i16::MIN, i16::MAX]) {
            let mut pushed = String::new();
            push_pri(&mut pushed, pri);
            assert_eq!(pushed, format!("{pri:>3}"));
        }
    }

    #[test]
    fn cpuinfo_interrupt_and_queue_are_drawn_beside_the_flags() {
        let cpu = CpuPicture {
            id: 0,
            addr: 0xffff_ffff_fbc4_86e0,
            flags: RUNNING | READY | EXISTS | ENABLE,
            nrunnable: 1,
            pri: Some(108),
            runrun: false,
            switch_ticks: 0,
            thread: 0xffff_ff00_076c_bc40,
            proc: "sched".into(),
            intr: vec![
                IntrRow { pil: 9, thread: 0xffff_ff00_076c_bc40 },
                IntrRow { pil: 1, thread: 0xffff_ff00_076c_5c40 },
            ],
            pinned: Some(PinnedRow { addr: 0xffff_ff00_0760_0c40, proc: "(idle)".into() }),
            queue: vec![queued(99, 0xffff_ff00_076f_5c40, "sched")],
            ..cpu1()
        };

        check(
            cpu,
            "
 ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC
  0 fffffffffbc486e0  1b    1    0 108   no    no t-0    ffffff00076cbc40 sched
                       |    |    |
            RUNNING <--+    |    +--> PIL THREAD
              READY         |           9 ffffff00076cbc40
             EXISTS         |           1 ffffff00076c5c40
             ENABLE         |           - ffffff0007600c40 (idle)
                            |
                            +-->  PRI THREAD           PROC
                                   99 ffffff00076f5c40 sched
",
        );
    }

    #[test]
    fn cpuinfo_idle_cpu_with_an_empty_queue_shows_its_flags_only() {
        let cpu = CpuPicture {
            flags: RUNNING | READY | EXISTS,
            nrunnable: 0,
            pri: Some(-1),
            runrun: false,
            switch_ticks: 3,
            is_idle: true,
            queue: Vec::new(),
            verdict: Verdict::Stale,
            ..cpu1()
        };

        check(
            cpu,
            "
 ID ADDR             FLG NRUN BSPL PRI RNRN KRNRN SWITCH THREAD           PROC
  1 ffffff01d3e32580   b    0    0  -1   no    no t-3    ffffff01d5a600c0 (idle)
                       |
            RUNNING <--+
              READY
             EXISTS
(run queue: stale)
",
        );
    }

    #[test]
    fn cpuinfo_kp_queue_follows_the_cpus() {
        let picture = Picture { kp_queue: Some(vec![queued(99, 0x1000, "sched")]), ..Picture::default() };

        assert!(cpuinfo(&picture).ends_with(
            "\nkp queue of the partition, NRUN 1\n  +-->  PRI THREAD           PROC\n         99 0000000000001000 sched\n"
        ));
    }
}
