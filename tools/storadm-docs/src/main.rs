// SPDX-License-Identifier: GPL-2.0

//! Writes storadm's man pages and shell completions.
//!
//! `storadm-docs DIR` writes `DIR/man/*.8` and `DIR/completions/{bash,zsh,fish}/...`, all made from
//! the definitions that the tool itself parses its command line with.

#![forbid(unsafe_code)]

mod man;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::Shell;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(dir), None) = (args.next(), args.next()) else {
        eprintln!("usage: storadm-docs DIR");
        return ExitCode::from(2);
    };
    match write(&PathBuf::from(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storadm-docs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(dir: &Path) -> Result<(), Box<dyn Error>> {
    let pages = dir.join("man");
    fs::create_dir_all(&pages)?;
    for (name, page) in man::pages()? {
        fs::write(pages.join(name), page)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let dir = dir.join("completions").join(shell.to_string());
        fs::create_dir_all(&dir)?;
        clap_complete::generate_to(shell, &mut storadm::cli::command(), "storadm", dir)?;
    }
    Ok(())
}
