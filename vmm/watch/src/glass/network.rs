//! What became of the packets that devices brought: how many came, where they were lost, and when they were read.
//!
//! # Invariants
//! - It is read once, when a run is over: words of different moments are of the same then.

use super::Glass;
use super::typed::Datum;

/// A device's packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NicSample {
    /// The device's name.
    pub name: String,
    /// Packets that arrived.
    pub arrived: u64,
    /// Those for which there was no room in the receive ring.
    pub overflow: u64,
    /// Those for which there was no memory.
    pub no_memory: u64,
    /// Those that were dropped because too many waited in the soft ring set.
    pub dropped: u64,
    /// Those that came after a later one of their flow.
    pub disorder: u64,
    /// Times that its interrupts were turned off for polling.
    pub polled: u64,
}

/// A stream that packets go up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReaderSample {
    /// The stream's name.
    pub name: String,
    /// Packets that were read.
    pub read: u64,
    /// Packets for which there was no room in it.
    pub lost: u64,
    /// ns from arrival until then, on average.
    pub latency_ns: Option<u64>,
    /// ns of the one that took longest.
    pub latency_max_ns: Option<u64>,
}

impl NicSample {
    /// Packets that were lost on the way to squeues.
    pub fn lost(&self) -> u64 {
        self.overflow + self.no_memory + self.dropped
    }
}

/// The elements of a list that a path leads to.
fn each<'g>(of: Option<Datum<'g>>, path: &str) -> Vec<Datum<'g>> {
    let all = of.and_then(|of| of.at(path));
    let count = all.and_then(Datum::len).unwrap_or(0);
    (0..count).filter_map(|n| all?.element(n)).collect()
}

impl Glass {
    /// The devices that bring packets, and the streams that these go up.
    pub fn network(&self) -> (Vec<NicSample>, Vec<ReaderSample>) {
        let Some(kernel) = self.kernel_object() else { return (Vec::new(), Vec::new()) };
        let devices = each(Some(kernel), "k_intr.devices");
        let nic = |set: &Datum<'_>| {
            let device = devices.get(usize::try_from(set.number_at("srs_device")?).ok()?)?;
            let overflow = device.number_at("dev_rx.rr_overflow")?;
            Some(NicSample {
                name: set.at("srs_linkname")?.text()?,
                arrived: device.number_at("dev_rx.rr_head")?.wrapping_add(overflow),
                overflow,
                no_memory: device.number_at("dev_rx.rr_norcvbuf")?.wrapping_add(set.number_at("sr_nocopy")?),
                dropped: set.number_at("sr_drop_count")?,
                disorder: set.number_at("srs_conns.cn_disorder")?,
                polled: set.number_at("sr_poll_on")?,
            })
        };
        let nics = each(Some(kernel), "k_net.srs").iter().filter_map(nic).collect();
        let mut streams: Vec<u64> =
            each(Some(kernel), "k_net.squeues").iter().filter_map(|sq| sq.number_at("sq_stream")).collect();
        streams.sort_unstable();
        streams.dedup();
        let all = each(kernel.pointer_at("k_streams"), "scenario");
        let reader = |n: u64| {
            let stream = all.get(usize::try_from(n).ok()?)?;
            let read = stream.number_at("ss_counts.sc_packets")?;
            let sum = stream.number_at("ss_counts.sc_latency")?;
            let most = stream.number_at("ss_counts.sc_latency_max")?;
            Some(ReaderSample {
                name: stream.at("ss_name")?.text()?,
                read,
                lost: stream.number_at("ss_counts.sc_lost")?,
                latency_ns: sum.checked_div(read),
                latency_max_ns: (read != 0).then_some(most),
            })
        };
        (nics, streams.into_iter().filter_map(reader).collect())
    }
}
