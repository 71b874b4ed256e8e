// SPDX-License-Identifier: GPL-2.0

//! What the view shows, and what keys do to it.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, TableState};
use ratatui::Frame;
use stor_netlink::{StatKey, StatOp, Volume};

use super::detail::detail;
use super::list::list;
use super::row::{Row, Sort};
use crate::duration::human_duration;
use crate::stat::{Reading, Report};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    List,
    Detail,
    Help,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// The user has seen enough.
    Quit,
}

/// What the view shows.
pub struct App {
    interval: Duration,
    /// Whether a first interval has passed.
    ready: bool,
    rows: Vec<Row>,
    sort: Sort,
    reversed: bool,
    paused: bool,
    since_made: bool,
    page: Page,
    /// The volume that is chosen.
    chosen: Option<StatKey>,
    /// The op whose histogram is shown.
    op: StatOp,
    state: TableState,
}

/// What keys do.
const HELP: &str = "\
up, down       choose a volume (also j and k, Page Up, Page Down, Home, End)
Enter, Esc     show all about it, and go back
Tab            there: show the histogram of the next op
a              latencies since the volume was made, and again of the interval
n              sort by name
d              sort by disk
i              sort by IOPS
b              sort by bytes a second
f              sort by what is in flight
l              sort by latency: the longer p99 of read and write
e              sort by errors
r              reverse the order
Space          pause, and go on
q              quit

R is read, W is write. Errors are those since the volume was made, in parentheses
those of the last interval. Any key goes back.";

impl App {
    /// A view that is updated every `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            ready: false,
            rows: Vec::new(),
            sort: Sort::Disk,
            reversed: false,
            paused: false,
            since_made: false,
            page: Page::List,
            chosen: None,
            op: StatOp::READ,
            state: TableState::new(),
        }
    }

    /// Shows what was done between two readings, unless it is paused.
    pub fn update(&mut self, before: &Reading, after: &Reading, volumes: &[Volume]) {
        if self.paused {
            return;
        }
        let interval = Report::between(before, after).entries;
        let whole = Report::since_made(after).entries;
        let rows = interval.into_iter().zip(whole).map(|(entry, whole)| {
            let key = &entry.stat.key;
            let volume = volumes
                .iter()
                .find(|volume| volume.index == key.index && volume.uuid == key.uuid);
            Row {
                volume: volume.cloned(),
                entry,
                whole,
            }
        });
        self.rows = rows.collect();
        self.ready = true;
        if self.page == Page::Detail && self.chosen_row().is_none() {
            self.page = Page::List;
        }
        self.arrange();
    }

    /// Does what a key stands for.
    pub fn key(&mut self, key: KeyEvent) -> Flow {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Flow::Quit,
                _ => Flow::Continue,
            };
        }
        if key.code == KeyCode::Char('q') {
            return Flow::Quit;
        }
        if self.page == Page::Help {
            self.page = Page::List;
            return Flow::Continue;
        }
        match key.code {
            KeyCode::Char('h' | '?') => self.page = Page::Help,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            KeyCode::Char('a') => self.since_made = !self.since_made,
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Up | KeyCode::Char('k') => self.choose(|at, _| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.choose(|at, _| at + 1),
            KeyCode::PageUp => self.choose(|at, page| at.saturating_sub(page)),
            KeyCode::PageDown => self.choose(|at, page| at + page),
            KeyCode::Home => self.choose(|_, _| 0),
            KeyCode::End => self.choose(|_, _| usize::MAX),
            KeyCode::Enter if self.chosen_row().is_some() => self.page = Page::Detail,
            KeyCode::Esc | KeyCode::Backspace => self.page = Page::List,
            KeyCode::Tab => self.op = self.next_op(),
            KeyCode::Char(c) => {
                if let Some((_, sort)) = Sort::ALL.iter().find(|(key, _)| *key == c) {
                    (self.sort, self.reversed) = (*sort, false);
                }
            }
            _ => {}
        }
        self.arrange();
        Flow::Continue
    }

    /// Draws it all.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let [title, body, help] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Line::from(self.title()).bold(), title);
        self.draw_body(frame, body);
        let keys = match self.page {
            Page::List => {
                " Enter details  n d i b f l e sort  r reverse  Space pause  h help  q quit"
            }
            Page::Detail => {
                " Esc back  Tab next op  a since made  up/down other volume  Space pause  q quit"
            }
            Page::Help => " any key goes back  q quit",
        };
        frame.render_widget(Line::from(keys).reversed(), help);
    }

    fn draw_body(&mut self, frame: &mut Frame<'_>, area: Rect) {
        if self.page == Page::Help {
            return frame.render_widget(Paragraph::new(HELP), area);
        }
        if !self.ready {
            return frame.render_widget(Paragraph::new("Wait for the first interval..."), area);
        }
        if self.rows.is_empty() {
            return frame.render_widget(Paragraph::new("There are no volumes."), area);
        }
        match self.chosen_row() {
            Some(row) if self.page == Page::Detail => {
                detail(frame, area, row, self.op, self.since_made);
            }
            _ => list(frame, area, &self.rows, self.since_made, &mut self.state),
        }
    }

    fn title(&self) -> String {
        let nanos = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let mut title = match self.chosen_row() {
            Some(row) if self.page == Page::Detail => {
                let name = row.entry.stat.name.as_ref();
                name.map_or("-".into(), |name| name.escape().to_string())
            }
            _ => match self.rows.len() {
                1 => "1 volume".to_owned(),
                n => format!("{n} volumes"),
            },
        };
        title = format!("storadm top: {title}, every {}", human_duration(nanos));
        if self.page == Page::List {
            let reversed = if self.reversed { ", reversed" } else { "" };
            title.push_str(&format!(", by {}{reversed}", self.sort.title()));
        }
        if self.since_made {
            title.push_str(", latencies since made");
        }
        if self.paused {
            title.push_str(", PAUSED");
        }
        title
    }

    /// Sorts, and keeps the mark on the volume that was chosen: or on its place, if it is gone.
    fn arrange(&mut self) {
        let (sort, since_made) = (self.sort, self.since_made);
        self.rows.sort_by(|a, b| sort.compare(a, b, since_made));
        if self.reversed {
            self.rows.reverse();
        }
        let place = self.state.selected().unwrap_or(0);
        let mut keys = self.rows.iter().map(Row::key);
        let at = keys.position(|key| Some(key) == self.chosen.as_ref());
        self.mark(at.unwrap_or(place));
    }

    /// Marks the volume at `place`, or the last one.
    fn mark(&mut self, place: usize) {
        let place = place.min(self.rows.len().saturating_sub(1));
        self.chosen = self.rows.get(place).map(|row| row.key().clone());
        self.state.select(self.chosen.as_ref().map(|_| place));
    }

    /// Marks another volume, by the place of the mark and the number of lines of a page.
    fn choose(&mut self, other: impl FnOnce(usize, usize) -> usize) {
        const PAGE: usize = 10;
        let place = self.state.selected().unwrap_or(0);
        self.mark(other(place, PAGE));
    }

    fn chosen_row(&self) -> Option<&Row> {
        let chosen = self.chosen.as_ref()?;
        self.rows.iter().find(|row| row.key() == chosen)
    }

    fn next_op(&self) -> StatOp {
        let ops = self.chosen_row().map(|row| row.entry.ops());
        let ops = ops.unwrap_or_default();
        let later = ops.range(StatOp(self.op.0.saturating_add(1))..).next();
        *later.or(ops.first()).unwrap_or(&StatOp::READ)
    }
}
