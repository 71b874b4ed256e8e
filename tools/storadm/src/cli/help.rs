// SPDX-License-Identifier: GPL-2.0

//! What follows the options in help texts and man pages.
//!
//! A line without indentation that ends in a colon begins a section.

/// Sections of every man page.
const EXIT_STATUS: &str = "\
Exit status:
  0  success
  1  refused by the module, or failed
  2  wrong usage
  3  the stor module is not loaded, or cannot be seen from this network namespace";

const OUTPUT: &str = "\
Output:
  Standard output carries only data. On a terminal it is laid out for people;
  in a pipe or file it has neither headers nor decoration, one record per line,
  fields separated by tabs, and sizes in bytes. With --json it is JSON.

  Errors and warnings go to standard error, each prefixed with \"storadm: \". When
  the module refuses a request, what it says is what is printed, followed by the
  name of the error number. With --json an error is a document of its own:
  {\"schema_version\":1,\"error\":{\"message\":...,\"errno\":...,\"attribute\":...}}

  Text that came from the kernel, such as a backing's path, is escaped where a
  character is not printable: \\n, \\u{1b}; a byte that is not UTF-8 becomes \\xff, a
  backslash \\\\. In JSON unprintable characters are \\uXXXX, and bytes that are not
  UTF-8 become U+FFFD.

  A reader that closes the pipe early ends the tool quietly with status 0.";

/// Section about the exit status.
pub fn exit_status() -> &'static str {
    EXIT_STATUS
}

/// Section about what is printed.
pub fn output() -> &'static str {
    OUTPUT
}

pub(super) const MAIN: &str = "\
Examples:
  storadm info
  storadm volume create vm1 --backing /dev/nvme0n1 --length 10G
  storadm volume list
  storadm volume delete vm1

Exit status: 0 success, 1 refused or failed, 2 wrong usage, 3 module not loaded.
See --help or storadm(8) for more.";

pub(super) fn main_long() -> String {
    format!(
        "\
Examples:
  storadm info
  storadm volume create vm1 --backing /dev/nvme0n1 --length 10G
  storadm volume list
  storadm volume delete vm1

Sizes:
  A whole number and a unit: K, M, G, T, P, E and KiB, MiB, ... are powers of 1024;
  KB, MB, ... are powers of 1000; s is a sector of 512 bytes; without a unit the
  number counts bytes. Case does not matter.

{OUTPUT}

{EXIT_STATUS}"
    )
}

pub(super) const VOLUME: &str = "\
Examples:
  storadm volume create vm1 --backing /dev/nvme0n1 --length 10G
  storadm volume show vm1
  storadm volume delete vm1";

pub(super) const CREATE: &str = "\
Sizes:
  10G and 10GiB are 10 * 1024^3 bytes, 10GB is 10 * 1000^3, 2048s is 2048 sectors of
  512 bytes, 4096 is 4096 bytes.

Examples:
  storadm volume create vm1 --backing /dev/nvme0n1
  storadm volume create vm2 --backing /dev/nvme0n1 --offset 10G --length 512MiB
  storadm volume create vm3 --backing /dev/disk/by-id/nvme-x --offset 2048s --index 7
  storadm volume create image --backing /dev/nvme0n1 --offset 20G --length 4G --read-only
  disk=$(storadm volume create vm4 --backing /dev/nvme0n1 --offset 24G --length 1G)";

pub(super) const OPEN_LUKS: &str = "\
Examples:
  storadm volume open-luks /dev/nvme0n1 vm1
  storadm volume open-luks /dev/nvme0n1 vm1 --key-file /run/keys/vm1 --key-slot 1
  pass disks/vm1 | storadm volume open-luks /dev/nvme0n1 vm1
  vault read -field=key disks/vm1 | storadm volume open-luks /dev/nvme0n1 vm1 --key-file -";

pub(super) const DELETE: &str = "\
Examples:
  storadm volume delete vm1
  storadm volume delete --index 7
  storadm volume delete --uuid 4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f";

pub(super) const SET: &str = "\
Examples:
  storadm volume set vm1 --length 20G
  storadm volume set --index 7 --read-only on
  storadm volume set vm1 --read-only off --length 512MiB";

pub(super) const GATE: &str = "\
Examples:
  storadm volume gate vm1
  storadm volume gate --index 7 --json | jq .volume.gate_last_ns";

pub(super) const LOCK: &str = "\
Examples:
  storadm volume lock vm1
  storadm volume lock vm1 --fail
  storadm volume list --json | jq -r '.volumes[] | select(.state == \"locked\") | .name'";

pub(super) const UNLOCK: &str = "\
Examples:
  storadm key add stor:vm1 --file /run/keys/vm1
  storadm volume unlock vm1
  storadm key remove logon:stor:vm1
  storadm volume unlock vm2 --luks";

pub(super) const LIST: &str = "\
Examples:
  storadm volume list
  storadm volume list | cut -f 1
  storadm volume list --json | jq -r '.volumes[] | select(.state != \"live\") | .name'";

pub(super) const SHOW: &str = "\
Examples:
  storadm volume show vm1
  storadm volume show --index 0 --json
  storadm volume show vm1 | awk -F '\\t' '$1 == \"length\" { print $2 }'";

pub(super) const KEY: &str = "\
Examples:
  storadm key add stor:vm1 --file /run/keys/vm1
  storadm volume create vm1 --backing /dev/nvme0n1 --key logon:stor:vm1
  storadm key remove logon:stor:vm1";

pub(super) const KEY_ADD: &str = "\
Examples:
  storadm key add stor:vm1 --file /run/keys/vm1
  vault read -field=key disks/vm1 | storadm key add stor:vm1 --hex
  storadm key add stor:scratch --random 512";

pub(super) const KEY_LIST: &str = "\
Examples:
  storadm key list
  storadm key list | cut -f 1";

pub(super) const KEY_REMOVE: &str = "\
Examples:
  storadm key remove logon:stor:vm1";

pub(super) const STAT: &str = "\
Percentiles:
  Of N latencies in order, pX is the one at place X/100 * N, rounded up. With few I/Os
  that is the longest or close to it; nothing is made up in between. Latencies are
  counted in buckets, and a percentile is shown as the middle of its bucket, which is
  at most 1/128 (0.78 %) off. max is the longest, in the same way. From 136 s on there
  is one last bucket: what is in it counts as longer than all, shown as \">136s\" or as
  18446744073709551615.

Fields:
  In a pipe there is a line for each volume, op and stage, with the fields time, name,
  disk, CPU, op, stage, length of the interval in nanoseconds, I/Os that were done,
  bytes, I/Os per second, bytes per second, in flight, errors of the volume, p50, p90,
  p99, p99.9, p99.99, p99.999 and max in nanoseconds. \"-\" is what is not known.

Examples:
  storadm stat
  storadm stat vm1 vm2 --stage all
  storadm stat vm1 --interval 1 --count 10
  storadm stat --json | jq '.stat.volumes[] | [.name, .errors]'
  storadm stat vm1 --json --histogram | jq '.stat.volumes[].ops[0].latency[0].histogram'";

pub(super) const TOP: &str = "\
Keys:
  up, down        choose a volume (also j and k, Page Up, Page Down, Home, End)
  Enter, Esc      show all about it, and go back
  Tab             there: show the histogram of the next op
  a               latencies since the volume was made, and again of the interval
  n d i b f l e   sort by name, disk, IOPS, bytes a second, in flight, latency
                  (the longer p99 of read and write), errors
  r               reverse the order
  Space           pause, and go on
  h, q            help, quit

Examples:
  storadm top
  storadm top --interval 0.5";

pub(super) const MONITOR: &str = "\
Examples:
  storadm monitor
  storadm monitor --initial --json | jq -c '[.event, .volume.name]'";

pub(super) const INFO: &str = "\
Examples:
  storadm info
  storadm info --json | jq -e '.info.features | index(\"volume\")'";
