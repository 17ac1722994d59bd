//! Stream heads over real drivers: read and write, messages, poll, ioctls, push and pop, errors, pipes.
//!
//! # Invariants
//! - A stream that has been closed has left nothing behind: no message, no queue, no head.

use std::cell::{Cell as StdCell, RefCell};
use std::rc::Rc;

use crate::bench::MS;
use crate::bench::streams::{alone, boot, program, state};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::allocb;
use umpire_kernel::streams::message::m;
use umpire_kernel::streams::modules::DRIVERS;
use umpire_kernel::streams::putnext::put;
use umpire_kernel::streams::queue::Fmodsw;
use umpire_kernel::streams::stdata::Stdata;
use umpire_kernel::streams::strioctl::{Arg, strdoioctl};
use umpire_kernel::streams::strops::{
    autopush, find_module, strclose, strclose_pipe, strfifo, strfind, strflush, strlook, strnread, stropen,
    strpipe, strpop, strpush,
};
use umpire_kernel::streams::strpoll::{strpoll, strpoll_wait};
use umpire_kernel::streams::strread::{Got, Wait, strgetmsg, strread};
use umpire_kernel::streams::strwrite::{strputmsg, strwrite};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::sys::stream::flush;
use umpire_shared::sys::stropts::{MORECTL, MOREDATA, MSG_ANY, MSG_BAND, MSG_HIPRI, ioc, poll, sd};
use umpire_shared::{errno, tunable};

fn driver(name: &str) -> &'static Fmodsw {
    DRIVERS.iter().find(|fp| fp.f_name == name).expect("a driver of this name")
}

fn module(name: &str) -> &'static Fmodsw {
    find_module(name).expect("a module of this name")
}

fn loopback() -> &'static Stdata {
    stropen(driver("loop"), 0).expect("it opens")
}

fn nothing_is_left() {
    let s = state();
    assert_eq!(s.memory.dblks_in_use(), 0, "messages");
    assert_eq!((s.queue_cache.in_use(), s.stdata_cache.in_use(), s.syncq_cache.in_use()), (0, 0, 0));
}

fn read_all(stp: &'static Stdata, most: usize) -> Result<Vec<u8>, u32> {
    let mut buf = vec![0; most];
    strread(stp, &mut buf, Wait::Not).map(|n| buf[..n].to_vec())
}

#[test]
fn what_is_written_is_read_through_nine_modules() {
    alone(1, || {
        let stp = loopback();
        for n in 0..9 {
            strpush(stp, module(["pass", "bufmod", "pass"][n % 3])).expect("it opens");
        }
        assert_eq!(strpush(stp, module("pass")), Err(errno::EINVAL), "nstrpush is 9");
        assert_eq!((stp.sd_pushcnt.get(), strlook(stp)), (9, Ok("pass")));
        assert!(strfind(stp, "bufmod") && !strfind(stp, "ldterm"));
        assert_eq!(read_all(stp, 10), Err(errno::EAGAIN));
        assert_eq!(strwrite(stp, b"hello, world", Wait::Block), Ok(12));
        sleep_until(platform::now() + MS);
        assert_eq!(strnread(stp), (12, 1));
        assert_eq!(read_all(stp, 5), Ok(b"hello".to_vec()), "bytes, not messages");
        assert_eq!(read_all(stp, 50), Ok(b", world".to_vec()));
        for _ in 0..9 {
            strpop(stp).expect("a module");
        }
        assert_eq!(strpop(stp), Err(errno::EINVAL), "the driver stays");
        strclose(stp, driver("loop"));
        nothing_is_left();
    });
}

#[test]
fn messages_have_parts_bands_and_priorities() {
    alone(2, || {
        let stp = loopback();
        let put = |ctl: Option<&[u8]>, data: Option<&[u8]>, flags, band| {
            strputmsg(stp, ctl, data, flags, band, Wait::Block)
        };
        assert_eq!(
            put(None, Some(b"x"), MSG_HIPRI, 0),
            Err(errno::EINVAL),
            "high priority needs a control part"
        );
        assert_eq!(put(Some(&[0; 1025]), None, 0, 0), Err(errno::ERANGE), "strctlsz");
        assert_eq!(put(None, Some(b"zero"), MSG_BAND, 0), Ok(()));
        assert_eq!(put(Some(b"ctl"), Some(b"band two"), MSG_BAND, 2), Ok(()));
        assert_eq!(put(Some(b"urgent"), None, MSG_HIPRI, 0), Ok(()));
        assert_eq!(put(Some(b"dropped"), None, MSG_HIPRI, 0), Ok(()), "one at a time at the head");
        assert_eq!(strnread(stp).1, 3);
        assert_eq!(strpoll(stp, poll::IN | poll::PRI | poll::OUT), poll::PRI | poll::OUT);
        assert_eq!(read_all(stp, 5), Err(errno::EBADMSG));

        let mut ctl = [0; 4];
        let mut data = [0; 4];
        let mut get = |flags, band| {
            strgetmsg(stp, &mut ctl, &mut data, flags, band, Wait::Not).map(|got| got.expect("a message"))
        };
        let urgent = Got { ctl: Some(4), data: None, flags: MSG_HIPRI, band: 0, more: MORECTL };
        assert_eq!(get(MSG_HIPRI, 0), Ok(urgent));
        assert_eq!(get(MSG_ANY, 0), Ok(Got { ctl: Some(2), more: 0, ..urgent }));
        assert_eq!(get(MSG_HIPRI, 0), Err(errno::EAGAIN));
        let two = Got { ctl: Some(3), data: Some(4), flags: MSG_BAND, band: 2, more: MOREDATA };
        assert_eq!(get(MSG_BAND, 1), Ok(two));
        assert_eq!(get(MSG_BAND, 1), Ok(Got { ctl: None, data: Some(4), more: 0, ..two }));
        assert_eq!(get(MSG_BAND, 1), Err(errno::EAGAIN), "band 0 is below");
        assert_eq!(get(0, 0).map(|got| (got.data, got.band)), Ok((Some(4), 0)));
        assert!(!stp.has(sd::STRPRI));
        strclose(stp, driver("loop"));
        nothing_is_left();
    });
}

#[test]
fn ioctls_are_acknowledged_refused_copied_and_timed_out() {
    alone(3, || {
        let stp = loopback();
        let mut data = *b"question....";
        let asked = strdoioctl(stp, ioc::STR, Arg::Str { data: &mut data, len: 8 }, 1);
        assert_eq!((asked, &data[..8]), (Ok((0, 8)), &b"question"[..]));
        let mut user = [0; 32];
        user[8..16].copy_from_slice(&0x1234_u64.to_le_bytes());
        assert_eq!(strdoioctl(stp, 77, Arg::Transparent { arg: 8, user: &mut user }, 0), Ok((1, 0)));
        assert_eq!(user[8..16], (!0x1234_u64).to_le_bytes(), "copied in, inverted, copied out");
        let bad = strdoioctl(stp, 77, Arg::Transparent { arg: 30, user: &mut user }, 0);
        assert_eq!(bad, Err(14), "EFAULT");
        strclose(stp, driver("loop"));

        let sink = stropen(driver("sink"), 0).expect("it opens");
        assert_eq!(strdoioctl(sink, 1, Arg::Str { data: &mut data, len: 0 }, 1), Err(errno::EINVAL), "a NAK");
        strclose(sink, driver("sink"));
        nothing_is_left();
    });
}

/// A message of one type with these bytes, as from the driver of a stream.
fn from_below(stp: &'static Stdata, db_type: u8, bytes: &[u8]) {
    let mp = allocb(bytes.len()).expect("memory");
    mp.set_type(db_type);
    mp.append(bytes);
    let driver = stp.pairs().last().expect("a driver");
    umpire_kernel::streams::putnext::putnext(driver, mp);
}

#[test]
fn errors_hang_ups_and_flushes_end_what_waits() {
    let log: Rc<RefCell<Vec<(&str, String)>>> = Rc::default();
    let (say, stp) = (Rc::clone(&log), Rc::new(StdCell::new(None::<&'static Stdata>)));
    let mut sim = boot(&program(2, &[(60, 0), (60, 1), (60, 1)]), 4, move |n| {
        let say = |what: &'static str, how: String| say.borrow_mut().push((what, how));
        if n == 0 {
            let opened = loopback();
            stp.set(Some(opened));
            sleep_until(3 * MS);
            from_below(opened, m::ERROR, &[5, 255]);
            sleep_until(5 * MS);
            say("write", format!("{:?}", strwrite(opened, b"x", Wait::Not)));
            from_below(opened, m::ERROR, &[0, 0]);
            say("read", format!("{:?}", read_all(opened, 9)));
            // What came before the flush is gone at once, and the flush turns round once.
            strwrite(opened, b"gone", Wait::Not).expect("room");
            from_below(opened, m::FLUSH, &[flush::RW]);
            say("flushed", format!("{:?}", strnread(opened)));
            strwrite(opened, b"gone", Wait::Not).expect("room");
            strflush(opened, flush::R, None).expect("memory");
            say("flushed", format!("{:?}", strnread(opened)));
            from_below(opened, m::PCPROTO, b"one");
            from_below(opened, m::PCPROTO, b"two");
            say("pcproto", format!("{:?}", strnread(opened).1));
            strflush(opened, flush::RW, None).expect("memory");
            sleep_until(7 * MS);
            from_below(opened, m::HANGUP, &[]);
            sleep_until(9 * MS);
            say("write", format!("{:?}", strwrite(opened, b"x", Wait::Not)));
            say("push", format!("{:?}", strpush(opened, module("pass"))));
            say("poll", format!("{:#x}", strpoll(opened, poll::IN | poll::OUT)));
            say("getmsg", format!("{:?}", strgetmsg(opened, &mut [0; 4], &mut [0; 4], 0, 0, Wait::Not)));
            strclose(opened, driver("loop"));
            nothing_is_left();
            say("closed", String::new());
            return;
        }
        sleep_until(2 * MS);
        let stp = stp.get().expect("the stream is there");
        if n == 1 {
            say("sleeper", format!("{:?}", strread(stp, &mut [0; 4], Wait::Block)));
            sleep_until(6 * MS);
            say("sleeper", format!("{:?}", strread(stp, &mut [0; 4], Wait::Block)));
        } else {
            sleep_until(6 * MS);
            say("poller", format!("{:#x}", strpoll_wait(stp, poll::IN)));
        }
    });
    sim.run_until_ok(20 * MS);
    let log = log.borrow();
    let of = |what: &str| log.iter().filter(|l| l.0 == what).map(|l| l.1.as_str()).collect::<Vec<_>>();
    assert_eq!(of("sleeper"), ["Err(5)", "Ok(0)"], "EIO, then the end");
    assert_eq!(of("write"), ["Ok(1)", "Err(6)"], "readers had the error, writers have ENXIO");
    assert_eq!(of("read"), [format!("{:?}", Ok::<_, u32>(b"x".to_vec()))]);
    assert_eq!(of("flushed"), ["(0, 0)", "(0, 0)"]);
    assert_eq!(of("pcproto"), ["1"]);
    assert_eq!(of("poller"), [format!("{:#x}", poll::HUP)]);
    assert_eq!((of("push"), of("poll")), (vec!["Err(6)"], vec!["0x10"]));
    assert_eq!(of("getmsg"), ["Ok(None)"], "the end");
    assert_eq!(of("closed"), [""]);
}

/// A writer and a reader at two ends of a pipe; how much of 60 KiB arrived within 60 ms.
fn pipe_run(seed: u64) -> usize {
    const ALL: usize = 60 * 1024;
    let ends: Rc<StdCell<Option<(&'static Stdata, &'static Stdata)>>> = Rc::default();
    let got = Rc::new(StdCell::new(0));
    let count = Rc::clone(&got);
    let mut sim = boot(&program(3, &[(60, 0), (60, 1)]), seed, move |n| {
        if n == 0 {
            let (a, b) = strpipe().expect("memory");
            ends.set(Some((a, b)));
            sleep_until(MS);
            for n in 0..ALL / 512 {
                assert_eq!(strwrite(a, &[n as u8; 512], Wait::Block), Ok(512));
            }
            return;
        }
        sleep_until(MS);
        let (_, b) = ends.get().expect("the pipe is there");
        let mut buf = [0; 700];
        while count.get() < ALL {
            let n = strread(b, &mut buf, Wait::Block).expect("bytes");
            for (k, byte) in buf[..n].iter().enumerate() {
                assert_eq!(*byte, ((count.get() + k) / 512) as u8, "in order");
            }
            count.set(count.get() + n);
        }
    });
    sim.run_until_ok(60 * MS);
    got.get()
}

#[test]
fn a_writer_that_is_refused_is_woken() {
    for seed in 0..30 {
        assert_eq!(pipe_run(seed), 60 * 1024, "seed {seed}");
    }
}

#[test]
fn pipes_and_fifos_open_and_close() {
    alone(6, || {
        let (a, b) = strpipe().expect("memory");
        strwrite(a, b"to b", Wait::Not).expect("room");
        strwrite(b, b"to a", Wait::Not).expect("room");
        assert_eq!((read_all(a, 9), read_all(b, 9)), (Ok(b"to a".to_vec()), Ok(b"to b".to_vec())));
        strpush(a, module("bufmod")).expect("it opens");
        strpush(b, module("pass")).expect("it opens");
        strwrite(a, b"through", Wait::Block).expect("room");
        sleep_until(platform::now() + MS);
        assert_eq!(read_all(b, 9), Ok(b"through".to_vec()));
        strpop(a).expect("a module");
        strwrite(b, b"back", Wait::Block).expect("room");
        assert_eq!(read_all(a, 9), Ok(b"back".to_vec()));
        strclose_pipe(a);
        assert_eq!(strwrite(b, b"x", Wait::Not), Err(errno::EPIPE));
        assert_eq!(read_all(b, 9), Ok(Vec::new()), "the end");
        strclose_pipe(b);

        let fifo = strfifo().expect("memory");
        strwrite(fifo, b"first", Wait::Not).expect("room");
        strpush(fifo, module("pass")).expect("it opens");
        strwrite(fifo, b" second", Wait::Not).expect("room");
        assert_eq!(read_all(fifo, 20), Ok(b"first second".to_vec()));
        strclose_pipe(fifo);
        nothing_is_left();
    });
}

#[test]
fn a_device_opens_with_its_modules_and_a_terminal_edits_lines() {
    alone(7, || {
        autopush(driver("loop"), &[module("bufmod"), module("ldterm")]).expect("room");
        let stp = loopback();
        assert_eq!((stp.sd_pushcnt.get(), strlook(stp)), (2, Ok("ldterm")));
        strclose(stp, driver("loop"));
        autopush(driver("loop"), &[]).expect("room");
        autopush(driver("sink"), &[module("ldterm")]).expect("room");
        let tty = stropen(driver("sink"), 0).expect("it opens");
        let keys = |text: &[u8]| {
            let mp = allocb(text.len()).expect("memory");
            mp.append(text);
            put(tty.wrq().q_next.get().expect("ldterm").rd(), mp);
        };
        keys(b"helo\x7f\x7fllo\nnext");
        assert_eq!(read_all(tty, 20), Ok(b"hello\n".to_vec()), "erased and typed again");
        keys(b" line\x15last\n");
        assert_eq!(read_all(tty, 20), Ok(b"last\n".to_vec()), "killed");
        keys(b"gone\x03kept\n");
        assert_eq!(read_all(tty, 20), Ok(b"kept\n".to_vec()), "interrupted");
        strclose(tty, driver("sink"));
        nothing_is_left();
    });
}

/// Sends through nine modules that need much stack; what arrived, in order, and how often the stack was too short.
fn deep(needed: i64) -> (Vec<u64>, u64) {
    let got: Rc<RefCell<Vec<u64>>> = Rc::default();
    let log = Rc::clone(&got);
    let p = program(2, &[(60, 0)]).tunable(tunable::PUT_STACK_NEEDED, needed);
    let mut sim = boot(&p, 8, move |_| {
        let stp = loopback();
        for _ in 0..9 {
            strpush(stp, module("stack_eater")).expect("it opens");
        }
        for n in 0..20_u64 {
            strwrite(stp, &n.to_le_bytes(), Wait::Block).expect("room");
        }
        sleep_until(platform::now() + 5 * MS);
        let mut word = [0; 8];
        while strread(stp, &mut word, Wait::Not) == Ok(8) {
            log.borrow_mut().push(u64::from_le_bytes(word));
        }
        strclose(stp, driver("loop"));
        nothing_is_left();
    });
    sim.run_until_ok(50 * MS);
    let got = got.borrow().clone();
    (got, sim.kernel().k_streams.put_stack_notenough.get())
}

#[test]
fn a_deep_chain_goes_on_in_another_thread_when_the_stack_is_short() {
    let all: Vec<u64> = (0..20).collect();
    let (got, low) = deep(5000);
    assert_eq!(got, all, "in order");
    assert!(low >= 20, "{low} times too little stack: nine frames of 1536 bytes do not fit beside 5000");
    assert_eq!(deep(0), (all, 0), "without the check nothing is parked; the simulator has stack enough");
}
