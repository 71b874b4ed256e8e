#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the bench makes of its measurements: rows, spread, comparison, chart, profile.
# Without a VM, from made-up figures.
. "${BASH_SOURCE[0]%/*}/tap.sh"

dir=${LAB%/qemu-test/lab}/build/test-bench
rm -rf "$dir"
mkdir -p "$dir/results" "$dir/profile"
at_exit rm -rf "$dir"
report() { "$LAB" enter -- qemu-test/lib/bench/report.py "$@"; }

# row DEVICE DEPTH REPEATS: a line as measure.py writes it.
row() {
	printf '{"device": "%s", "lower": "null_blk", "rw": "randread", "bs": 4096, "depth": %s, "poll": false, "repeats": [%s]}\n' "$@"
}
measured=$dir/results/measured-null_blk.jsonl
{
	row stor 16 '8990.04, 8985.96'
	row raw 1 '8600, 8600.5'
	row raw 16 '7000, 7010'
	row dm-linear 16 '9000, 8800, 8810'
	echo '{"device": "stor-nostat", "lower": "null_blk", "rw": "randread", "bs": 4096, "depth": 1, "poll": false, "skipped": "why not"}'
} >"$measured"
report results "$dir/results" >"$dir/out" 2>"$dir/err"
check "repeats that agree: exit code 0" [ $? -eq 0 ]
cat >"$dir/want" <<-'EOF2'
	[
	  {"device": "raw", "lower": "null_blk", "rw": "randread", "bs": 4096, "depth": 1, "poll": false, "insn_per_io": 8600, "added": 0},
	  {"device": "raw", "lower": "null_blk", "rw": "randread", "bs": 4096, "depth": 16, "poll": false, "insn_per_io": 7000, "added": 0},
	  {"device": "dm-linear", "lower": "null_blk", "rw": "randread", "bs": 4096, "depth": 16, "poll": false, "insn_per_io": 8800, "added": 1800},
	  {"device": "stor", "lower": "null_blk", "rw": "randread", "bs": 4096, "depth": 16, "poll": false, "insn_per_io": 8986.0, "added": 1986.0}
	]
EOF2
check "results.json: in order, the least of the repeats, added over raw" diff -u "$dir/want" "$dir/results/results.json"
check "the table has both, and the ratio to dm-linear" grep -qE '^randread 4k depth 16 +7000 +\+1800 +\+1986 +1\.10x$' "$dir/out"
check "no row of a device: a dash" grep -qE '^randread 4k depth 1 +8600 +- +-$' "$dir/out"
check "what is left out is named" grep -qx 'Left out: stor-nostat on null_blk: why not' "$dir/out"
check "the widest spread is named" grep -q 'Repeats agree within 0.14%; the widest is raw on null_blk, randread 4k depth 16' "$dir/out"
check "a row that was disturbed is counted" grep -q '(1 more often' "$dir/out"
check "the chart is XML, with the figures" "$LAB" enter -- python3 -c '
import sys
from xml.etree import ElementTree
words = [e.text for e in ElementTree.parse(sys.argv[1]).iter() if e.text]
assert {"1800", "1986", "dm-linear", "stor"} <= set(words), words' "$dir/results/added.svg"

row raw 64 '7000, 7071, 7200' >>"$measured"
report results "$dir/results" >/dev/null 2>"$dir/err"
check "repeats that differ by more than 1 %: exit code 1" [ $? -eq 1 ]
check "the row is named" grep -qx 'error: raw on null_blk, randread 4k depth 64: of 3 repeats the closest differ by 1.0%, more than 1%' "$dir/err"
row stor 64 '9000, 9000' >"$dir/results/measured-nvme.jsonl"
sed -i 's/null_blk/nvme/' "$dir/results/measured-nvme.jsonl"
report results "$dir/results" >/dev/null 2>"$dir/err"
check "a row without its raw row: exit code 125" [ $? -eq 125 ]
check "it says which" grep -qx 'error: stor on nvme, randread 4k depth 64: no such row of raw' "$dir/err"

bench=${LAB%/lab}/bench
sed 's/"insn_per_io": 8986.0/"insn_per_io": 9050.0/' "$dir/want" >"$dir/near.json"
sed 's/"insn_per_io": 8986.0/"insn_per_io": 9100.0/; /"depth": 1,/d' "$dir/want" >"$dir/far.json"
"$bench" --compare "$dir/want" "$dir/near.json" >"$dir/out" 2>&1
check "results within 1 %: exit code 0" [ $? -eq 0 ]
check "the change is shown" grep -qE '^stor on null_blk, randread 4k depth 16 +8986 +9050 +\+64 +\+0\.71%$' "$dir/out"
"$bench" --compare "$dir/want" "$dir/far.json" >"$dir/out" 2>&1
check "results that differ by more: exit code 1" [ $? -eq 1 ]
check "the row is named there" grep -qx '  stor on null_blk, randread 4k depth 16' "$dir/out"
check "a row that one lacks is shown" grep -qE '^raw on null_blk, randread 4k depth 1 +only in the old$' "$dir/out"

# 10 I/Os: 1000 instructions of fio, 300 of the kernel, 500 of stor; raw takes 1000 and
# 200, in a kernel that has the same functions.
cat >"$dir/profile/blocks.1" <<-'EOF2'
	1 1000
	1010 200
EOF2
cat >"$dir/profile/blocks.2" <<-'EOF2'
	1 1000
	1010 200
	1020 100
	2008 500
EOF2
symbols='"symbols": [[8192, "_RNvNtCs1Ab_4stor5front9queue_rqs", "[stor]"], [4096, "blk_mq_submit_bio"], [4128, "io_submit_sqes"]]'
common='"lower": "null_blk", "rw": "randread", "bs": 4096, "depth": 1, "poll": false, "ios": 10.0'
cat >"$dir/profile/measured.jsonl" <<-EOF2
	{"device": "raw", $common, "repeats": [120.0], $symbols}
	{"device": "stor", $common, "repeats": [179.0], $symbols}
EOF2
"$LAB" enter -- qemu-test/lib/bench/profile.py "$dir/profile" >"$dir/out" 2>&1
check "a profile" [ $? -eq 0 ]
check "its total is held against the clock" grep -qx 'stor: 180 of 10 I/Os; by the clock of the VM 179 (+0.56%)' "$dir/out"
check "the part of programs" grep -qE '^ +100\.0 +100\.0 +\+0\.0  programs$' "$dir/out"
check "a function of the module, demangled" grep -qE '^ +0\.0 +50\.0 +\+50\.0  stor +stor::front::queue_rqs \[stor\]$' "$dir/out"
check "a function of the kernel" grep -qE '^ +20\.0 +20\.0 +\+0\.0  block layer +blk_mq_submit_bio$' "$dir/out"
check "what is added comes first" [ "$(grep -nE 'stor +stor::' "$dir/out" | cut -d: -f1)" -lt "$(grep -n 'blk_mq_submit_bio' "$dir/out" | cut -d: -f1)" ]
finish
