# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Words for people, and timed steps; sourced by the scripts of the lab.
#
# All of it goes to stderr: the stdout of `vm run` is the command's alone.

PATH=$PATH:/usr/sbin:/sbin # which an ordinary user may not have, and chroot is there

say() { printf '%s\n' "$*" >&2; }

die() {
	printf 'error: %s\n' "$1" >&2
	shift
	[ $# -eq 0 ] || printf '       %s\n' "$@" >&2
	exit 125
}

# On a signal: end the step that runs, then go by that signal, as is expected.
stop() {
	trap '' INT TERM HUP
	[ -z "${STEP_PID:-}" ] || kill -TERM "$STEP_PID" 2>/dev/null || true
	wait
	trap - "$1"
	kill -s "$1" $$
}
stop_on_signals() {
	local signal
	for signal in INT TERM HUP; do
		# shellcheck disable=SC2064 # the name of the signal is wanted now
		trap "stop $signal" "$signal"
	done
}

# step LOG TEXT COMMAND...: run a command, say what it does and how long it took.
# Its output goes to the file LOG; meanwhile its last line shows how far it is.
step() {
	local log=$1 text=$2 start=$SECONDS pid rc=0 last='' line shown=0
	shift 2
	mkdir -p "$(dirname "$log")"
	say "==> $text"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	STEP_PID=$pid
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		# On a terminal one line is rewritten, elsewhere a line now and then will do.
		if [ -t 2 ]; then
			line=$(tail -c 400 "$log" | tr '\r' '\n' | grep -av "^ *$" | tail -n 1 | cut -c 1-68) || true
			[ "$line" = "$last" ] || printf '\r\033[K    %4d s  %s' "$((SECONDS - start))" "$line" >&2
			last=$line
		elif [ $((SECONDS - start)) -ge $((shown + 15)) ]; then
			shown=$((SECONDS - start))
			line=$(tail -c 400 "$log" | tr '\r' '\n' | grep -av "^ *$" | tail -n 1 | cut -c 1-68) || true
			say "    $(printf '%4d s  %s' "$shown" "$line")"
		fi
	done
	wait "$pid" || rc=$?
	STEP_PID=''
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ "$rc" -ne 0 ]; then
		say "    failed after $((SECONDS - start)) s (exit code $rc). The last lines of $log:"
		tail -n 25 "$log" | sed 's/^/    | /' >&2
		return "$rc"
	fi
	say "    done in $((SECONDS - start)) s"
}
