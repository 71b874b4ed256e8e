// SPDX-License-Identifier: GPL-2.0

//! Text in columns.

/// To which side of its column a cell goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Lays out `rows` below `header`: columns two spaces apart, no spaces at the end of a line.
pub fn aligned<const N: usize>(header: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([header[column].0.len()])
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = line(header.map(|(name, _)| name), &header, &widths);
    for row in rows {
        text.push_str(&line(row.each_ref().map(String::as_str), &header, &widths));
    }
    text
}

fn line<const N: usize>(
    cells: [&str; N],
    header: &[(&str, Align); N],
    widths: &[usize; N],
) -> String {
    let mut line = String::new();
    for (column, cell) in cells.into_iter().enumerate() {
        let width = widths[column];
        line.push_str(&match header[column].1 {
            Align::Left => format!("{cell:<width$}  "),
            Align::Right => format!("{cell:>width$}  "),
        });
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// Lays out `rows` for other programs: fields separated by tabs.
pub fn tabbed<const N: usize>(rows: &[[String; N]]) -> String {
    rows.iter().map(|row| row.join("\t") + "\n").collect()
}

/// Lays out keys and values for people.
pub fn key_values(rows: &[[String; 2]]) -> String {
    let width = rows
        .iter()
        .map(|[key, _]| key.chars().count())
        .max()
        .unwrap_or(0)
        + 1;
    let mut text = String::new();
    for [key, value] in rows {
        text.push_str(&format!("{:<width$}  {value}\n", format!("{key}:")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn columns() {
        let rows = [["a", "1"], ["größe", "22222"]].map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned([("NAME", Align::Left), ("N", Align::Right)], &rows),
            "NAME       N\na          1\ngröße  22222\n"
        );
        assert_eq!(tabbed(&rows), "a\t1\ngröße\t22222\n");
        assert_eq!(key_values(&rows), "a:      1\ngröße:  22222\n");
        assert_eq!(aligned([("NAME", Align::Left)], &[]), "NAME\n");
    }
}
