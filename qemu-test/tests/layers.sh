#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The layer rules (qemu-test/lib/layers): a tree that keeps them passes, each way to break
# them is found, and what only looks like it is not. Without a VM.
. "${BASH_SOURCE[0]%/*}/tap.sh"
layers() { "$LAB" enter -- "${LAB%/lab}/lib/layers" "$tree"; } # its Python is the lab's
mkdir -p "$LOGS"
tree=$(mktemp -d "$LOGS/layers.XXXXXX")
at_exit rm -rf "$tree"

# file NAME: stdin becomes a file of the tree.
file() { mkdir -p "$(dirname "$tree/$1")" && cat >"$tree/$1"; }
fresh() {
	rm -rf "${tree:?}"/*
	file stor.rs <<<'mod control; mod engine; mod io; mod kapi; mod model;'
	file control/mod.rs <<<'use crate::{engine::stages::{run, Stage}, model::units::Bytes};'
	file engine/mod.rs <<<'pub(crate) mod stages; pub(crate) use self::stages::Stage;'
	file engine/stages.rs <<<'use crate::io::leg::Leg; // not: use crate::control::x, nor unsafe'
	file io/mod.rs <<<'pub(crate) mod leg; pub(crate) mod end;'
	file io/leg.rs <<<'use super::end::End; use crate::kapi::sys; unsafe fn leg() {}'
	file io/end.rs <<<'pub(crate) struct End; const SAID: &str = "use crate::control::x; unsafe";'
	file kapi/mod.rs <<<'pub(crate) mod sys;'
	file kapi/sys.rs <<<'use crate::model::units::Bytes; pub(crate) unsafe fn shim() {}'
	file model/mod.rs <<<'pub mod units; #[cfg(test)] mod tests { fn f() { unsafe {} } }'
	file model/units.rs <<<'pub struct Bytes;'
	file shim/shim.h <<<'/* nothing */'
	file shim/shim.c <<<'#include "shim.h"'
	file io/submit.h <<<'#include "../shim/shim.h"'
}
# broken TEXT EXPRESSION: the tree is refused, by a line with that.
broken() {
	local out rc=0
	out=$(layers 2>&1) || rc=$?
	check "$1" eval "[ $rc = 1 ] && grep -qE -- '$2' <<<\"\$out\""
	grep -qE -- "$2" <<<"$out" || printf '# %s\n' "$out"
	fresh
}

fresh
check "a tree that keeps the rules passes" layers
rm -r "$tree/io" && file engine/stages.rs <<<'use crate::kapi::sys;'
check "so does one without the room io" layers
fresh

file engine/stages.rs <<<'use crate::{io::leg::Leg, control};'
broken "engine knows control" '^.*/engine/stages.rs:1: engine must not know control'
file io/end.rs <<<'fn f() { crate::engine::stages::run() }'
broken "io knows engine, by a path in an expression" 'io/end.rs:1: io must not know engine'
# shellcheck disable=SC2016 # Rust's $
file kapi/sys.rs <<<'macro_rules! m { () => { $crate::io::leg::leg() } }'
broken "kapi knows io, in a macro" 'kapi/sys.rs:1: kapi must not know io'
file model/units.rs <<<'use crate::kapi::sys;'
broken "model knows kapi" 'model must not know kapi'
file io/end.rs <<<'use crate::engine::Stage;'
broken "a name that is handed on is that of its file" 'io must not know engine .engine/stages.rs'
file io/end.rs <<<'use super::leg::Leg;'
broken "a circle in a room" 'a circle: io/end.rs:1 -> io/leg.rs:1 -> io/end.rs'
file engine/stages.rs <<<'fn f() { unsafe { g() } }'
broken "unsafe in engine" 'engine/stages.rs:1: unsafe, which'
file shim/shim.h <<<'#include "../io/submit.h"'
broken "shim includes io" 'shim must not know io'
file io/a.h <<<'#include "b.h"' && file io/b.h <<<'#include "a.h"'
broken "headers in a circle" 'a circle: io/a.h:1 -> io/b.h:1 -> io/a.h'
file layers.known <<<'io/leg.rs -> engine/mod.rs'
broken "a known arrow that is gone" 'layers.known: io/leg.rs -> engine/mod.rs is gone'
file layers.known <<<'io/end.rs -> io/leg.rs' && file io/end.rs <<<'use super::leg::Leg;'
check "a known arrow is let be" layers
finish
