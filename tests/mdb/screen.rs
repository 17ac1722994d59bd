//! The live screen on a terminal: a pseudo terminal of 80 columns and 24 lines, keys that are typed there, and what stands on it then.
//!
//! # Invariants
//! - Nothing is waited for but what has to come on the screen; a program that ends instead fails the test with what stood there.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Columns and lines.
const SIZE: (u16, u16) = (80, 24);

/// A program on a terminal of its own.
struct Screen {
    child: Child,
    terminal: File,
    seen: vt100::Parser,
    home: tempfile::TempDir,
}

impl Screen {
    fn of(arguments: &[&str]) -> Screen {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&controller).expect("it can be used");
        unlockpt(&controller).expect("it can be opened");
        let size = Winsize { ws_col: SIZE.0, ws_row: SIZE.1, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&controller, size).expect("it has a size");
        let name = ptsname(&controller, Vec::new()).expect("it has a name");
        let path = name.to_str().expect("a path");
        let end = || File::options().read(true).write(true).open(path).expect("its other end");
        let home = tempfile::TempDir::new().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_umpire"));
        command
            .args(arguments)
            .env("TERM", "xterm")
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", home.path())
            .current_dir(home.path());
        command.stdin(Stdio::from(end())).stdout(Stdio::from(end())).stderr(Stdio::from(end()));
        let child = command.spawn().expect("umpire can be run");
        // The program has the only handles on its end that are left: when it goes, reading here ends.
        drop(command);
        Screen { child, terminal: File::from(controller), seen: vt100::Parser::new(SIZE.1, SIZE.0, 0), home }
    }

    fn text(&self) -> String {
        self.seen.screen().contents()
    }

    /// Reads until something stands on the screen.
    #[track_caller]
    fn shows(&mut self, what: impl Fn(&str) -> bool, name: &str) {
        let mut bytes = [0; 4096];
        while !what(&self.text()) {
            match self.terminal.read(&mut bytes) {
                Ok(n @ 1..) => self.seen.process(&bytes[..n]),
                _ => panic!("it ended before {name} was shown:\n{}", self.text()),
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("keys can be typed");
    }

    fn gets(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Reads to the end; the exit code, and whether the terminal was given back from its other screen.
    fn ends(mut self) -> (Option<i32>, bool) {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = self.terminal.read(&mut bytes) {
            self.seen.process(&bytes[..n]);
        }
        let code = self.child.wait().expect("it ends").code();
        drop(self.home);
        (code, !self.seen.screen().alternate_screen())
    }
}

/// True if a terminal hands over lines, and shows what is typed.
fn is_as_it_was(terminal: &File) -> bool {
    let modes = tcgetattr(terminal).expect("it is a terminal").local_modes;
    modes.contains(LocalModes::ICANON | LocalModes::ECHO)
}

#[test]
fn screen_shows_the_hung_cpu_goes_back_filters_and_opens_the_debugger() {
    let mut screen = Screen::of(&["watch", "i1532", "--sim", "--at", "1900ms", "--every", "100ms"]);
    screen.shows(|text| text.contains("ENDED"), "the end of the run");
    let text = screen.text();
    assert!(text.contains("  1 qemu-system-x86_       0    2  yes    no 99:2"), "{text}");
    assert!(
        text.contains("mac_soft_ring_worker SYS    99 R  1*") && text.contains("violated: starvation"),
        "{text}"
    );

    screen.types("\x1b[D");
    screen.shows(|text| text.contains("FROZEN -100"), "the moment before");
    screen.types("/squeue\r");
    screen.shows(
        |text| text.contains("filter: squeue  ") && !text.contains("mac_soft_ring_worker SYS"),
        "the filter",
    );

    screen.types("d");
    screen.shows(|text| text.contains("<thread is"), "the debugger");
    screen.types("<thread::print kthread_t t_name\r");
    screen.shows(|text| text.contains("t_name = [ \"squeue_worker\" ]"), "the selected thread");
    screen.types("::quit\r");
    screen.shows(|text| text.contains("FROZEN") && text.contains("filter: squeue  "), "the screen again");

    screen.types("c");
    screen.shows(|text| text.contains("i1532.core: a core"), "where the core is");
    assert!(screen.home.path().join("i1532.core").is_file());

    screen.types("q");
    assert_eq!(screen.ends(), (Some(0), true));
}

#[test]
fn first_signal_ends_the_screen_and_the_prompt_and_gives_the_terminal_back() {
    let mut screen = Screen::of(&["watch", "i1532", "--sim", "--at", "100ms", "--every", "100ms"]);
    screen.shows(|text| text.contains("ENDED"), "the end of the run");
    assert!(!is_as_it_was(&screen.terminal));
    screen.gets(Signal::TERM);
    assert_eq!(screen.ends(), (Some(143), true));

    let mut prompt = Screen::of(&["mdb", "--run", "i1532", "--sim", "--at", "20ms"]);
    let is_asked = |text: &str| text.trim_end().ends_with('>');
    prompt.shows(is_asked, "the prompt");
    assert!(!is_as_it_was(&prompt.terminal));
    // Ctrl-C is for the line, or for the command, and not for the debugger.
    prompt.types("rubbish\x03");
    prompt.shows(|text| text.contains("rubbish\n") && is_asked(text), "another prompt");
    for answer in ["one", "two"] {
        prompt.types(&format!("!kill -INT $PPID && echo {answer}\r"));
        prompt.shows(|text| text.contains(&format!("\n{answer}\n")) && is_asked(text), answer);
    }
    prompt.gets(Signal::TERM);
    let terminal = prompt.terminal.try_clone().expect("a handle");
    assert_eq!(prompt.ends(), (Some(143), true));
    assert!(is_as_it_was(&terminal));
}

#[test]
fn screen_without_a_terminal_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_umpire")).args(["watch", "i1532", "--sim"]).output();
    let output = output.expect("umpire can be run");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs a terminal"));
}
