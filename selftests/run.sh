#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run tests one after the other, as the kernel's own runner does: run.sh TEST...
#
# One TAP line for each, its own output indented before it. The exit code is 1 if
# one of them failed. What is found in `settings` is the limit for each, in seconds.
# On a kernel with kmemleak, what all of them together have lost is one more.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
timeout=${STOR_TEST_TIMEOUT:-$(sed -n 's/^timeout=//p' settings)}
# The checkout may be read-only.
export PYTHONDONTWRITEBYTECODE=1

run() { # run NUMBER PROGRAM [ARGUMENT]...
	local begin=$SECONDS code
	echo "# timeout set to $timeout"
	echo "# selftests: stor: $2"
	timeout --foreground --kill-after=10 "$timeout" "./$2" "${@:3}" 2>&1 </dev/null | sed -u 's/^/# /'
	code=${PIPESTATUS[0]}
	echo "# $2 took $((SECONDS - begin)) s"
	case $code in
	0) echo "ok $1 selftests: stor: $2" ;;
	4) echo "ok $1 selftests: stor: $2 # SKIP" && skipped=$((skipped + 1)) ;;
	124) echo "not ok $1 selftests: stor: $2 # TIMEOUT $timeout seconds" && failed=$((failed + 1)) ;;
	*) echo "not ok $1 selftests: stor: $2 # exit=$code" && failed=$((failed + 1)) ;;
	esac
}

failed=0 skipped=0 number=0
echo "TAP version 13"
python3 -m lib.kmemleak baseline
case $? in
0) leaks=1 ;;
4) leaks=0 ;;
*) echo "Bail out! kmemleak does not work" && exit 1 ;;
esac
total=$(($# + leaks))
echo "1..$total"
for test; do
	number=$((number + 1))
	# Either by its name or by that of its file.
	[ -e "$test" ] || test=$test.py
	if [ ! -x "$test" ]; then
		echo "not ok $number selftests: stor: $test # no such test"
		failed=$((failed + 1))
		continue
	fi
	run "$number" "$test"
done
[ "$leaks" = 0 ] || run "$total" lib/kmemleak.py check
echo "# Totals: pass:$((total - failed - skipped)) fail:$failed skip:$skipped"
[ "$failed" -eq 0 ]
