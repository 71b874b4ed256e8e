// SPDX-License-Identifier: GPL-2.0

//! The terminal: taken over, and given back whatever happens.

use std::io::{self, stdout};
use std::panic;
use std::time::Duration;

use crossterm::cursor::Show;
use crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{
    disable_raw_mode, enable_raw_mode, EnterAlternateScreen, LeaveAlternateScreen,
};
use ratatui::backend::CrosstermBackend;
use ratatui::Terminal;

use super::App;

/// How long to look for keys. With no time at all, crossterm does not look.
const PEEK: Duration = Duration::from_millis(1);

/// A terminal that shows nothing but this tool. It is given back when this is dropped.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        // A release is built without unwinding: after a panic nothing is dropped.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            hook(info);
        }));
        let open = || {
            enable_raw_mode()?;
            execute!(stdout(), EnterAlternateScreen)?;
            // Makes it listen to changes of the size from here on.
            event::poll(PEEK)?;
            let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
            Ok(Self { terminal })
        };
        open().inspect_err(|_| give_back())
    }

    /// Draws, in the size that the terminal has now.
    pub(super) fn draw(&mut self, app: &mut App) -> io::Result<()> {
        self.terminal.draw(|frame| app.draw(frame)).map(|_| ())
    }

    /// The keys that were pressed. Does not wait for more.
    pub(super) fn keys(&self) -> io::Result<Vec<KeyEvent>> {
        let mut keys = Vec::new();
        while event::poll(PEEK)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => keys.push(key),
                // A new size, say: what follows is drawn in it.
                _ => {}
            }
        }
        Ok(keys)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal what it was. Nothing can be done, or said, if that fails.
fn give_back() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}
