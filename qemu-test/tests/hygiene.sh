#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Keys and data of encrypted volumes leave no trace in memory: selftests/hygiene.py, in a
# VM whose memory is searched from outside. All else keeps away from one of its CPUs.
# The dynamic linker, when it binds a function at its first call, puts registers on the stack.
exec "${BASH_SOURCE[0]%/*}/../vm" run --dump --timeout 400 --kopt isolcpus=1 --memory 512M --nvme 512M --nvme 512M -- \
	env LD_BIND_NOW=1 PYTHONDONTWRITEBYTECODE=1 selftests/hygiene.py
