// SPDX-License-Identifier: GPL-2.0

//! What `storadm top` shows, to the letter.

mod common;

use std::time::{Duration, Instant};

use common::{check, hostile, idle, ordinary, reading, stat};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use pretty_assertions::assert_eq;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use ratatui::Terminal;
use stor_netlink::uapi::STOR_VOLUME_STATE_LOCKED;
use stor_netlink::{StatStatus, Volume, VolumeState};
use storadm::top::{App, Flow};

/// A screen, and what is on it.
struct Screen(Terminal<TestBackend>);

impl Screen {
    fn new(width: u16, height: u16) -> Self {
        Self(Terminal::new(TestBackend::new(width, height)).unwrap())
    }

    fn lines(&mut self, app: &mut App) -> Vec<String> {
        self.0.draw(|frame| app.draw(frame)).unwrap();
        let buffer = self.0.backend().buffer();
        let width = usize::from(buffer.area.width);
        let cells = buffer.content().chunks(width);
        let line = |cells: &[ratatui::buffer::Cell]| {
            let line: String = cells.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned()
        };
        cells.map(line).collect()
    }

    fn text(&mut self, app: &mut App) -> String {
        self.lines(app).join("\n") + "\n"
    }

    /// Whether the cell where `text` begins is red, and whether it is bold.
    fn look_of(&mut self, app: &mut App, text: &str) -> (bool, bool) {
        let lines = self.lines(app);
        let (y, x) = lines
            .iter()
            .enumerate()
            .find_map(|(y, line)| Some((y, line[..line.find(text)?].chars().count())))
            .unwrap_or_else(|| panic!("no {text} in {lines:#?}"));
        let buffer = self.0.backend().buffer();
        let cell = &buffer.content()[y * usize::from(buffer.area.width) + x];
        (
            cell.fg == Color::Red,
            cell.modifier.contains(Modifier::BOLD),
        )
    }
}

fn press(app: &mut App, code: KeyCode) -> Flow {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// A volume that is busy, one that does nothing, and one with a long name that has failed.
fn volumes() -> Vec<Volume> {
    let idle = Volume {
        name: Some("idle".into()),
        index: Some(3),
        uuid: None,
        disk: Some("stor3".into()),
        ..ordinary()
    };
    let failed = Volume {
        state: Some(VolumeState(1)),
        gate_longest: Some(3_200_000),
        ..hostile()
    };
    vec![ordinary(), idle, failed]
}

fn app() -> App {
    let start = Instant::now();
    let read = |later| {
        let mut failed = stat(&hostile(), false);
        failed.time = stat(&hostile(), later).time;
        failed.errors.insert(StatStatus(12), 100);
        reading(
            start,
            later,
            vec![stat(&ordinary(), later), idle(later), failed],
        )
    };
    let mut app = App::new(Duration::from_secs(1));
    app.update(&read(false), &read(true), &volumes());
    app
}

#[test]
fn lists() {
    for (name, width, height) in [("top-wide", 132, 8), ("top-80", 80, 8), ("top-40", 40, 6)] {
        let text = Screen::new(width, height).text(&mut app());
        check(&format!("{name}.terminal"), &text);
    }
}

#[test]
fn tells_of_a_lock() {
    let start = Instant::now();
    let read = |later| reading(start, later, vec![stat(&ordinary(), later)]);
    let locked = Volume {
        state: Some(VolumeState(STOR_VOLUME_STATE_LOCKED)),
        ..ordinary()
    };
    let mut app = App::new(Duration::from_secs(1));
    app.update(&read(false), &read(true), &[locked]);
    let look = Screen::new(132, 8).look_of(&mut app, "locked");
    assert_eq!(look, (false, true));
}

#[test]
fn details() {
    let mut app = app();
    press(&mut app, KeyCode::Enter);
    check(
        "top-detail-wide.terminal",
        &Screen::new(110, 30).text(&mut app),
    );
    check(
        "top-detail-80.terminal",
        &Screen::new(80, 24).text(&mut app),
    );
    press(&mut app, KeyCode::Char('a'));
    check(
        "top-detail-made.terminal",
        &Screen::new(80, 24).text(&mut app),
    );
    for op in ["write", "flush", "discard", "read"] {
        press(&mut app, KeyCode::Tab);
        let text = Screen::new(80, 24).text(&mut app);
        let expected = match op {
            "discard" => "discard: nothing since the volume was made".to_owned(),
            op => format!("\n{op}, total: "),
        };
        assert!(text.contains(&expected), "{op}: {text}");
    }
    press(&mut app, KeyCode::Esc);
    let text = Screen::new(80, 24).text(&mut app);
    assert!(text.contains("3 volumes"), "{text}");
}

#[test]
fn help() {
    let mut app = app();
    press(&mut app, KeyCode::Char('h'));
    check("top-help.terminal", &Screen::new(90, 24).text(&mut app));
    press(&mut app, KeyCode::Char('x'));
    assert!(Screen::new(90, 24).text(&mut app).contains("3 volumes"));
}

#[test]
fn errors_are_red() {
    let (mut screen, mut app) = (Screen::new(132, 8), app());
    // The first line is marked, which reverses it.
    press(&mut app, KeyCode::End);
    assert_eq!(screen.look_of(&mut app, "3 (+1)"), (true, true));
    assert_eq!(screen.look_of(&mut app, "failed"), (true, true));
    assert_eq!(screen.look_of(&mut app, "a-much-longer"), (true, false));
    assert_eq!(screen.look_of(&mut app, "idle"), (false, false));
    press(&mut app, KeyCode::Home);
    press(&mut app, KeyCode::Enter);
    assert_eq!(screen.look_of(&mut app, "Errors since"), (true, true));
}

/// Names of the volumes from top to bottom.
fn order(app: &mut App) -> Vec<String> {
    let lines = Screen::new(132, 8).lines(app);
    let names = lines[2..5].iter();
    names.map(|line| line[..4].to_owned()).collect()
}

#[test]
fn sorts() {
    let mut app = app();
    for (key, expected) in [
        ('n', ["a-mu", "idle", "vm1 "]),
        ('d', ["vm1 ", "idle", "a-mu"]),
        ('e', ["a-mu", "vm1 ", "idle"]),
        ('i', ["vm1 ", "idle", "a-mu"]),
        ('l', ["vm1 ", "idle", "a-mu"]),
        ('r', ["a-mu", "idle", "vm1 "]),
        ('b', ["vm1 ", "idle", "a-mu"]),
        ('f', ["vm1 ", "idle", "a-mu"]),
    ] {
        press(&mut app, KeyCode::Char(key));
        assert_eq!(order(&mut app), expected, "{key}");
    }
}

/// The mark stays on its volume, and goes to a neighbour when that is gone.
#[test]
fn volumes_come_and_go() {
    let (start, mut app) = (Instant::now(), app());
    let title = |app: &mut App| {
        press(app, KeyCode::Enter);
        Screen::new(80, 24).lines(app)[0].clone()
    };
    press(&mut app, KeyCode::Down);
    assert_eq!(title(&mut app), "storadm top: idle, every 1s");
    let read = |later| reading(start, later, vec![stat(&ordinary(), later)]);
    // In its details, which end with it.
    app.update(&read(false), &read(true), &volumes());
    let lines = Screen::new(80, 24).lines(&mut app);
    assert_eq!(lines[0], "storadm top: 1 volume, every 1s, by disk");
    assert_eq!(title(&mut app), "storadm top: vm1, every 1s");
    let nothing = |later| reading(start, later, vec![]);
    app.update(&read(true), &nothing(true), &[]);
    let lines = Screen::new(80, 24).lines(&mut app);
    assert_eq!(lines[1], "There are no volumes.");
    for code in [KeyCode::Enter, KeyCode::Down, KeyCode::End, KeyCode::Tab] {
        assert_eq!(press(&mut app, code), Flow::Continue);
        Screen::new(80, 24).lines(&mut app);
    }
    app.update(&nothing(false), &read(true), &[]);
    assert_eq!(title(&mut app), "storadm top: vm1, every 1s");
}

#[test]
fn pauses() {
    let (start, mut app) = (Instant::now(), app());
    let before = Screen::new(132, 8).lines(&mut app)[1..].to_vec();
    press(&mut app, KeyCode::Char(' '));
    let nothing = |later| reading(start, later, vec![]);
    app.update(&nothing(false), &nothing(true), &[]);
    let lines = Screen::new(132, 8).lines(&mut app);
    assert_eq!(
        lines[0],
        "storadm top: 3 volumes, every 1s, by disk, PAUSED"
    );
    assert_eq!(lines[1..], before);
    press(&mut app, KeyCode::Char(' '));
    app.update(&nothing(false), &nothing(true), &[]);
    let lines = Screen::new(132, 8).lines(&mut app);
    assert_eq!(lines[1], "There are no volumes.");
}

#[test]
fn quits() {
    let mut app = app();
    assert_eq!(press(&mut app, KeyCode::Char('c')), Flow::Continue);
    assert_eq!(press(&mut app, KeyCode::Char('q')), Flow::Quit);
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.key(key), Flow::Quit);
    press(&mut app, KeyCode::Char('h'));
    assert_eq!(press(&mut app, KeyCode::Char('q')), Flow::Quit);
}

/// Whatever the size, before and after there is something to show.
#[test]
fn any_size() {
    for (width, height) in [(1, 1), (2, 3), (10, 4), (20, 10), (300, 100)] {
        let mut app = app();
        let mut new = App::new(Duration::from_millis(100));
        for code in [KeyCode::Esc, KeyCode::Enter, KeyCode::Char('h')] {
            press(&mut app, code);
            Screen::new(width, height).lines(&mut app);
            press(&mut new, code);
            Screen::new(width, height).lines(&mut new);
        }
    }
}
