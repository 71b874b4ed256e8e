#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# However a run ends, it ends: at its limit, by Ctrl-C, killed. Nothing is left behind,
# and the next run works.
. "${BASH_SOURCE[0]%/*}/tap.sh"

err=$(mktemp)
at_exit rm -f "$err"

# What must be the same before and after: mounts, temporary files, and our processes,
# which are known by a word on their command line.
mark=stor-ending-$$
cache=$("$LAB" get cache)
mounts() { grep -F "$cache" /proc/self/mountinfo; }
# (The pattern comes from a file: grep's own command line must not have it.)
processes() { grep -lsF -f <(echo "$mark") /proc/[0-9]*/cmdline; }
left() {
	sleep 1
	{ mounts; processes; find "$cache/tmp" -name 'drive-*'; find "$cache/mnt" -mindepth 1; } >&2
	[ -z "$(mounts)$(processes)$(find "$cache/tmp" -name 'drive-*')$(find "$cache/mnt" -mindepth 1)" ]
}
# Wait until the VM's console says that it has come to the command.
running() {
	for _ in {1..120}; do
		sleep 1
		grep -qs "virtme-init: starting script" "$LOGS"/vm-*-"$1".log && return
	done
	return 1
}

vm --no-module --timeout 45 -- sh -c "echo $mark; sleep 1000" >/dev/null 2>"$err"
check "a hung VM is ended at its limit" [ $? -eq 124 ]
check "the last lines of its console are shown" grep -q '| \[.*virtme-init' "$err"
check "nothing is left after the limit" left

vm --no-module --timeout 300 -- sh -c "echo c >/proc/sysrq-trigger; echo $mark" >/dev/null 2>"$err"
check "a panic ends the run" [ $? -eq 125 ]
check "the panic is shown" grep -q 'Kernel panic' "$err"
check "nothing is left after a panic" left

for signal in INT TERM KILL; do
	# A process group of its own, as a terminal gives it: Ctrl-C reaches all of it.
	# (A shell starts what goes to the background with SIGINT ignored.)
	env --default-signal=INT setsid "$VM" run --no-module --timeout 300 -- sh -c "sleep 200; echo $mark" >/dev/null 2>&1 &
	pid=$!
	check "the VM for $signal runs" running "$pid"
	case $signal in
	INT) kill -INT -- "-$pid" ;;
	*) kill -"$signal" "$pid" ;;
	esac
	wait "$pid" 2>/dev/null
	check "$signal ends it with failure" [ $? -gt 128 ]
	check "nothing is left after $signal" left
done

vm --no-module -- true
check "the next run works" [ $? -eq 0 ]
finish
