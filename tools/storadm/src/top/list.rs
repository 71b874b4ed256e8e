// SPDX-License-Identifier: GPL-2.0

//! All volumes, one on each line.

use ratatui::layout::Rect;
use ratatui::style::{Style, Stylize};
use ratatui::widgets::TableState;
use ratatui::Frame;
use stor_netlink::{StatOp, StatStage};

use super::columns::{draw, Cells, Column};
use super::row::Row;
use crate::stat::{human_bytes, human_rate, latencies, path};
use crate::table::Align::{Left, Right};

/// What there is to show of a volume. On 80 characters that is what ranks up to 2.
const COLUMNS: [Column; 14] = [
    Column {
        wide: 31,
        ..Column::new("NAME", 12, Left, 0)
    },
    Column::new("DISK", 8, Left, 3),
    Column::new("R IOPS", 7, Right, 1),
    Column::new("W IOPS", 7, Right, 1),
    Column::new("R B/s", 9, Right, 2),
    Column::new("W B/s", 9, Right, 2),
    Column::new("FLIGHT", 6, Right, 1),
    Column::new("R p50", 7, Right, 4),
    Column::new("R p99", 7, Right, 2),
    Column::new("R p99.99", 8, Right, 3),
    Column::new("W p50", 7, Right, 4),
    Column::new("W p99", 7, Right, 2),
    Column::new("W p99.99", 8, Right, 3),
    Column {
        wide: 14,
        ..Column::new("ERRORS", 8, Right, 1)
    },
];

/// Draws `rows`; latencies are of the interval or since the volumes were made.
pub(super) fn list(
    frame: &mut Frame<'_>,
    area: Rect,
    rows: &[Row],
    since_made: bool,
    state: &mut TableState,
) {
    let cells = rows.iter().map(|row| cells(row, since_made)).collect();
    draw(frame, area, &COLUMNS, cells, state);
}

fn cells(row: &Row, since_made: bool) -> Cells {
    let name = row.entry.stat.name.as_ref();
    let iops = |op| {
        let counters = row.entry.stat.ops.get(&op).copied().unwrap_or_default();
        row.entry.rate(counters.done).map_or("-".into(), human_rate)
    };
    let bytes = |op| {
        let counters = row.entry.stat.ops.get(&op).copied().unwrap_or_default();
        let rate = row.entry.rate(counters.bytes);
        rate.map_or("-".into(), human_bytes)
    };
    let [r50, _, r99, _, r9999, _, _] =
        latencies(&row.summary(StatOp::READ, StatStage::TOTAL, since_made));
    let [w50, _, w99, _, w9999, _, _] =
        latencies(&row.summary(StatOp::WRITE, StatStage::TOTAL, since_made));
    let text = [
        name.map_or("-".into(), |name| name.escape().to_string()),
        path(&row.entry.stat).trim_start_matches("/dev/").to_owned(),
        iops(StatOp::READ),
        iops(StatOp::WRITE),
        bytes(StatOp::READ),
        bytes(StatOp::WRITE),
        row.in_flight().to_string(),
        r50,
        r99,
        r9999,
        w50,
        w99,
        w9999,
    ];
    let mut cells: Vec<_> = text.map(|text| (text, Style::new())).into();
    cells.push(errors(row));
    let style = if row.is_failed() {
        Style::new().red()
    } else {
        Style::new()
    };
    (cells, style)
}

/// Errors since the volume was made, and in parentheses those that are new; or why there is no I/O.
fn errors(row: &Row) -> (String, Style) {
    let (all, new) = (row.whole.failed(), row.entry.failed());
    let red = Style::new().red();
    match (all, new) {
        _ if row.is_failed() => ("failed".to_owned(), red.bold()),
        _ if row.is_locked() => ("locked".to_owned(), Style::new().yellow().bold()),
        (0, _) => ("0".to_owned(), Style::new()),
        (all, 0) => (all.to_string(), red),
        (all, new) => (format!("{all} (+{new})"), red.bold()),
    }
}
