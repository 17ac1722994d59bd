//! What a stream head answers itself: read modes, looks at what is queued, signals; and the transport `tl`.
//!
//! # Invariants
//! - A stream that has been closed has left nothing behind.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bench::MS;
use crate::bench::streams::{alone, boot, program, state};
use umpire_kernel::cell::Cell;
use umpire_kernel::platform;
use umpire_kernel::streams::allocb::{allocb, freemsg};
use umpire_kernel::streams::message::{Mblk, m, msg};
use umpire_kernel::streams::modules::DRIVERS;
use umpire_kernel::streams::putnext::put;
use umpire_kernel::streams::queue::Fmodsw;
use umpire_kernel::streams::stdata::Stdata;
use umpire_kernel::streams::strask::{
    stratmark, strcanput, strckband, strgetband, strgetcltime, strgrdopt, strlist, strpeek, strsrdopt,
};
use umpire_kernel::streams::strops::{find_module, strclose, stropen, strpush, strsetcltime};
use umpire_kernel::streams::strread::{Wait, kstrgetmsg, strread};
use umpire_kernel::streams::strsig::{SIGPOLL, strgetsig, strgotsignals, strsetsig, strsigwait};
use umpire_kernel::streams::strwrite::{kstrputmsg, strputmsg, strwrite};
use umpire_kernel::streams::tpi::{self, prim};
use umpire_kernel::time::callout::sleep_until;
use umpire_shared::errno;
use umpire_shared::sys::stropts::{ANYMARK, LASTMARK, MSG_BAND, MSG_HIPRI, rdopt, sig};

fn driver(name: &str) -> &'static Fmodsw {
    DRIVERS.iter().find(|fp| fp.f_name == name).expect("a driver of this name")
}

fn open(name: &str) -> &'static Stdata {
    stropen(driver(name), 0).expect("it opens")
}

fn read(stp: &'static Stdata, most: usize) -> Result<Vec<u8>, u32> {
    let mut buf = vec![0; most];
    strread(stp, &mut buf, Wait::Not).map(|n| buf[..n].to_vec())
}

/// Sends a message of this type up to the head.
fn up(stp: &'static Stdata, db_type: u8, bytes: &[u8], flag: u16) {
    let mp = allocb(bytes.len()).expect("memory");
    mp.append(bytes);
    mp.set_type(db_type);
    mp.b_flag.set(flag);
    put(stp.wrq().rd(), mp);
}

fn nothing_is_left() {
    let s = state();
    assert_eq!(s.memory.dblks_in_use(), 0, "messages");
    assert_eq!((s.queue_cache.in_use(), s.stdata_cache.in_use(), s.syncq_cache.in_use()), (0, 0, 0));
}

#[test]
fn read_mode_says_what_becomes_of_the_rest_of_a_message_and_of_control_parts() {
    alone(1, || {
        let stp = open("loop");
        assert_eq!(strgrdopt(stp), Ok(rdopt::PROTNORM));
        for (both, why) in [(rdopt::MSGD | rdopt::MSGN, "modes"), (rdopt::PROTDAT | rdopt::PROTDIS, "parts")]
        {
            assert_eq!(strsrdopt(stp, both), Err(errno::EINVAL), "{why}");
        }
        let three = || {
            for text in [&b"abcdef"[..], b"ghi"] {
                up(stp, m::DATA, text, 0);
            }
        };
        three();
        assert_eq!(read(stp, 20), Ok(b"abcdefghi".to_vec()), "a stream of bytes");
        strsrdopt(stp, rdopt::MSGN).expect("a mode");
        three();
        let said: Vec<_> = (0..3).map(|_| read(stp, 4)).collect();
        assert_eq!(said, [Ok(b"abcd".to_vec()), Ok(b"ef".to_vec()), Ok(b"ghi".to_vec())]);
        strsrdopt(stp, rdopt::MSGD).expect("a mode");
        three();
        assert_eq!((read(stp, 4), read(stp, 4)), (Ok(b"abcd".to_vec()), Ok(b"ghi".to_vec())));
        strsrdopt(stp, rdopt::MSGN | rdopt::PROTDAT).expect("a mode");
        assert_eq!(strgrdopt(stp), Ok(rdopt::MSGN | rdopt::PROTDAT));
        up(stp, m::PROTO, b"control", 0);
        assert_eq!(read(stp, 20), Ok(b"control".to_vec()));
        strsrdopt(stp, rdopt::MSGN | rdopt::PROTDIS).expect("a mode");
        up(stp, m::PCPROTO, b"control", 0);
        up(stp, m::DATA, b"data", 0);
        assert_eq!(read(stp, 20), Ok(b"data".to_vec()));
        strsrdopt(stp, rdopt::PROTNORM).expect("a mode");
        up(stp, m::PROTO, b"control", 0);
        assert_eq!(read(stp, 20), Err(errno::EBADMSG));
        strclose(stp, driver("loop"));
        nothing_is_left();
    });
}

#[test]
fn what_is_queued_can_be_looked_at_and_stays() {
    alone(1, || {
        let stp = open("loop");
        strpush(stp, find_module("pass").expect("a module")).expect("it opens");
        let mut names = Vec::new();
        assert_eq!(strlist(stp, |name| names.push(name.to_owned())), Ok(2));
        assert_eq!(names, ["pass", "loop"]);
        let (mut ctl, mut data) = ([0; 4], [0; 4]);
        assert_eq!(strpeek(stp, &mut ctl, &mut data, 0), Ok(None));
        assert_eq!((strgetband(stp), strckband(stp, 0)), (Err(errno::ENODATA), Ok(false)));
        strputmsg(stp, Some(b"c"), Some(b"data and more"), MSG_BAND, 3, Wait::Block).expect("it is sent");
        sleep_until(platform::now() + 5 * MS);
        let got = strpeek(stp, &mut ctl, &mut data, 0).expect("no error").expect("a message");
        assert_eq!((got.ctl, got.data, got.band, &data), (Some(1), Some(4), 3, b"data"));
        assert_eq!(strpeek(stp, &mut ctl, &mut data, MSG_HIPRI), Ok(None), "none of high priority");
        assert_eq!((strgetband(stp), strckband(stp, 3), strckband(stp, 2)), (Ok(3), Ok(true), Ok(false)));
        freemsg(kstrgetmsg(stp, Wait::Not).expect("no error").expect("it was left"));
        up(stp, m::DATA, b"x", msg::MARK);
        up(stp, m::DATA, b"y", msg::MARK);
        assert_eq!((stratmark(stp, ANYMARK), stratmark(stp, LASTMARK)), (Ok(true), Ok(false)));
        assert_eq!(read(stp, 1), Ok(b"x".to_vec()));
        assert_eq!((stratmark(stp, LASTMARK), stratmark(stp, 0)), (Ok(true), Err(errno::EINVAL)));
        assert_eq!(read(stp, 9), Ok(b"y".to_vec()));
        assert_eq!((strcanput(stp, 0), strcanput(stp, 7)), (Ok(true), Ok(true)));
        while strcanput(stp, 0) == Ok(true) {
            strwrite(stp, &[0; 512], Wait::Block).expect("there is room");
        }
        strsetcltime(stp, 3 * MS);
        assert_eq!(strgetcltime(stp), 3 * MS);
        strclose(stp, driver("loop"));
        nothing_is_left();
    });
}

#[test]
fn who_has_asked_is_told_of_events_and_of_signals_in_messages() {
    let said: Rc<RefCell<Vec<Result<u32, u32>>>> = Rc::default();
    let log = Rc::clone(&said);
    let head: Rc<RefCell<Option<&'static Stdata>>> = Rc::default();
    let mut sim = boot(&program(2, &[(60, 0), (60, 1)]), 3, move |n| {
        if n == 0 {
            let stp = open("loop");
            *head.borrow_mut() = Some(stp);
            assert_eq!((strgetsig(stp), strsetsig(stp, 0)), (Err(errno::EINVAL), Err(errno::EINVAL)));
            assert_eq!(strsigwait(stp), Err(errno::EINVAL), "it has asked for nothing");
            strsetsig(stp, sig::INPUT | sig::HIPRI | sig::MSG | sig::HANGUP).expect("there is room");
            assert_eq!(strgetsig(stp), Ok(sig::INPUT | sig::HIPRI | sig::MSG | sig::HANGUP));
            for _ in 0..4 {
                log.borrow_mut().push(strsigwait(stp));
            }
            assert_eq!(strgotsignals(stp), 1 << 2, "SIGINT came in a message");
            return;
        }
        sleep_until(5 * MS);
        let stp = head.borrow().expect("it is open");
        let step = |act: &mut dyn FnMut()| {
            act();
            sleep_until(platform::now() + 5 * MS);
        };
        // In its place behind data: who reads comes to it.
        step(&mut || up(stp, m::DATA, b"x", 0));
        step(&mut || up(stp, m::SIG, &[SIGPOLL], 0));
        step(&mut || {
            let mut buf = [0; 9];
            assert_eq!(strread(stp, &mut buf, Wait::Not), Ok(1));
        });
        step(&mut || up(stp, m::PCSIG, &[2], 0));
        step(&mut || up(stp, m::PCPROTO, b"now", 0));
        step(&mut || up(stp, m::HANGUP, b"", 0));
    });
    sim.run_until_ok(100 * MS);
    assert_eq!(*said.borrow(), [Ok(sig::INPUT), Ok(sig::MSG), Ok(sig::HIPRI), Ok(sig::HANGUP)]);
}

/// Binds an address, and says how that ended.
fn bind(stp: &'static Stdata, address: u64) -> Option<u32> {
    kstrputmsg(stp, tpi::bind_req(address).expect("memory"), Wait::Block).expect("it is sent");
    let answer = kstrgetmsg(stp, Wait::Block).expect("no error").expect("an answer");
    let kind = tpi::primitive(answer);
    freemsg(answer);
    kind
}

/// Data for an address.
fn unitdata(to: u64, text: &[u8]) -> &'static Mblk {
    let data = allocb(text.len()).expect("memory");
    data.append(text);
    tpi::with_address(prim::UNITDATA_REQ, to, data).expect("memory")
}

#[test]
fn data_come_up_in_the_stream_that_has_bound_their_address() {
    alone(1, || {
        let (a, b) = (open("tl"), open("tl"));
        assert_eq!(
            (bind(a, 7), bind(b, 7), bind(b, 0)),
            (Some(prim::BIND_ACK), Some(prim::ERROR_ACK), Some(prim::ERROR_ACK))
        );
        assert_eq!(bind(b, 8), Some(prim::BIND_ACK));
        kstrputmsg(a, unitdata(8, b"from a"), Wait::Block).expect("it is sent");
        kstrputmsg(a, unitdata(9, b"to nobody"), Wait::Block).expect("it is sent, and lost");
        let got = kstrgetmsg(b, Wait::Not).expect("no error").expect("it came");
        assert_eq!((tpi::primitive(got), tpi::unitdata_address(got)), (Some(prim::UNITDATA_IND), Some(7)));
        freemsg(got);
        assert!(matches!(kstrgetmsg(b, Wait::Not), Err(errno::EAGAIN)));
        // b does not read: it is full, then a's queue, and then a has to wait; when b reads all of it comes.
        let mut sent = 0;
        while strcanput(a, 0) == Ok(true) {
            kstrputmsg(a, unitdata(8, &[0; 200]), Wait::Block).expect("it is sent");
            sent += 1;
        }
        assert!(sent > 20, "{sent}");
        let mut got = 0;
        loop {
            sleep_until(platform::now() + MS);
            match kstrgetmsg(b, Wait::Not) {
                Ok(Some(mp)) => {
                    freemsg(mp);
                    got += 1;
                }
                _ => break,
            }
        }
        assert_eq!(got, sent);
        strclose(a, driver("tl"));
        strclose(b, driver("tl"));
        nothing_is_left();
    });
}
