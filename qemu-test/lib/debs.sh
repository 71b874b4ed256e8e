# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# What the package index offers; sourced by what makes kernels, in the root file system.
# The caller has set work, a directory of its own.

apt() { apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"; }

# read_index: see what is offered now.
read_index() {
	apt update
	# shellcheck disable=SC2016 # apt's own
	# One line for each package of the index: NAME VERSION
	apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' |
		xargs /usr/lib/apt/apt-helper cat-file |
		awk '/^Package: / { p = $2 } /^Version: / { print p, $2 }' >"${work:?}/index"
}

# has NAME VERSION: whether the index offers it.
has() { grep -qxF "$1 $2" "$work/index"; }

# versions_of NAME: all that are offered, the newest first.
versions_of() {
	awk -v n="$1" '$1 == n { print $2 }' "$work/index" |
		python3 -c 'import functools, subprocess, sys
def order(a, b):
    return -1 if subprocess.call(["dpkg", "--compare-versions", a, "gt", b]) == 0 else 1
print(*sorted(set(sys.stdin.read().split()), key=functools.cmp_to_key(order)), sep="\n")'
}
