//! `umpire timeline`: a recording as a picture, or for a viewer of traces.
//!
//! # Invariants
//! - The kind of file is told by its name's ending, and by nothing else.
//! - What is read is never written over, and a picture that was asked for of some time has something in it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use super::super::Backends;
use super::super::args::TimelineArgs;
use super::super::exit::Exit;
use super::super::output;
use super::super::streams::Streams;
use super::{Source, told, with_recording};
use umpire_machine::signals;
use umpire_record::{FLUENT_EVENTS, Recording, chrome, html, perfetto, svg, window, window_of};

/// Writes the file that the arguments name.
pub(in super::super) fn timeline(
    args: &TimelineArgs,
    backends: Backends<'_>,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let ending = args.out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let Some(format) = FORMATS.iter().find(|format| format.ending == ending) else {
        let names: Vec<String> = FORMATS.iter().map(|format| format!(".{}", format.ending)).collect();
        let names = names.join(", ");
        streams.say(&format!(
            "umpire: cannot tell what to write to {}: its name ends with none of {names}",
            args.out.display()
        ));
        return Ok(Exit::Usage);
    };
    if output::is_same(&args.out, Path::new(&args.of.source)) {
        let out = args.out.display();
        streams
            .say(&format!("umpire: cannot write to {out}: it is what is to be drawn; give -o another path"));
        return Ok(Exit::Usage);
    }
    let is_picture = format.is_picture && args.from_ns.is_none() && args.to_ns.is_none();
    let part = is_picture.then(|| fluent_part(args)).flatten();
    if let Some(part) = &part {
        tell_part(args, part, streams);
    }
    let is_whole = part.is_none();
    let interval = part.unwrap_or(args.from_ns.unwrap_or(0)..=args.to_ns.unwrap_or(u64::MAX));
    with_recording(&args.of, interval.clone(), backends, streams, |recording, streams| {
        if recording.records.is_empty() && interval != (0..=u64::MAX) {
            streams.say(&format!(
                "umpire: nothing is drawn: no event of {} lies {}; `umpire events` lists them with their times",
                args.of.source.display(),
                told(&interval)
            ));
            return Ok(Exit::Usage);
        }
        // What a run left in memory is known to be long only now.
        let part = (is_picture && is_whole).then(|| window_of(recording, FLUENT_EVENTS));
        match part.filter(is_some_part) {
            Some(part) => {
                tell_part(args, &part, streams);
                draw(args, &recording.within(&part), format, streams)
            }
            None => draw(args, recording, format, streams),
        }
    })
}

/// Writes it, and says so.
fn draw(
    args: &TimelineArgs,
    recording: &Recording,
    format: &Format,
    streams: &mut Streams<'_>,
) -> io::Result<Exit> {
    let out = args.out.display();
    match write(&args.out, recording, format.draw) {
        Ok(()) => {
            streams.narrate(&format!("{out}: {} events", recording.records.len()));
            Ok(Exit::Pass)
        }
        Err(cause) => {
            streams.say(&format!("umpire: cannot write {out}: {cause}; give -o a path that can be written"));
            Ok(Exit::Usage)
        }
    }
}

/// Says that not all is drawn.
fn tell_part(args: &TimelineArgs, part: &RangeInclusive<u64>, streams: &mut Streams<'_>) {
    streams.remark(&format!(
        "{} is long: drawn is what lies {}, about the first bound that was broken, or else its end; --from and --to draw another part",
        args.of.source.display(),
        told(part)
    ));
}

fn is_some_part(part: &RangeInclusive<u64>) -> bool {
    *part != (0..=u64::MAX)
}

/// The part of a long recording in a file that is drawn if nobody says which.
fn fluent_part(args: &TimelineArgs) -> Option<RangeInclusive<u64>> {
    let Source::File(path) = Source::of(&args.of.source) else { return None };
    if args.of.live {
        return None;
    }
    // What is no recording has no more events than its rings held.
    signals::at_once(|| window(path, FLUENT_EVENTS)).ok().filter(is_some_part)
}

type Draw = fn(&Recording, &mut BufWriter<File>) -> io::Result<()>;

/// What can be written.
struct Format {
    /// The ending of the file's name.
    ending: &'static str,
    draw: Draw,
    /// True of what a person looks at as it is; a viewer of traces takes all there is.
    is_picture: bool,
}

const FORMATS: &[Format] = &[
    Format { ending: "html", draw: |recording, out| html(recording, out), is_picture: true },
    Format {
        ending: "svg",
        draw: |recording, out| out.write_all(svg(recording, 0..=u64::MAX).as_bytes()),
        is_picture: true,
    },
    Format {
        ending: "pftrace",
        draw: |recording, out| out.write_all(&perfetto(recording)),
        is_picture: false,
    },
    Format { ending: "json", draw: |recording, out| chrome(recording, out), is_picture: false },
];

fn write(path: &Path, recording: &Recording, draw: Draw) -> io::Result<()> {
    let mut out = BufWriter::new(output::create(path)?);
    draw(recording, &mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use umpire_record::{Ending, Header, Writer};
    use umpire_shared::event::Kind;
    use umpire_watch::glass::TraceRecord;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: TimelineArgs,
    }

    #[test]
    fn of_a_long_recording_the_last_part_is_drawn() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long.rec");
        let file = File::create(&path).expect("a file");
        let mut writer = Writer::begin(BufWriter::new(file), &Header::default()).expect("a recording");
        let block = FLUENT_EVENTS / 10;
        for n in 0..12 {
            let event = |i| TraceRecord {
                time_ns: n * block + i,
                cpu: 0,
                kind: Kind::ALL[0],
                thread: 0,
                pri: 0,
                arg: 0,
            };
            let records: Vec<TraceRecord> = (0..block).map(event).collect();
            writer.records(&records).expect("a block");
        }
        writer.finish(&Ending::default()).expect("an ending");
        let path = path.to_str().expect("text");
        let part = fluent_part(&Line::parse_from(["timeline", path, "-o", "x.html"]).args);
        assert_eq!(part, Some(2 * block..=12 * block - 1));
    }
}
