#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The search for secrets (vm run --dump): what it searches for is what AES makes of a key,
# and what is there it finds. Without a VM; hygiene.sh has one.
. "${BASH_SOURCE[0]%/*}/tap.sh"

python() { "$LAB" enter -- python3 -c "import os, pathlib, sys
sys.path.insert(0, 'qemu-test/lib')
import dump, patterns
$1"; }

check "round keys are those of FIPS 197, A.1 to A.3" python '
for key, last in (
        ("2b7e151628aed2a6abf7158809cf4f3c", "d014f9a8c9ee2589e13f0cc8b6630ca6"),
        ("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "e98ba06f448c773c8ecc720401002202"),
        ("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
         "fe4890d1e6188d0b046df344706c631e")):
    assert patterns.round_keys(bytes.fromhex(key))[-1].hex() == last'
check "those that decrypt are those of FIPS 197, C.1 and C.3" python '
for length, key in (16, "13aa29be9c8faff6f770f58000f7bf03"), (32, "34f1d1ffbfceaa2ffce9e25f2558016e"):
    assert patterns.decryption_keys(bytes(range(length)))[1].hex() == key'
check "what is in a file is found and counted, and nothing else" python '
search = dump.Search(pathlib.Path("/tmp"))
key = dump.secret("key", 64)
search.add(patterns.of_xts_key("key", key))
search.add(patterns.of_marker("other", dump.secret("other", 64)))
file = os.memfd_create("file")
def found(*parts):
    os.truncate(file, 0)
    os.pwrite(file, b"".join(parts), 1 << 20)
    counts = search.run({"here": [file]})
    assert not any(counts["other"]["here"][kind][1] for kind in counts["other"]["here"])
    return {kind: tuple(of[1:]) for kind, of in counts["key"]["here"].items() if of[1]}
assert not found(b"nothing"), "in nothing"
assert found(key) == {"whole": (1, 1), "pieces": (8, 8)}
# At the end, across pages, and after zeros.
assert found(bytes(4090), key, bytes(9001), key[16:24]) == {"whole": (1, 1), "pieces": (8, 9)}
assert found(patterns.round_keys(key[:32])[7], b"+") == {"rounds": (2, 2)}
assert found(patterns.decryption_keys(key[32:])[3]) == {"rounds": (2, 2)}
assert found(patterns.swapped(patterns.round_keys(key[:32])[7])) == {"swapped": (2, 2)}
assert found(key.hex().encode())["text"] == (8, 8)
assert found(key[:8].hex(" ").upper().encode()) == {"text": (1, 1)}
import base64
for before in range(3):
    assert found(base64.b64encode(bytes(before) + key))["text"][1] >= 6'
check "a file that is no list of patterns is refused" python '
import subprocess
dump.build(pathlib.Path("/tmp"))
pathlib.Path("/tmp/bad").write_bytes(b"\xffshort")
done = subprocess.run(["/tmp/search", "/tmp/bad", "/tmp/bad"], capture_output=True, text=True)
assert done.returncode == 1 and done.stderr == "/tmp/bad: no patterns\n", done'
finish
