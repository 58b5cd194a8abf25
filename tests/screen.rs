//! What a person at a terminal sees: the real program in a pseudo terminal, and a screen that is read.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::sandbox::Sandbox;

const DEADLINE: Duration = Duration::from_mins(1);

/// A window, and the program in it.
struct Window {
    shown: Arc<(Mutex<Shown>, Condvar)>,
    keyboard: File,
    program: Child,
}

struct Shown {
    screen: vt100::Parser,
    /// Nobody writes any more.
    has_ended: bool,
}

impl Shown {
    fn text(&self) -> String {
        let screen = self.screen.screen();
        let rows = screen.rows(0, screen.size().1).map(|row| format!("{}\n", row.trim_end()));
        rows.collect::<String>().trim_end().to_owned()
    }
}

impl Window {
    fn open(sandbox: &Sandbox, (lines, columns): (u16, u16), environment: &[(&str, &str)], args: &[&str]) -> Window {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).expect("granted");
        unlockpt(&keyboard).expect("unlocked");
        let name = ptsname(&keyboard, Vec::new()).expect("a name");
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size).expect("a size");
        let side = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other side");
        let stdio = || Stdio::from(side.try_clone().expect("another handle"));
        let ours = sandbox.lampwright_command(".", args);
        // The terminal becomes the one of its session, so that Ctrl-C is a signal.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(ours.get_program()).args(ours.get_args());
        command.current_dir(sandbox.path()).env_clear().env("TERM", "xterm-256color").env("NO_COLOR", "1");
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(environment.iter().copied());
        let program = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("setsid runs");
        drop((command, side));
        let screen = vt100::Parser::new(lines, columns, 0);
        let shown = Arc::new((Mutex::new(Shown { screen, has_ended: false }), Condvar::new()));
        let keyboard = File::from(keyboard);
        let (mut output, written) = (keyboard.try_clone().expect("another handle"), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let read = output.read(&mut bytes);
                let mut shown = written.0.lock().expect("no panic");
                match read {
                    Ok(length @ 1..) => shown.screen.process(&bytes[..length]),
                    Ok(0) | Err(_) => shown.has_ended = true,
                }
                written.1.notify_all();
                if shown.has_ended {
                    return;
                }
            }
        });
        Window { shown, keyboard, program }
    }

    /// The screen, as soon as it is as it should be.
    #[track_caller]
    fn when(&self, what: &str, is_so: impl Fn(&Shown) -> bool) -> String {
        let (shown, changed) = &*self.shown;
        let shown = shown.lock().expect("no panic");
        let (shown, waited) = changed.wait_timeout_while(shown, DEADLINE, |shown| !is_so(shown)).expect("no panic");
        assert!(!waited.timed_out(), "{what} is not seen:\n{}", shown.text());
        shown.text()
    }

    #[track_caller]
    fn when_seen(&self, text: &str) -> String {
        self.when(text, |shown| shown.text().contains(text))
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// The exit code, and what is left on the screen.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        let shown = self.when("the end", |shown| shown.has_ended);
        (self.program.wait().expect("it has ended").code(), shown)
    }
}

/// A server of a state that answers when it is told to.
struct Gate {
    port: u16,
    is_open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn new() -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_open = Arc::new((Mutex::new(false), Condvar::new()));
        let opened = is_open.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let opened = opened.clone();
                std::thread::spawn(move || answer(stream, &opened));
            }
        });
        Gate { port, is_open }
    }

    fn open(&self) {
        *self.is_open.0.lock().expect("no panic") = true;
        self.is_open.1.notify_all();
    }
}

fn answer(mut stream: TcpStream, (is_open, opened): &(Mutex<bool>, Condvar)) {
    let mut lines = BufReader::new(stream.try_clone().expect("another handle")).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    drop(opened.wait_while(is_open.lock().expect("no panic"), |is_open| !*is_open).expect("no panic"));
    let state = r#"{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"l","outputs":{"size":{"value":3,"type":"number"}},"resources":[]}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
    let _ = stream.write_all(format!("{head}: {}\r\n\r\n{state}", state.len()).as_bytes());
}

/// One is made; the second is read when the gate opens; the others wait, one for the other, so that their order is known.
fn gated(sandbox: &Sandbox, gate: &Gate) {
    let port = gate.port;
    sandbox.write(
        "main.stack.hcl",
        &format!(
            "stack \"shop\" {{}}
resource \"terraform_data\" \"database\" {{ input = 1 }}
data \"terraform_remote_state\" \"network\" {{
  backend    = \"http\"
  config     = {{ address = \"http://127.0.0.1:{port}/\", retry_max = 0 }}
  depends_on = [terraform_data.database]
}}
resource \"terraform_data\" \"web\" {{ input = data.terraform_remote_state.network.outputs.size }}
resource \"terraform_data\" \"balancer\" {{ input = terraform_data.web.output }}
resource \"terraform_data\" \"watch\" {{ input = terraform_data.balancer.output }}
output \"o\" {{ value = terraform_data.balancer.output }}
"
        ),
    );
}

macro_rules! assert_screen {
    ($name:literal, $shown:expr) => {
        insta::with_settings!({ filters => vec![(r"\d+\.\d s", "[time]"), (r"  \d+ s\b", "  [time]"), (r"127.0.0.1:\d+", "[gate]")] }, {
            insta::assert_snapshot!($name, $shown);
        });
    };
}

const APPLY: [&str; 2] = ["apply", "-auto-approve"];

/// Seen when the lines have been written anew.
const READING: &str = "reading  1 s";

#[test]
fn what_moves_is_seen_and_what_it_waits_for() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    gated(&sandbox, &gate);
    let window = Window::open(&sandbox, (50, 90), &[], &APPLY);
    assert_screen!("screen-apply", window.when_seen(READING));
    gate.open();
    let (code, shown) = window.end();
    assert_eq!(code, Some(0));
    assert_screen!("screen-applied", shown);
    // What is left is what a pipe gets.
    sandbox.lampwright(".", &["destroy", "-auto-approve"]).success();
    let piped = sandbox.lampwright(".", &APPLY).success();
    let steady =
        |text: &str| text.lines().filter_map(|line| line.split(" after ").next()).collect::<Vec<_>>().join("\n");
    let record = |text: &str| steady(text).split("  terraform_data.database  creating").nth(1).map(str::to_owned);
    assert_eq!(record(&shown).map(|text| text.replace("Applied", "").len() > 100), Some(true));
    let applied = |text: String| text.split("Applied in").next().map(str::to_owned);
    assert_eq!(record(&shown).and_then(applied), record(&piped).and_then(applied));
}

#[test]
fn a_small_window_has_no_torn_lines() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    gated(&sandbox, &gate);
    let window = Window::open(&sandbox, (10, 40), &[], &APPLY);
    assert_screen!("screen-small", window.when_seen("reading  1 s"));
    gate.open();
    let (code, shown) = window.end();
    assert_eq!(code, Some(0));
    assert_screen!("screen-small-applied", shown);
    // The width that is asked for.
    sandbox.lampwright(".", &["destroy", "-auto-approve"]).success();
    let gate = Gate::new();
    gated(&sandbox, &gate);
    let window = Window::open(&sandbox, (50, 90), &[("COLUMNS", "40")], &APPLY);
    let shown = window.when_seen("of 5 done");
    assert!(shown.lines().any(|line| line.ends_with('…') && line.chars().count() == 40), "{shown}");
    gate.open();
    assert_eq!(window.end().0, Some(0));
}

#[test]
fn ctrl_c_leaves_no_torn_lines() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    gated(&sandbox, &gate);
    let mut window = Window::open(&sandbox, (60, 120), &[], &APPLY);
    window.when_seen(READING);
    window.press("\x03");
    let shown = window.when("the stop", |shown| {
        let text = shown.text();
        text.contains("error: stopping") && text.contains("of 5 done")
    });
    assert!(!shown.contains("^C"), "{shown}");
    gate.open();
    let (code, shown) = window.end();
    assert_eq!(code, Some(1));
    assert_screen!("screen-stopped", shown);
    // The second ends it at once, and the lines go.
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    gated(&sandbox, &gate);
    let mut window = Window::open(&sandbox, (60, 120), &[], &APPLY);
    window.when_seen(READING);
    window.press("\x03");
    window.when_seen("error: stopping");
    window.press("\x03");
    let (code, shown) = window.end();
    assert!(code == Some(1) && !shown.contains("done"), "{shown}");
}

#[test]
fn a_question_ends_its_line() {
    let sandbox = Sandbox::new();
    sandbox.write("main.stack.hcl", "resource \"terraform_data\" \"a\" { input = 1 }\n");
    for (keys, code, end) in [
        (
            "\x03",
            1,
            "  Only `yes` goes on: ^C\nerror: stopping: what is under way is finished and recorded; press Ctrl-C again to stop without waiting\nerror: nothing was changed",
        ),
        ("no\n", 1, "  Only `yes` goes on: no\nerror: nothing was changed"),
        ("yes\n", 0, "Applied in"),
    ] {
        let mut window = Window::open(&sandbox, (40, 140), &[], &["apply"]);
        window.when_seen("Only `yes` goes on");
        window.press(keys);
        let (found, shown) = window.end();
        assert!(found == Some(code) && shown.contains(end), "{shown}");
    }
}

#[test]
fn a_dumb_terminal_gets_lines() {
    let (sandbox, gate) = (Sandbox::new(), Gate::new());
    gated(&sandbox, &gate);
    let mut window = Window::open(&sandbox, (50, 120), &[("TERM", "dumb"), ("NO_COLOR", "")], &APPLY);
    let shown = window.when_seen("data.terraform_remote_state.network  reading");
    window.press("\x03");
    window.when_seen("\nerror: stopping");
    gate.open();
    let (code, shown) = (window.end().0, shown);
    assert!(code == Some(1) && !shown.contains("waits for"), "{shown}");
}

/// The colour of the first letter of a text on the screen.
fn colour(shown: &Shown, text: &str) -> Option<vt100::Color> {
    let screen = shown.screen.screen();
    let row = screen.rows(0, screen.size().1).position(|row| row.trim_start().starts_with(text))?;
    let column = screen.rows(0, screen.size().1).nth(row)?.find(text)?;
    Some(screen.cell(u16::try_from(row).ok()?, u16::try_from(column).ok()?)?.fgcolor())
}

#[test]
fn a_change_has_its_colour_and_a_text_that_looks_like_one_has_none() {
    let sandbox = Sandbox::new();
    let stack = "resource \"terraform_data\" \"a\" { input = \"x\\n+ added\\n- removed\" }\n";
    sandbox.write("main.stack.hcl", stack);
    let colours = |environment: &[(&str, &str)], args: &[&str]| {
        let window = Window::open(&sandbox, (40, 100), environment, args);
        window.when("the end", |shown| shown.has_ended);
        let shown = window.shown.0.lock().expect("no panic");
        ["+ terraform_data.a", "+ added", "- removed"].map(|text| colour(&shown, text))
    };
    let (plain, green) = (Some(vt100::Color::Default), Some(vt100::Color::Idx(2)));
    assert_eq!(colours(&[("NO_COLOR", "")], &["plan"]), [green, plain, plain]);
    assert_eq!(colours(&[("NO_COLOR", "1")], &["plan"]), [plain, plain, plain]);
    assert_eq!(colours(&[("NO_COLOR", "")], &["plan", "-no-color"]), [plain, plain, plain]);
    assert_eq!(colours(&[("NO_COLOR", ""), ("CLICOLOR", "0")], &["plan"]), [plain, plain, plain]);
}

#[test]
fn a_plan_is_as_long_as_somebody_reads() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "main.stack.hcl",
        "stack \"shop\" {}
resource \"terraform_data\" \"many\" {
  count = 60
  input = count.index
}
resource \"terraform_data\" \"one\" { input = [for i in range(100) : i] }
",
    );
    let window = Window::open(&sandbox, (30, 100), &[], &["plan", "-out=saved"]);
    assert_screen!("screen-many", window.end().1);
    let window = Window::open(&sandbox, (24, 100), &[], &["plan", "-target=terraform_data.one"]);
    assert_screen!("screen-long", window.end().1);
    // Whoever asks for it, and a pipe, gets all.
    let window = Window::open(&sandbox, (400, 100), &[], &["show", "saved", "-detail"]);
    let whole = window.end().1;
    let piped = sandbox.lampwright(".", &["show", "saved"]).success();
    assert_eq!(whole, piped.trim_end());
    assert!(whole.contains("terraform_data.many[59]") && whole.contains("    99,") && !whole.contains('…'), "{whole}");
}
