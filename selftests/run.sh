#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run tests one after the other, as the kernel's own runner does: run.sh TEST...
#
# One TAP line for each, its own output indented before it. The exit code is 1 if
# one of them failed. What is found in `settings` is the limit for each, in seconds.
# On a kernel with kmemleak, what all of them together have lost is one more.
#
# With STOR_TEST_QUEUE, a folder that others see who run the same tests elsewhere, each
# test is run by the first who comes to it.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
timeout=${STOR_TEST_TIMEOUT:-$(sed -n 's/^timeout=//p' settings)}
# The checkout may be read-only.
export PYTHONDONTWRITEBYTECODE=1

run() { # run PROGRAM COMMAND...
	local begin=$SECONDS code
	number=$((number + 1))
	echo "# timeout set to $timeout"
	echo "# selftests: stor: $1"
	"${@:2}" 2>&1 </dev/null | sed -u 's/^/# /'
	code=${PIPESTATUS[0]}
	echo "# $1 took $((SECONDS - begin)) s"
	case $code in
	0) echo "ok $number selftests: stor: $1" ;;
	4) echo "ok $number selftests: stor: $1 # SKIP" && skipped=$((skipped + 1)) ;;
	124) echo "not ok $number selftests: stor: $1 # TIMEOUT $timeout seconds" && failed=$((failed + 1)) ;;
	*) echo "not ok $number selftests: stor: $1 # exit=$code" && failed=$((failed + 1)) ;;
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
for test; do
	# Either by its name or by that of its file.
	[ -e "$test" ] || test=$test.py
	[ -z "${STOR_TEST_QUEUE:-}" ] || mkdir "$STOR_TEST_QUEUE/$test" 2>/dev/null || continue
	if [ ! -x "$test" ]; then
		number=$((number + 1))
		echo "not ok $number selftests: stor: $test # no such test"
		failed=$((failed + 1))
		continue
	fi
	run "$test" python3 -m lib.program "$timeout" "./$test"
done
[ "$leaks" = 0 ] || run lib/kmemleak.py python3 -m lib.kmemleak check
echo "1..$number"
echo "# Totals: pass:$((number - failed - skipped)) fail:$failed skip:$skipped"
[ "$failed" -eq 0 ]
