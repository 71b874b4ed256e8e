#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the VM does: make it ready, run the command, report. Started by virtme-init as
# root; run-vm.py wrote /.lab/job/ before and listens at the ports stor.*.

job=/.lab/job
port=/dev/virtio-ports/stor
# shellcheck source=/dev/null # written by run-vm.py: STOR_REPO, TOKEN, DRIVES, MODULE, ...
. "$job/settings"
token=${TOKEN:?}

# From here on it is no matter of booting any more.
echo "<5>stor-lab: begin $token" >/dev/kmsg

# Ends the run: host, command or module trouble alike come by here.
finish() { # finish EXIT-CODE
	printf '%s\n' "$1 $(cat /proc/sys/kernel/tainted)" >"$port.rc"
	# What the kernel said before this line has reached the host when this line has.
	echo "<5>stor-lab: end $token" >/dev/kmsg
	sleep 30 # the host ends the VM
	poweroff -f
}

trouble() {
	printf 'lab: %s\n%s' "$1" "$token" >"$port.err"
	printf '%s' "$token" >"$port.out"
	finish 125
}

for file in out err rc; do
	[ -e "$port.$file" ] || { echo "<3>stor-lab: no port $port.$file" >/dev/kmsg; poweroff -f; }
done

# Shared directories that this guest's own mounts hide, at their own paths again.
mount -t tmpfs -o mode=1777 tmp /tmp
while read -r n dir; do
	mkdir -p "$dir"
	[ "$dir" -ef "/.lab/share/$n" ] || mount --bind "/.lab/share/$n" "$dir"
done </.lab/shares
mount -t tmpfs -o mode=0755 root /root

# The first drive given is nvme0, and so on. They are probed side by side, so their
# numbers may have come out in another order; then probe again one after the other.
drive() { tr -d ' ' <"/sys/class/nvme/nvme$1/serial"; } 2>/dev/null
ready() { [ "$(drive "$1")" = "stor-nvme$1" ] && [ -b "/dev/nvme$1n1" ]; }
wait_for() { for _ in {1..100}; do "$@" && return; sleep 0.1; done; return 1; }
all_ready() { for ((n = 0; n < DRIVES; n++)); do ready "$n" || return; done; }
present() { local found=(/dev/nvme*n1) && [ "${#found[@]}" -ge "$DRIVES" ]; }
in_order() {
	local n serial slots=()
	wait_for present
	for ((n = 0; n < DRIVES; n++)); do
		serial=$(drive "$n")
		slots[${serial#stor-nvme}]=$(cat "/sys/class/nvme/nvme$n/address")
	done
	for n in "${slots[@]}"; do echo "$n" >/sys/bus/pci/drivers/nvme/unbind; done
	for ((n = 0; n < DRIVES; n++)); do
		echo "${slots[n]}" >/sys/bus/pci/drivers/nvme/bind
		wait_for ready "$n" || return
	done
}
all_ready || { sleep 0.5; all_ready; } || in_order || trouble "the NVMe drives did not appear; see the kernel log"
udevadm settle --timeout=30

if [ -n "$MODULE" ]; then
	message=$(insmod "$MODULE" 2>&1) || trouble "$message"
	udevadm settle --timeout=30
fi

cd "$STOR_REPO" || trouble "no $STOR_REPO in the guest"
mapfile -d '' -t command <"$job/argv"
# Only what a command of a person's may count on.
environment=(PATH="$STOR_REPO/build/tools/release:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	HOME=/root LANG=C.UTF-8 TERM="$TERM_NAME" ${TUNABLES:+GLIBC_TUNABLES="$TUNABLES"}
	STOR_REPO="$STOR_REPO" STOR_VM=1)

if [ -n "$TTY" ]; then
	hostname stor-vm
	cat >/run/bashrc <<-'EOF'
		PS1='\[\e[1m\]\h:\w#\[\e[0m\] '
		alias ls='ls --color=auto' ll='ls -l'
		# Completions, from storadm's own definitions.
		if build/tools/release/storadm-docs /run/storadm >/dev/null 2>&1; then
			. /run/storadm/completions/bash/*
		fi
		printf 'Linux %s, stor %s; drives: %s\n' "$(uname -r)" \
			"$(cat /sys/module/stor/version 2>/dev/null || echo 'not loaded')" "$(echo /dev/nvme*n1)"
		printf 'To begin with: storadm volume create vm1 --backing /dev/nvme0n1\n'
		printf 'What you write here is forgotten when you leave (exit, or Ctrl-D).\n'
	EOF
	# A terminal of its own; what is typed comes by virtme's port, our stdin.
	env -i "${environment[@]}" script -q -e -E never -c "stty $TTY; exec bash --rcfile /run/bashrc -i" /dev/null >"$port.out"
	code=0 # how the last command in a shell ended is no matter
	printf '%s' "$token" >"$port.out"
	printf '%s' "$token" >"$port.err"
else
	# Through pipes, as a port takes one writer and a command may open /dev/stdout anew.
	# The token tells the host that a stream is complete.
	mkfifo /run/stor.out /run/stor.err
	for stream in out err; do
		cat <"/run/stor.$stream" >"$port.$stream" &
	done
	env -i "${environment[@]}" "${command[@]}" </dev/null >/run/stor.out 2>/run/stor.err
	code=$?
	# A daemon that the command left running may hold a stream open for ever.
	for _ in {1..30}; do
		[ -n "$(jobs -r)" ] || break
		sleep 0.1
	done
	for pid in $(jobs -rp); do kill "$pid"; done
	wait
	for stream in out err; do printf '%s' "$token" >"$port.$stream"; done
fi
finish "$code"
