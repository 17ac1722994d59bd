//! `::mac_srs`: soft ring sets.
//!
//! # Invariants
//! - Columns are mdb's. All sets here receive: with `-t` there is none to show, and `-r` leaves none out.

use super::{Address, Dcmd, Run};
use crate::answer::{Answer, Row};
use crate::call::Call;
use crate::lang::Failure;
use crate::network;
use crate::object::Object;
use crate::view::View;
use crate::walker;

/// The command.
pub(super) static DCMD: Dcmd = Dcmd {
    name: "mac_srs",
    aliases: &[],
    address: Address::Optional,
    takes_all: false,
    usage: "[-r[i|s|c[v]] | -t[i|s|c[v]]]",
    about: "display MAC Soft Ring Set structures",
    help: "Prints the soft ring set at the address, or every one: the link, the device that it gets packets from, and the direction.\n\
           -r    state and type (hexadecimal), packets that are not shared out, their bytes, and soft rings\n\
           -rs   packets that interrupts and the poll thread brought, and how many at a time\n\
           -rc   the CPUs of the poll thread, the worker and the interrupt, and those of soft rings (-1: not bound); -rcv lists these\n\
           -ri   the device and its interrupt\n\
           -t    sets that send: there are none here",
    examples: &[
        ("::mac_srs", "every soft ring set"),
        ("::mac_srs -r", "its state and what waits in it"),
        ("::mac_srs -rs", "what interrupts and what polling has brought"),
        ("::mac_srs -rcv", "which CPUs work for it"),
    ],
    run: Run::View(run),
};

/// What is shown of a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Plain,
    State,
    Stats,
    Cpus,
    Intr,
}

fn run(view: &View<'_>, call: &Call<'_>) -> Result<Answer, Failure> {
    let options = call.options("rtiscv")?;
    options.none_left(call)?;
    let has = |letter| options.has(letter);
    if has('r') && has('t') {
        return Err(call.misused("-r and -t exclude each other"));
    }
    let more = ['i', 's', 'c'].into_iter().filter(|letter| has(*letter)).count();
    if more > 1 || more == 1 && !has('r') && !has('t') || has('v') && !has('c') {
        return Err(call.misused("one of i, s and c may follow -r or -t, and v may follow c"));
    }
    let show = match () {
        () if has('i') => Show::Intr,
        () if has('s') => Show::Stats,
        () if has('c') => Show::Cpus,
        () if has('r') || has('t') => Show::State,
        () => Show::Plain,
    };
    let mut addrs = walker::at_or_all(view, call, "mac_srs")?;
    if has('t') {
        addrs.clear();
    }
    if call.is_piped_out {
        return Ok(Answer::addresses(addrs));
    }
    let mut answer = Answer { header: Some(header(show)), ..Answer::default() };
    for addr in addrs {
        let set = network::mac_srs(view, addr)?;
        answer.rows.push(row(view, &set, show, has('v'))?);
    }
    Ok(answer)
}

fn header(show: Show) -> String {
    let front = format!("{:>16} {:<20}", "ADDR", "LINK_NAME");
    let second = |words: String| format!("{:>16} {:<20} {words}", "", "");
    match show {
        Show::Plain => format!("{front} {:>16} {:>16} {:<3}", "FLENT", "HW RING", "DIR"),
        Show::State => {
            let first = format!("{front} {:>8} {:>8} {:>8} {:>8} {:>3}", "STATE", "TYPE", "MBLK", "Q", "SR");
            format!("{first}\n{}", second(format!("{:>8} {:>8} {:>8} {:>8} {:>3}", "", "", "CNT", "BYTES", "CNT")))
        }
        Show::Stats => {
            let first = format!("{front} {:>10} {:>10} {:>26} {:>26}", "INTR", "POLL", "INTR CHAINS", "POLL CHAINS");
            let three = format!("{:>8} {:>8} {:>8}", "<10", "10-50", ">50");
            format!("{first}\n{}", second(format!("{:>10} {:>10} {three} {three}", "COUNT", "COUNT")))
        }
        Show::Cpus => {
            let first = format!("{front} {:>4} {:>4} {:>6} {:>4} {:>7}", "NUM", "POLL", "WORKER", "INTR", "FANOUT");
            format!("{first}\n{}", second(format!("{:>4} {:>4} {:>6} {:>4} {:>7}", "CPUS", "CPU", "CPU", "CPU", "CPU_CNT")))
        }
        Show::Intr => format!("{front} {:>16} {:>4} {:>4} {:>5} {:>8} {:>8}", "HW RING", "CPU", "PIL", "INTR", "WAITING", "OVERFLOW"),
    }
}

fn row(view: &View<'_>, set: &Object<'_>, show: Show, is_verbose: bool) -> Result<Row, Failure> {
    let addr = set.addr();
    let name = set.text("srs_linkname")?;
    let devices = view.arena("k_intr.devices")?;
    let device = devices.addresses().nth(set.n("srs_device")? as usize);
    let device = device.ok_or_else(|| Failure::new(format!("the soft ring set at {addr:#x} has no device")))?;
    let device = view.object(devices.of, device)?;
    let front = format!("{addr:016x} {name:<20}");
    let mut data = vec![("addr", addr.into()), ("link_name", name.as_str().into())];
    let mut told = |key, value: u64| data.push((key, value.into()));
    let text = match show {
        Show::Plain => {
            told("hw_ring", device.addr());
            format!("{front} {:016x} {:016x} {:<3}", 0, device.addr(), "RX")
        }
        Show::State => {
            let (state, kind, count) = (set.n("srs_state")?, set.n("srs_type")?, set.n("srs_count")?);
            let (bytes, rings) = (count * packet_bytes(view, set)?, rings(view, set)?.len() as u64);
            for (key, value) in
                [("state", state), ("type", kind), ("mblk_cnt", count), ("q_bytes", bytes), ("sr_cnt", rings)]
            {
                told(key, value);
            }
            told("poll_pkt_cnt", set.n("sr_poll_pkt_cnt")?);
            told("dropped", set.n("sr_drop_count")?);
            format!("{front} {state:08x} {kind:08x} {count:>8} {bytes:>8} {rings:>3}")
        }
        Show::Stats => {
            let mut text = front;
            for (key, path, width) in [
                ("intr_count", "sr_intr_count", 10),
                ("poll_count", "sr_poll_count", 10),
                ("intr_few", "sr_intr_chains.few", 8),
                ("intr_some", "sr_intr_chains.some", 8),
                ("intr_many", "sr_intr_chains.many", 8),
                ("poll_few", "sr_poll_chains.few", 8),
                ("poll_some", "sr_poll_chains.some", 8),
                ("poll_many", "sr_poll_chains.many", 8),
            ] {
                let value = set.n(path)?;
                told(key, value);
                text += &format!(" {value:>width$}");
            }
            text
        }
        Show::Cpus => {
            let poll = network::bound_cpu(view, set, "srs_poll_thr")?;
            let worker = network::bound_cpu(view, set, "srs_worker")?;
            let intr = device.n("dev_cpu")?;
            let fanout = rings(view, set)?;
            let mut cpus: Vec<i64> = fanout.iter().copied().chain([poll, worker, intr as i64]).filter(|cpu| *cpu >= 0).collect();
            cpus.sort_unstable();
            cpus.dedup();
            let mut text =
                format!("{front} {:>4} {poll:>4} {worker:>6} {intr:>4} {:>7}", cpus.len(), fanout.len());
            if is_verbose {
                let list = |cpus: &[i64]| cpus.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
                text += &format!("\n{:>16} CPU LIST: {}\n{:>16} FANOUT CPUS: {}", "", list(&cpus), "", list(&fanout));
            }
            data.extend([
                ("num_cpus", (cpus.len() as u64).into()),
                ("poll_cpu", poll.into()),
                ("worker_cpu", worker.into()),
                ("intr_cpu", intr.into()),
                ("fanout_cpu_cnt", (fanout.len() as u64).into()),
            ]);
            text
        }
        Show::Intr => {
            let (cpu, pil) = (device.n("dev_cpu")?, device.n("dev_pil")?);
            let is_off = device.n("dev_rx.rr_off")? != 0;
            let waiting = device.n("dev_rx.rr_head")?.saturating_sub(device.n("dev_rx.rr_tail")?);
            let overflow = device.n("dev_rx.rr_overflow")?;
            let intr = if is_off { "off" } else { "on" };
            told("hw_ring", device.addr());
            told("cpu", cpu);
            told("pil", pil);
            told("waiting", waiting);
            told("overflow", overflow);
            data.push(("is_off", is_off.into()));
            format!("{front} {:016x} {cpu:>4} {pil:>4} {intr:>5} {waiting:>8} {overflow:>8}", device.addr())
        }
    };
    Ok(Row { value: Some(addr), text, data })
}

/// Bytes of each packet that waits: those of the first.
fn packet_bytes(view: &View<'_>, set: &Object<'_>) -> Result<u64, Failure> {
    match set.n("srs_first")? {
        0 => Ok(0),
        first => {
            let mp = view.at("mblk_t", first)?;
            Ok(mp.n("b_wptr")?.saturating_sub(mp.n("b_rptr")?))
        }
    }
}

/// The CPUs of a set's soft rings, in their order.
fn rings(view: &View<'_>, set: &Object<'_>) -> Result<Vec<i64>, Failure> {
    let sets = view.arena("k_net.srs")?;
    let number = sets.index_of(set.addr());
    let all = view.arena("k_net.soft_rings")?;
    let mut cpus = Vec::new();
    for addr in all.addresses() {
        let ring = view.object(all.of, addr)?;
        if Some(ring.n("s_ring_set")?) == number {
            cpus.push(ring.signed("s_ring_cpuid")?);
        }
    }
    Ok(cpus)
}
