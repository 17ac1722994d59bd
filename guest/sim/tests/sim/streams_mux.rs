//! Streams below a multiplexor: linked, used, unlinked, and what is refused.
//!
//! # Invariants
//! - A stream that has been closed has left nothing behind: no message, no queue, no head, no link.

use crate::bench::MS;
use crate::bench::streams::{alone, state};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::mlink::{mlink, munlink};
use umpire_kernel::streams::modules::DRIVERS;
use umpire_kernel::streams::queue::Fmodsw;
use umpire_kernel::streams::stdata::Stdata;
use umpire_kernel::streams::strops::{find_module, strclose, strfifo, strflush, stropen, strpop, strpush};
use umpire_kernel::streams::strread::{Wait, strread};
use umpire_kernel::streams::strwrite::strwrite;
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::errno;
use umpire_shared::sys::stream::flush;
use umpire_shared::sys::stropts::sd;

fn driver(name: &str) -> &'static Fmodsw {
    DRIVERS.iter().find(|fp| fp.f_name == name).expect("a driver of this name")
}

fn open(name: &str) -> &'static Stdata {
    stropen(driver(name), 0).expect("it opens")
}

fn close(stp: &'static Stdata, name: &str) {
    strclose(stp, driver(name));
}

fn pause() {
    sleep_until(platform::now() + 5 * MS);
}

/// What can be read at once.
fn read(stp: &'static Stdata) -> Result<Vec<u8>, u32> {
    pause();
    let mut buf = vec![0; 256];
    strread(stp, &mut buf, Wait::Not).map(|n| buf[..n].to_vec())
}

fn write(stp: &'static Stdata, text: &[u8]) -> Result<usize, u32> {
    strwrite(stp, text, Wait::Not)
}

fn nothing_is_left() {
    let s = state();
    assert_eq!(s.memory.dblks_in_use(), 0, "messages");
    assert_eq!((s.queue_cache.in_use(), s.stdata_cache.in_use(), s.syncq_cache.in_use()), (0, 0, 0));
    assert!(s.links.li.iter().all(|li| li.li_lower.is_null()), "links");
    assert!(s.perdms.dm.iter().all(|dm| dm.dm_str.is_null()), "perimeters of modules");
}

#[test]
fn what_is_linked_is_the_multiplexors_and_what_is_unlinked_the_heads_again() {
    alone(1, || {
        let (top, low) = (open("mux"), open("loop"));
        strpush(low, find_module("bufmod").expect("a module")).expect("it opens");
        assert_eq!(write(top, b"there is no way"), Ok(15));
        assert_eq!(read(top), Err(errno::EAGAIN), "it was lost");
        assert_eq!(write(low, b"before"), Ok(6));
        pause();
        let id = mlink(top, low, driver("mux"), false).expect("it is linked");
        assert!(id != 0 && low.has(sd::STPLEX) && top.has(sd::STRHASLINKS));
        assert_eq!(read(top), Ok(b"before".to_vec()), "nobody had read it");
        assert_eq!(write(top, b"down and up"), Ok(11));
        assert_eq!(read(top), Ok(b"down and up".to_vec()));
        let pass = find_module("pass").expect("a module");
        assert_eq!((read(low), write(low, b"x")), (Err(errno::EINVAL), Err(errno::EINVAL)));
        assert_eq!((strpush(low, pass), strpop(low)), (Err(errno::EINVAL), Err(errno::EINVAL)));
        assert_eq!(strflush(low, flush::RW, None), Err(errno::EINVAL));
        strpush(top, pass).expect("above it is as any other stream");
        assert_eq!(write(top, b"again"), Ok(5));
        assert_eq!(read(top), Ok(b"again".to_vec()));
        assert_eq!(munlink(top, low, driver("mux"), true), Err(errno::EINVAL), "it is no persistent link");
        munlink(top, low, driver("mux"), false).expect("it is unlinked");
        assert!(!low.has(sd::STPLEX) && !top.has(sd::STRHASLINKS));
        assert_eq!(munlink(top, low, driver("mux"), false), Err(errno::EINVAL));
        assert_eq!((write(low, b"its own"), read(low)), (Ok(7), Ok(b"its own".to_vec())));
        close(top, "mux");
        close(low, "loop");
        nothing_is_left();
    });
}

#[test]
fn messages_go_below_by_their_first_word_and_a_sink_counts_them() {
    alone(1, || {
        let (top, lows) = (open("mux"), [open("sink"), open("sink")]);
        for low in lows {
            mlink(top, low, driver("mux"), false).expect("it is linked");
        }
        let counts = || {
            pause();
            let mut counts = lows.map(|low| {
                let driver = low.pairs().last().expect("a driver").wr();
                driver.private(0).get()
            });
            counts.sort_unstable();
            counts
        };
        for address in [0_u64, 1, 0, 1, 1] {
            let words = [address.to_le_bytes(), [1; 8]].concat();
            assert_eq!(write(top, &words), Ok(16));
        }
        assert_eq!(counts(), [2, 3]);
        for _ in 0..4 {
            write(top, &[0; 8]).expect("room");
        }
        assert!([[2, 7], [3, 6]].contains(&counts()), "all of one address go one way: {:?}", counts());
        close(top, "mux");
        for low in lows {
            close(low, "sink");
        }
        nothing_is_left();
    });
}

#[test]
fn circles_strangers_and_streams_that_are_linked_are_refused() {
    alone(1, || {
        let (top, other, low) = (open("mux"), open("mux"), open("loop"));
        for (upper, lower, of, why) in [
            (top, top, "mux", "below itself"),
            (top, other, "mux", "below its own driver"),
            (low, top, "loop", "below what is no multiplexor"),
        ] {
            assert_eq!(mlink(upper, lower, driver(of), false), Err(errno::EINVAL), "{why}");
            assert!(!lower.has(sd::STPLEX), "{why}");
        }
        mlink(top, low, driver("mux"), false).expect("it is linked");
        assert_eq!(mlink(other, low, driver("mux"), false), Err(errno::EINVAL), "twice");
        let fifo = strfifo().expect("it opens");
        mlink(other, fifo, driver("mux"), false).expect("a FIFO is in no circle");
        assert_eq!((write(other, b"round"), read(other)), (Ok(5), Ok(b"round".to_vec())));
        close(other, "mux");
        umpire_kernel::streams::strops::strclose_pipe(fifo);
        close(top, "mux");
        close(low, "loop");
        nothing_is_left();
    });
}

#[test]
fn close_takes_the_links_but_for_persistent_ones() {
    alone(2, || {
        let (top, one, two) = (open("mux"), open("loop"), open("loop"));
        mlink(top, one, driver("mux"), false).expect("it is linked");
        mlink(top, two, driver("mux"), true).expect("it is linked");
        // Addresses 0 and 1 go to the one and to the other.
        for address in [0_u64, 1, 2, 3] {
            assert_eq!(write(top, &address.to_le_bytes()), Ok(8));
        }
        let got = read(top).map(|bytes| bytes.len());
        assert_eq!(got, Ok(32));
        close(top, "mux");
        assert!(!one.has(sd::STPLEX) && two.has(sd::STPLEX));
        assert_eq!((write(one, b"free"), read(one)), (Ok(4), Ok(b"free".to_vec())));
        let next = open("mux");
        assert_eq!((write(next, b"over two"), read(next)), (Ok(8), Ok(b"over two".to_vec())));
        assert_eq!(munlink(next, two, driver("mux"), false), Err(errno::EINVAL));
        munlink(next, two, driver("mux"), true).expect("any stream of the driver may");
        close(next, "mux");
        close(one, "loop");
        close(two, "loop");
        nothing_is_left();
    });
}
