#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Module, tool and changelog say the same version, that of tools/Cargo.toml, and each
# licence that a file names has its text in LICENSES.
. "${BASH_SOURCE[0]%/*}/tap.sh"
cd "${LAB%/*}/.." || exit

# same TEXT GOT
same() { check "$1" [ "$2" = "$version" ]; [ "$2" = "$version" ] || echo "# got '$2', want '$version'"; }
# none TEXT FOUND
none() { check "$1" [ -z "$2" ]; [ -z "$2" ] || printf '# %s\n' "$2"; }

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' tools/Cargo.toml)
check "tools/Cargo.toml has a version" [ -n "$version" ]
ko=build/kmod/$("$LAB" get release)/stor.ko
same "the module has it: $version" "$("$LAB" enter -- modinfo -F version "$ko")"
same "storadm has it" "$("$LAB" enter -- build/tools/release/storadm --version | sed 's/^storadm //')"
same "it is the newest of CHANGELOG.md" "$(sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)"
none "it stands nowhere else" \
	"$(grep -rnF "\"$version\"" Kbuild kmod uapi tools/*/src tools/*/build.rs tools/*/Cargo.toml Documentation/conf.py)"

missing=''
while read -r i; do
	[ -f "LICENSES/$i.txt" ] || missing+=" $i"
done < <(grep -rIhoE --exclude-dir=.git --exclude-dir=build --exclude-dir=target \
	'SPDX-License-[I]dentifier: [A-Za-z0-9().+ -]+' . | sed 's/.*: //; s/[()]//g; s/ -*$//; s/ OR \| WITH /\n/g' | sort -u)
none "each licence has its text" "$missing"
finish
