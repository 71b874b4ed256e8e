// SPDX-License-Identifier: GPL-2.0

//! All about one volume.

use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline, TableState};
use ratatui::Frame;
use stor_model::histogram::{lower_bound, BUCKETS};
use stor_netlink::{Histogram, StatOp};

use super::columns::{draw, Cells, Column};
use super::row::Row;
use crate::cli::StageChoice;
use crate::duration::human_duration;
use crate::output;
use crate::stat::{errors, human_bytes, human_rate, latencies};
use crate::table::Align::{Left, Right};

/// What there is to show of an op in a stage. On 80 characters that is what ranks up to 1.
const COLUMNS: [Column; 12] = [
    Column::new("OP", 7, Left, 0),
    Column::new("IOPS", 7, Right, 1),
    Column::new("B/s", 9, Right, 1),
    Column::new("FLIGHT", 6, Right, 1),
    Column::new("STAGE", 6, Left, 0),
    Column::new("p50", 7, Right, 1),
    Column::new("p90", 7, Right, 3),
    Column::new("p99", 7, Right, 1),
    Column::new("p99.9", 7, Right, 2),
    Column::new("p99.99", 7, Right, 1),
    Column::new("p99.999", 7, Right, 2),
    Column::new("max", 7, Right, 1),
];

/// Draws `row`, with the histograms of `op`; latencies are of the interval or since the volume was
/// made.
pub(super) fn detail(frame: &mut Frame<'_>, area: Rect, row: &Row, op: StatOp, since_made: bool) {
    let cells = table(row, since_made);
    let lines = u16::try_from(cells.len()).unwrap_or(u16::MAX);
    let [about, _, table, _, graphs] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Length(lines.saturating_add(1)),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(about_it(row)), about);
    draw(frame, table, &COLUMNS, cells, &mut TableState::new());
    histograms(frame, graphs, row, op, since_made);
}

fn about_it(row: &Row) -> Vec<Line<'static>> {
    let red = Style::new().red().bold();
    let summary = match &row.volume {
        Some(volume) => output::summary(volume),
        // Made just now.
        None => crate::stat::path(&row.entry.stat),
    };
    let style = if row.is_failed() { red } else { Style::new() };
    let all = errors(&row.whole.stat);
    let new = errors(&row.entry.stat);
    let failures = match (all.as_str(), new.as_str()) {
        ("", _) => Line::from("No errors since it was made"),
        (all, "") => Line::styled(format!("Errors since it was made: {all}"), red),
        (all, new) => Line::styled(format!("Errors since it was made: {all}; new: {new}"), red),
    };
    let gate = row.volume.as_ref().map(output::gate).unwrap_or_default();
    vec![
        Line::styled(summary, style),
        failures,
        Line::from(format!("Gate: {gate}")),
    ]
}

fn table(row: &Row, since_made: bool) -> Vec<Cells> {
    let mut rows = Vec::new();
    for op in row.entry.ops() {
        let counters = row.entry.stat.ops.get(&op).copied().unwrap_or_default();
        let rate =
            |count, human: fn(f64) -> String| row.entry.rate(count).map_or("-".into(), human);
        let mut shared = [
            op.to_string(),
            rate(counters.done, human_rate),
            rate(counters.bytes, human_bytes),
            row.entry
                .in_flight(op)
                .map_or("-".into(), |n| n.to_string()),
        ];
        for stage in row.whole.stages(op, StageChoice::All) {
            // What all stages share is told once.
            let mut cells = std::mem::take(&mut shared).to_vec();
            cells.push(stage.to_string());
            cells.extend(latencies(&row.summary(op, stage, since_made)));
            let cells = cells.into_iter().map(|text| (text, Style::new()));
            rows.push((cells.collect(), Style::new()));
        }
    }
    rows
}

/// How the latencies of `op` are spread, a graph for each stage over the same axis.
fn histograms(frame: &mut Frame<'_>, area: Rect, row: &Row, op: StatOp, since_made: bool) {
    let entry = if since_made { &row.whole } else { &row.entry };
    let counted: Vec<_> = entry
        .stages(op, StageChoice::All)
        .into_iter()
        .filter_map(|stage| Some((stage, entry.stat.latency(op, stage)?)))
        .filter(|(_, histogram)| histogram.max().is_some())
        .collect();
    let when = if since_made {
        "since the volume was made"
    } else {
        "in the interval"
    };
    let buckets = || counted.iter().flat_map(|(_, h)| h.iter()).map(|(b, _)| b);
    let (Some(first), Some(last)) = (buckets().min(), buckets().max()) else {
        frame.render_widget(Line::from(format!("{op}: nothing {when}")), area);
        return;
    };
    let [graphs, axis] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    let areas = Layout::vertical(counted.iter().map(|_| Constraint::Fill(1))).split(graphs);
    let bars: Vec<_> = counted
        .iter()
        .map(|(_, histogram)| bars(histogram, first, last, area.width))
        .collect();
    let highest = bars.iter().flatten().max().copied().unwrap_or(1);
    for (((stage, histogram), bars), area) in counted.iter().zip(&bars).zip(areas.iter()) {
        let [title, graph] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(*area);
        let count = histogram.total();
        let text = format!("{op}, {stage}: {count} {when}, heights logarithmic");
        frame.render_widget(Line::from(text), title);
        frame.render_widget(Sparkline::default().data(bars).max(highest), graph);
    }
    let ends = [first, last + 1].map(|bucket| match bucket {
        BUCKETS.. => format!(">{}", human_duration(lower_bound(BUCKETS - 1))),
        bucket => human_duration(lower_bound(bucket)),
    });
    let used = bars.iter().map(Vec::len).max().unwrap_or(0);
    let gap = used.saturating_sub(ends[0].len() + ends[1].len()).max(1);
    let text = format!("{}{}{}", ends[0], " ".repeat(gap), ends[1]);
    frame.render_widget(Line::from(text).bold(), axis);
}

/// The buckets from `first` to `last` in at most `width` bars. What is rare counts most here, so a
/// bar grows with the logarithm of its count.
fn bars(histogram: &Histogram, first: usize, last: usize, width: u16) -> Vec<u64> {
    let span = last - first + 1;
    let mut sums = vec![0u64; span.min(usize::from(width))];
    let bars = sums.len();
    for (bucket, count) in histogram.iter() {
        if let Some(sum) = sums.get_mut((bucket - first) * bars / span) {
            *sum = sum.saturating_add(count);
        }
    }
    sums.into_iter()
        .map(|sum| sum.checked_ilog2().map_or(0, |log| u64::from(log) + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn bars_hold_all_and_grow_slowly() {
        let mut histogram = Histogram::default();
        for (bucket, count) in [(10, 1), (11, 2), (19, 1000), (20, u64::MAX)] {
            assert!(histogram.set(bucket, count));
        }
        assert_eq!(
            bars(&histogram, 10, 20, 80),
            [1, 2, 0, 0, 0, 0, 0, 0, 0, 10, 64]
        );
        assert_eq!(bars(&histogram, 10, 20, 2), [2, 64]);
        assert!(bars(&histogram, 10, 20, 0).is_empty());
    }
}
