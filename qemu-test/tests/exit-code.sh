#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm run is the command's stand-in: exit code, stdout and stderr come through unchanged,
# and what it writes stays nowhere but below --rw.
. "${BASH_SOURCE[0]%/*}/tap.sh"

out=$(mktemp) err=$(mktemp) dir=$(mktemp -d)
at_exit rm -rf "$out" "$err" "$dir"

# shellcheck disable=SC2016 # expanded in the guest
vm --nvme 256M,lbads=12 --nvme 128M --cpus 1 --memory 768M --rw "$dir" -- sh -c '
	echo "to stdout"; echo "to stderr" >&2
	head -c 3000000 /dev/zero | tr "\0" "\n"
	storadm info >&2
	echo "$(cat /sys/block/nvme0n1/queue/logical_block_size) $(blockdev --getsize64 /dev/nvme0n1)" >&2
	readlink -f /dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_stor-nvme1 >&2
	nproc >&2
	blkdiscard -z /dev/nvme0n1 && blkdiscard /dev/nvme0n1 && echo discards >&2
	echo kept >"$0/file"
	touch ./nowhere 2>/dev/null || echo "the checkout is read-only" >&2
	cat
	exit 37' "$dir" <<<"not for the guest" >"$out" 2>"$err"
rc=$?
cp "$err" "$LOGS/lab-exit-code.stderr"

check "the exit code is the command's" [ "$rc" -eq 37 ]
check "stdout is the command's, all of it" [ "$(head -n 1 "$out") $(wc -c <"$out")" = "to stdout 3000010" ]
check "stderr is the command's" grep -qx 'to stderr' "$err"
check "stderr is kept apart" [ "$(grep -c 'to stderr' "$out")" = 0 ]
check "storadm is on the PATH and finds stor" grep -q '^abi_version' "$err"
check "a drive has the size and block size asked for" grep -qx '4096 268435456' "$err"
check "drives are found by their id" grep -qx /dev/nvme1n1 "$err"
check "--cpus counts" grep -qx 1 "$err"
check "the drives discard and write zeroes" grep -qx discards "$err"
check "what is written below --rw stays" [ "$(cat "$dir/file" 2>&1)" = kept ]
check "the checkout is read-only" grep -qx 'the checkout is read-only' "$err"
check "the kernel log is named on failure" grep -q 'kernel log: .*build/log/vm-' "$err"

for bad in '--nvme 1X' '--nvme 1G,lbads=10' '--cpus 0' '--memory lots' '--kernel nosuch' '--frobnicate' \
	'--icount --cpus 2' '--plugin /does/not/exist.so' '--nvme 1G,nul' '--timeout never' '--rw /does/not/exist'; do
	# shellcheck disable=SC2086 # words are wanted
	vm $bad -- true >/dev/null 2>"$err"
	check "$bad is refused" [ $? -ne 0 ] && grep -q 'error' "$err"
done
finish
