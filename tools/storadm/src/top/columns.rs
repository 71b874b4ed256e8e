// SPDX-License-Identifier: GPL-2.0

//! Tables that leave out what there is no room for.

use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table, TableState};
use ratatui::Frame;

use crate::table::Align;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Characters that it needs.
    pub(super) width: u16,
    /// Characters that it can use.
    pub(super) wide: u16,
    pub(super) align: Align,
    /// The highest ranks go first when there is no room.
    pub(super) rank: u8,
}

impl Column {
    pub(super) const fn new(title: &'static str, width: u16, align: Align, rank: u8) -> Self {
        Self {
            title,
            width,
            wide: width,
            align,
            rank,
        }
    }
}

/// A cell for each column, whether it is shown or not, and the style of the row.
pub(super) type Cells = (Vec<(String, Style)>, Style);

/// Draws a table of those columns for which there is room.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column],
    rows: Vec<Cells>,
    state: &mut TableState,
) {
    let shown = fit(columns, area.width);
    let align = |column: usize, text: String| match columns[column].align {
        Align::Left => Line::from(text),
        Align::Right => Line::from(text).right_aligned(),
    };
    let header = shown
        .iter()
        .map(|(column, _)| align(*column, columns[*column].title.to_owned()).bold());
    let rows = rows.into_iter().map(|(mut cells, style)| {
        let cells = shown.iter().map(|(column, _)| {
            let (text, style) = std::mem::take(&mut cells[*column]);
            Cell::from(align(*column, text)).style(style)
        });
        Row::new(cells.collect::<Vec<_>>()).style(style)
    });
    let widths = shown.iter().map(|(_, width)| Constraint::Length(*width));
    let table = Table::new(rows, widths)
        .header(Row::new(header.map(Cell::from).collect::<Vec<_>>()))
        .column_spacing(1)
        .row_highlight_style(Style::new().reversed());
    frame.render_stateful_widget(table, area, state);
}

/// Which columns fit into `width`, in their order, and how wide each is.
fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|column| columns[*column].rank);
    let mut room = width;
    let mut shown = Vec::new();
    for column in by_rank {
        let needed = columns[column].width + u16::from(!shown.is_empty());
        // No gaps: once a rank does not fit, a higher one is not shown in its place.
        let Some(left) = room.checked_sub(needed) else {
            break;
        };
        room = left;
        shown.push(column);
    }
    shown.sort_unstable();
    shown
        .into_iter()
        .map(|column| {
            let Column { width, wide, .. } = columns[column];
            let more = room.min(wide.saturating_sub(width));
            room -= more;
            (column, width + more)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut columns = [
            Column::new("a", 4, Align::Left, 0),
            Column::new("b", 4, Align::Left, 2),
            Column::new("c", 4, Align::Left, 1),
        ];
        columns[0].wide = 10;
        assert_eq!(fit(&columns, 3), []);
        assert_eq!(fit(&columns, 8), [(0, 8)]);
        assert_eq!(fit(&columns, 9), [(0, 4), (2, 4)]);
        assert_eq!(fit(&columns, 14), [(0, 4), (1, 4), (2, 4)]);
        assert_eq!(fit(&columns, 99), [(0, 10), (1, 4), (2, 4)]);
    }
}
