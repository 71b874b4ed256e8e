# SPDX-License-Identifier: GPL-2.0
#
# The entry for people. Everything but git and make is brought along: the first run
# makes a root file system with compiler, QEMU and all other tools (qemu-test/lab).
#
# kbuild reads Kbuild, not this file. With a kernel tree of your own:
#	make -C <kernel tree> M=$PWD modules

.DEFAULT_GOAL := help
.PHONY: help all module tools test test-full test-debug check hook lint demo shell
.PHONY: bench bench-scaling bench-profile docs generate rust-project clean
MAKEFLAGS += --no-print-directory

help:
	@echo 'make demo      show what stor does, in a virtual machine (ends by itself)'
	@echo 'make shell     a root shell in a virtual machine with stor loaded'
	@echo 'make test      all tests; the last line counts them'
	@echo '                 T=NAME   those whose name contains NAME'
	@echo '                 T=--list the names'
	@echo 'make test-full all of them, with whole sweeps and many rounds: hours'
	@echo 'make check     format, layers, shellcheck, generated files, Python: what takes seconds'
	@echo 'make hook      have git run that before each commit in this clone'
	@echo 'make test-debug  the selftests on a kernel that looks for errors by itself: KASAN,'
	@echo '               lockdep, kmemleak, failing allocations; built once, in 35 minutes of CPU time'
	@echo '                 T=NAME   one program of selftests/'
	@echo 'make lint      the linters among the tests'
	@echo 'make bench     instructions per I/O, beside dm-linear and dm-multipath, in build/bench'
	@echo 'make bench-profile   where they go, by function: DEVICE=stor'
	@echo "                     WORKLOAD='randread 4k depth 16' LOWER=null_blk"
	@echo 'make bench-scaling   two CPUs against one, by the wall clock'
	@echo
	@echo 'make all       the module and the tools:'
	@echo 'make module      build/kmod/<kernel release>/stor.ko, for the stock kernel'
	@echo 'make tools       build/tools/release/storadm'
	@echo 'make docs      manual pages and the manual, in build/docs'
	@echo 'make rust-project   rust-project.json, by which rust-analyzer knows the module'
	@echo 'make generate  uapi/stor.h and kmod/shim/stor-nl-gen.[ch] from uapi/stor.yaml'
	@echo 'make clean     remove build/ (the cache of the lab stays: qemu-test/lab clean)'
	@echo
	@echo 'qemu-test/vm run -- COMMAND   runs any command in such a virtual machine;'
	@echo 'qemu-test/vm help             has the options.'

all:
	@qemu-test/build module tools

module tools:
	@qemu-test/build $@

test:
	@qemu-test/test $(T)

test-full:
	@qemu-test/test --full $(T)

check:
	@qemu-test/lab enter -- qemu-test/lib/check quick

hook:
	@git config core.hooksPath qemu-test/hooks
	@echo 'git commit runs make check now; git config --unset core.hooksPath ends that'

test-debug:
	@qemu-test/test --kernel debug $(T)

lint:
	@qemu-test/test lint/

demo:
	@qemu-test/vm run --timeout 900 -- qemu-test/demo

shell:
	@qemu-test/vm shell

bench:
	@qemu-test/bench

DEVICE = stor
WORKLOAD = randread 4k depth 16
LOWER = null_blk
bench-profile:
	@qemu-test/bench --profile '$(DEVICE)' '$(WORKLOAD)' '$(LOWER)'

bench-scaling:
	@qemu-test/bench --scaling

docs: tools
	@qemu-test/lab enter -- qemu-test/lib/build docs

rust-project:
	@qemu-test/rust-project

generate:
	@qemu-test/lab enter --rw uapi --rw kmod/shim -- qemu-test/lib/build generate

clean:
	rm -rf build
