# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# For the tests of the lab itself: sourced first, they end with `finish`. TAP 13.
set -u
LAB=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd -P)/lab
VM=${LAB%/lab}/vm
LOGS=${LAB%/qemu-test/lab}/build/log
export LAB VM LOGS

tap_count=0 tap_failed=0
echo "TAP version 13"

vm() { "$VM" run "$@"; }

# check TEXT COMMAND...: one result, by the exit code of the command.
check() {
	local text=$1
	shift
	tap_count=$((tap_count + 1))
	if "$@"; then
		echo "ok $tap_count $text"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_count $text"
	fi
}

# at_exit COMMAND...: run it when the test ends.
at_exit() {
	# shellcheck disable=SC2064 # the words are wanted as they are now
	trap "$(printf '%q ' "$@")" EXIT
}

finish() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
	exit
}
