#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Describe stor.ko to rust-analyzer; runs in the root file system.

rust-project.py ROOTFS KERNEL OUT: the directories in the cache that this root file
system is made of, as the host sees them, and the file to write.

The kernel's own generator wants a crate's root beside its Kbuild, where stor's is not.
So it is given an empty crate of that name, which stor takes the place of.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import typing


def main() -> int:
    """Write it."""
    rootfs, kernel, out = sys.argv[1:]
    repo = pathlib.Path(os.environ["STOR_REPO"])
    (modules,) = pathlib.Path("/usr/lib/modules").iterdir()
    tree = pathlib.Path(f"/usr/src/linux-{modules.name}")
    built = repo / "build/kmod" / modules.name

    def host(path: str) -> str:
        """The same file on the host."""
        if path.startswith(f"{tree}/") or path == str(tree):
            return kernel + path
        if path == "/usr" or path.startswith("/usr/"):
            # A link that ends outside of /usr would lead to the host's own.
            return rootfs + os.path.realpath(path)
        return path

    def translated(value: typing.Any) -> typing.Any:
        """All strings in it that are paths, as the host's."""
        if isinstance(value, str):
            return host(value)
        if isinstance(value, list):
            return [translated(one) for one in value]
        if isinstance(value, dict):
            return {key: translated(one) for key, one in value.items()}
        return value

    with tempfile.TemporaryDirectory() as name:
        empty = pathlib.Path(name)
        (empty / "Kbuild").write_text("obj-m := stor.o\n")
        (empty / "stor.rs").write_text("")
        flags = (tree / ".stor-make").read_text().split()
        make = ["make", "-C", str(tree), *flags, f"M={empty}", "rust-analyzer"]
        subprocess.run(make, check=True)
        project = json.loads((empty / "rust-project.json").read_text())

    project = translated(project)
    (stor,) = [crate for crate in project["crates"] if crate["display_name"] == "stor"]
    stor["root_module"] = str(repo / "kmod/stor.rs")
    version = subprocess.run(
        ["modinfo", "-F", "version", str(built / "stor.ko")],
        check=True, capture_output=True, text=True,
    ).stdout.strip()
    stor["env"].update(
        STOR_UAPI_RS=str(built / "kmod/bindings/uapi.rs"),
        STOR_SHIM_RS=str(built / "kmod/bindings/shim.rs"),
        STOR_VERSION=version,
    )
    stor["source"] = {
        "include_dirs": [str(repo / "kmod"), str(built / "kmod/bindings")],
        "exclude_dirs": [],
    }
    pathlib.Path(out).write_text(json.dumps(project, sort_keys=True, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
