#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel log judges a run: a warning fails it, whatever the command says; what a
# stock kernel says of an out-of-tree module does not.
. "${BASH_SOURCE[0]%/*}/tap.sh"

err=$(mktemp)
at_exit rm -f "$err"

vm -- sh -c '
	echo "------------[ cut here ]------------" >/dev/kmsg
	echo "WARNING: CPU: 0 PID: 1 at a/self/test.c:1 of_the_log_check+0x0/0x1" >/dev/kmsg' 2>"$err"
check "a warning fails the run" [ $? -eq 70 ]
check "the line is shown" grep -q 'WARNING: CPU: 0 PID: 1 at a/self/test.c:1' "$err"
check "the log is named" grep -q 'kernel log: .*build/log/vm-' "$err"

# Line by line, without a VM.
verdict() {
	"$LAB" enter -- python3 -c 'import sys
sys.path.insert(0, "qemu-test/lib")
import klog
print(len(klog.bad_lines(sys.argv[1])))' "[    1.234567] $1"
}
for line in \
	'BUG: kernel NULL pointer dereference, address: 0000000000000000' \
	'Oops: Oops: 0000 [#1] SMP NOPTI' \
	'WARNING: possible circular locking dependency detected' \
	'BUG: KASAN: slab-use-after-free in stor_complete+0x1/0x2' \
	'INFO: task fio:123 blocked for more than 120 seconds.' \
	'CPU: 0 UID: 0 PID: 1 Comm: sh Tainted: G        W  OE       7.3.4' \
	'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!' \
	'rust_kernel: panicked at kmod/engine/mod.rs:1:1:' \
	'INFO: trying to register non-static key.' \
	'BUG: sleeping function called from invalid context at mm/slab.h:1' \
	'[ BUG: Invalid wait context ]' \
	'WARNING: suspicious RCU usage' \
	'turning off the locking correctness validator.' \
	'ODEBUG: free active (active state 0) object: 0 object type: work_struct hint: stor' \
	'ODEBUG: Out of memory. ODEBUG disabled' \
	'UBSAN: array-index-out-of-bounds in block/blk-mq.c:1:1' \
	'BUG kmalloc-64 (Tainted: G           OE      ): Poison overwritten' \
	'kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)' \
	'kmemleak: Cannot allocate a kmemleak_object structure' \
	'list_del corruption. prev->next should be 0, but was 1.'; do
	check "bad: $line" [ "$(verdict "$line")" = 1 ]
done
check "bad: a leak after others were set aside" [ "$(verdict "kmemleak: 1 new suspected memory leaks
kmemleak: set aside by stor's selftests
kmemleak: 2 new suspected memory leaks")" = 1 ]
for line in \
	'stor: loading out-of-tree module taints kernel.' \
	'stor: module verification failed: signature and/or required key missing - tainting kernel' \
	'CPU: 0 UID: 0 PID: 1 Comm: sh Tainted: G           OE       7.3.4' \
	'Spectre V2 : WARNING: Unprivileged eBPF is enabled' \
	'kmemleak: Kernel memory leak detector initialized (mem pool available: 15755)' \
	'kmemleak: Automatic memory scanning thread started' \
	'FAULT_INJECTION: forcing a failure.' \
	'nvme0n1: injecting I/O error for READ at sector 0:8' \
	'nvme nvme0: 2/0/0 default/read/poll queues'; do
	check "good: $line" [ "$(verdict "$line")" = 0 ]
done
finish
