//! A page's parts, without a browser.
//!
//! # Invariants
//! - What a browser makes of the page is tested where one is.

use super::*;
use crate::recording::{Breach, Ending, Header, Thread};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use umpire_watch::glass::TraceRecord;

fn recording(name: &str) -> Recording {
    let record = |time_ns, kind, thread, arg| TraceRecord { time_ns, cpu: 0, kind, thread, pri: 60, arg };
    let thread =
        |id, name: &str| Thread { id, name: name.to_owned(), class: "TS".to_owned(), ..Thread::default() };
    let breach = Breach {
        monitor: "starvation".to_owned(),
        thread: Some(name.to_owned()),
        limit: 50,
        ..Breach::default()
    };
    Recording {
        header: Header { scenario: name.to_owned(), cpus: 1, ..Header::default() },
        threads: vec![thread(0, "hog"), thread(1, name)],
        records: vec![
            record(100, Kind::OnCpu, 0, 0),
            record(110, Kind::Sleep, 1, 0),
            record(150, Kind::Wakeup, 1, 0),
            record(160, Kind::Enqueue, 1, 0),
            record(161, Kind::RunrunRaise, 0, 0),
            record(300, Kind::Poke, 0, 0),
        ],
        ending: Some(Ending {
            breaches: vec![breach],
            why: vec![format!("{name} waited")],
            ..Ending::default()
        }),
        ..Recording::default()
    }
}

fn page(recording: &Recording) -> String {
    let mut bytes = Vec::new();
    html(recording, &mut bytes).expect("memory takes all");
    String::from_utf8(bytes).expect("text")
}

/// The bytes of a column.
fn column(page: &str, name: &str) -> Vec<u8> {
    let (_, rest) = page.split_once(&format!("id=\"column-{name}\">")).expect("a column");
    STANDARD.decode(rest.split_once("</script>").expect("an end").0).expect("base64")
}

#[test]
fn page_is_whole_and_asks_for_nothing_from_elsewhere() {
    let page = page(&recording("victim"));
    assert!(page.ends_with("</html>\n") && !page.contains("{{"), "{page}");
    for from_elsewhere in ["src=", "href=", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(from_elsewhere), "the page has {from_elsewhere}");
    }
    assert!(page.contains("default-src 'none'"), "and the browser is told so");
    let picture = svg(&recording("victim"), 0..=u64::MAX);
    assert!(page.contains(&format!("</p>\n{picture}\n</noscript>")), "the picture is for who has no script");
}

#[test]
fn name_of_a_guest_s_is_no_markup() {
    let page = page(&recording("</script><img/onerror=alert(1)>"));
    assert!(!page.contains("<img"), "{page}");
}

#[test]
fn columns_of_a_table_are_equally_long_and_hold_what_the_script_reads() {
    let page = page(&recording("victim"));
    let rows = column(&page, "span-state").len();
    assert_eq!(rows, 3, "one that runs, one that sleeps and waits");
    for (name, bytes) in [("from", 8), ("to", 8), ("thread", 4), ("pri", 2), ("other", 4)] {
        assert_eq!(column(&page, &format!("span-{name}")).len(), rows * bytes, "{name}");
    }
    assert_eq!(column(&page, "span-state"), [0x80, 3, 0x81], "who runs and who waits does so to the end");
    let others = [[0; 4], [0; 4], [1, 0, 0, 0]].concat();
    assert_eq!(column(&page, "span-other"), others, "cpu 0; nothing; woken by the first thread");
    assert_eq!(column(&page, "bar-kind"), [1], "cpu_runrun");
    assert_eq!(column(&page, "mark-kind"), [Kind::Poke as u8]);
}

#[test]
fn page_opens_where_the_bound_was_broken() {
    let page = page(&recording("victim"));
    let (_, meta) = page.split_once("id=\"meta\">").expect("what the script is told");
    let meta: serde_json::Value =
        serde_json::from_str(meta.split_once("</script>").expect("an end").0).expect("JSON");
    assert_eq!((&meta["breaches"][0]["began"], &meta["breaches"][0]["at"]), (&160.into(), &210.into()));
    assert!(meta["view"][0].as_u64() < Some(160) && meta["view"][1].as_u64() > Some(210), "{meta}");
    assert_eq!(meta["why"][0], "victim waited");
    assert_eq!(meta["chosen"], serde_json::json!([1]), "who starved has the first lane");
}
