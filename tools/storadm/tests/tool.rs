// SPDX-License-Identifier: GPL-2.0

//! The tool from outside, as far as it goes without the module.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pretty_assertions::assert_eq;
use serde_json::Value;

const TOOL: &str = env!("CARGO_BIN_EXE_storadm");

fn run(args: &str) -> Output {
    Command::new(TOOL)
        .args(args.split_whitespace())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What needs the module to be absent is left out where it is not.
fn module_is_loaded() -> bool {
    Path::new("/sys/module/stor").exists()
}

const EVERY_COMMAND: [&str; 16] = [
    "info",
    "monitor",
    "volume list",
    "volume show vm1",
    "volume show --uuid 4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f",
    "volume delete --index 0",
    "volume create vm1 --backing /dev/null --length 2048s",
    "volume create vm1 --backing /dev/null --read-only",
    "volume open-luks /dev/null vm1",
    "volume unlock vm1 --luks --key-file - --key-slot 31",
    "volume open-luks /dev/null vm1 --key-file - --key-slot 31 --allow-discards",
    "volume set vm1 --length 1G --read-only off",
    "volume gate vm1",
    "stat",
    "stat vm1 --index 3 --per-cpu --stage all",
    "stat --interval 0.5 --count 1",
];

#[test]
fn without_the_module_every_command_says_so() {
    if module_is_loaded() {
        return;
    }
    let message = "the stor module is not loaded (modprobe stor or insmod stor.ko)";
    for command in EVERY_COMMAND {
        let output = run(command);
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert_eq!(stderr(&output), format!("storadm: {message}\n"));
        assert_eq!(stdout(&output), "");

        let output = run(&format!("{command} --json"));
        assert_eq!(output.status.code(), Some(3), "{command}");
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
        assert_eq!(error["schema_version"], 1);
        assert_eq!(error["error"]["message"], message);
        assert_eq!(error["error"]["errno"], Value::Null);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn wrong_usage() {
    for args in [
        "volume create",
        "volume create vm1",
        "volume create vm1 --backing /dev/x --length 1X",
        "volume create vm1 --backing /dev/x --length 99999999T",
        "volume create vm1 --backing /dev/x --uuid 12",
        "volume open-luks /dev/x",
        "volume unlock vm1 --luks --key logon:stor:vm1",
        "volume unlock vm1 --key-slot 1",
        "volume unlock vm1 --key-file -",
        "volume open-luks /dev/x vm1 --key-slot 32",
        "volume open-luks /dev/x vm1 --key-slot -1",
        "volume show",
        "volume show vm1 --index 1",
        "volume delete vm1 vm2",
        "volume set vm1",
        "volume set --length 1G",
        "volume set vm1 --read-only maybe",
        "volume gate",
        "stat --interval 0",
        "stat --interval x",
        "stat --count 3",
        "stat --interval 1 --count 0",
        "stat --stage upper",
        "top",
        "top --interval 0",
        "volume explode",
        "--colour info",
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(
            stderr(&output).starts_with("storadm: "),
            "{}",
            stderr(&output)
        );
        assert!(!stderr(&output).starts_with("storadm: error"), "{args}");
        assert_eq!(stdout(&output), "");

        let output = run(&format!("{args} --json"));
        assert_eq!(output.status.code(), Some(2), "{args}");
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
        assert_eq!(error["schema_version"], 1);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && !message.contains("Usage"),
            "{message}"
        );
    }
    let output = run("stat --histogram");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "storadm: --histogram adds to JSON: give --json too\n"
    );
    // Not a flag after "--".
    let output = run("volume show -- --json vm1");
    assert!(stderr(&output).starts_with("storadm: "));
}

#[test]
fn without_arguments_there_is_help() {
    for args in ["", "volume"] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("Usage: storadm"));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn help_is_data() {
    for args in [
        "--help",
        "-h",
        "volume create --help",
        "monitor -h",
        "--version",
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{args}");
        assert_eq!(stderr(&output), "");
        assert!(stdout(&output).contains("storadm"), "{args}");
    }
    let help = stdout(&run("--help"));
    assert!(help.contains("3  the stor module is not loaded"), "{help}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    for args in ["--help", "volume create --help"] {
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let output = Command::new(TOOL)
            .args(args.split_whitespace())
            .stdout(OwnedFd::from(writer))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}");
        assert_eq!(stderr(&output), "");
    }
}
