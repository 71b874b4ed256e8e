// SPDX-License-Identifier: GPL-2.0

//! Man pages.

use std::io;

use clap::Command;
use clap_mangen::roff::{bold, roman, Inline, Roff};
use clap_mangen::Man;

/// Administration.
const SECTION: &str = "8";

/// The file names and the texts of all pages.
pub(crate) fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = storadm::cli::command();
    root.build();
    let mut pages = Vec::new();
    add(&root, None, &mut pages)?;
    Ok(pages)
}

fn add(
    command: &Command,
    parent: Option<&str>,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> io::Result<()> {
    let name = match parent {
        Some(parent) => format!("{parent}-{}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let related: Vec<String> = parent
        .map(str::to_owned)
        .into_iter()
        .chain(
            command
                .get_subcommands()
                .map(|sub| format!("{name}-{}", sub.get_name())),
        )
        .collect();
    pages.push((format!("{name}.{SECTION}"), page(command, &name, &related)?));
    for sub in command.get_subcommands() {
        add(sub, Some(&name), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, related: &[String]) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section(SECTION)
        .source(format!("storadm {}", env!("CARGO_PKG_VERSION")))
        .manual("System Administration");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        subcommands(command, name).to_writer(&mut page)?;
    }
    let help = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut sections = sections(&help);
    for section in [storadm::cli::output(), storadm::cli::exit_status()] {
        for (title, lines) in self::sections(section) {
            if !sections.iter().any(|(known, _)| *known == title) {
                sections.push((title, lines));
            }
        }
    }
    for (title, lines) in sections {
        verbatim(title, &lines).to_writer(&mut page)?;
    }
    see_also(related).to_writer(&mut page)?;
    Ok(page)
}

/// A list of the commands below `command` and of their pages.
fn subcommands(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands() {
        roff.control("TP", []);
        roff.text([bold(format!("{name}-{}", sub.get_name())), section()]);
        roff.text([roman(
            sub.get_about().map(ToString::to_string).unwrap_or_default(),
        )]);
    }
    roff
}

fn section() -> Inline {
    roman(format!("({SECTION})"))
}

/// Splits a help text at the lines that begin a section.
fn sections(help: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in help.lines() {
        match line.strip_suffix(':') {
            Some(title) if !line.starts_with(' ') => sections.push((title, Vec::new())),
            _ => {
                if let Some((_, lines)) = sections.last_mut() {
                    lines.push(line);
                }
            }
        }
    }
    sections
}

/// A section whose line breaks stay.
fn verbatim(title: &str, lines: &[&str]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title.to_uppercase().as_str()]);
    roff.control("nf", []);
    let end = lines.iter().rposition(|line| !line.is_empty());
    for line in &lines[..end.map_or(0, |end| end + 1)] {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
    roff
}

fn see_also(related: &[String]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    for (i, name) in related.iter().enumerate() {
        let comma = if i + 1 < related.len() { "," } else { "" };
        roff.text([bold(name.as_str()), section(), roman(comma)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    #[test]
    fn every_command_has_a_page_that_says_all() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "storadm.8",
                "storadm-volume.8",
                "storadm-volume-create.8",
                "storadm-volume-open-luks.8",
                "storadm-volume-delete.8",
                "storadm-volume-set.8",
                "storadm-volume-gate.8",
                "storadm-volume-lock.8",
                "storadm-volume-unlock.8",
                "storadm-volume-list.8",
                "storadm-volume-show.8",
                "storadm-key.8",
                "storadm-key-add.8",
                "storadm-key-list.8",
                "storadm-key-remove.8",
                "storadm-stat.8",
                "storadm-top.8",
                "storadm-monitor.8",
                "storadm-info.8",
            ]
        );
        for (name, page) in &pages {
            let page = String::from_utf8(page.clone()).unwrap();
            for section in [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "EXAMPLES",
                "OUTPUT",
                "\"EXIT STATUS\"",
                "\"SEE ALSO\"",
            ] {
                let count = page.matches(&format!("\n.SH {section}\n")).count();
                assert_eq!(count, 1, "{section} in {name}");
            }
            assert!(page.contains("the stor module is not loaded"), "{name}");
        }
    }

    #[test]
    fn sections_begin_at_titles() {
        let help = "Examples:\n  a:\n\n  b\n\nExit status:\n  0";
        assert_eq!(
            sections(help),
            [
                ("Examples", vec!["  a:", "", "  b", ""]),
                ("Exit status", vec!["  0"])
            ]
        );
    }
}
