# SPDX-License-Identifier: GPL-2.0
"""The tool storadm, for tests."""

import importlib
import json
import os
import shutil
import tempfile

from .stor import HERE, clean, run, setup
from .tap import Skip, equal, note

SCHEMA = HERE.parent / "tools/schema/storadm-v1.schema.json"
BUILT = HERE.parent / "build/tools/release/storadm"
TOOL = (os.environ.get("STORADM") or shutil.which("storadm")
        or (str(BUILT) if BUILT.exists() else None))


def ready():
    """What each test is called with."""
    if not TOOL:
        raise Skip("storadm is not installed; name it in STORADM")
    # An ordinary user has to be able to run it, too.
    folder = tempfile.TemporaryDirectory(dir="/tmp")
    os.chmod(folder.name, 0o755)
    copy = shutil.copy(TOOL, f"{folder.name}/storadm")
    return (*setup(), Tool(copy, folder))


def cleanup(stor, devices, tool):
    """No volume may be left."""
    return clean(stor, devices)


class Tool:
    """storadm, and what its JSON has to look like."""

    def __init__(self, path, folder):
        self.path, self.folder = path, folder
        self.validator = None
        if SCHEMA.exists():
            try:
                jsonschema = importlib.import_module("jsonschema")
            except ImportError:
                note("no python3-jsonschema: JSON is not held against it")
            else:
                schema = json.loads(SCHEMA.read_text())
                kind = jsonschema.validators.validator_for(schema)
                kind.check_schema(schema)
                self.validator = kind(schema)

    def run(self, *args, prefix=(), env=None, data=None):
        """Run it with stdout in a pipe."""
        return run(*prefix, self.path, *args, check=False, timeout=60,
                   env=env, data=data)

    def says(self, code, out, err, *args, **how):
        """Fail unless it exits and says exactly this."""
        done = self.run(*args, **how)
        equal((done.returncode, done.stdout, done.stderr), (code, out, err),
              f"exit code, stdout, stderr of {' '.join(map(str, args))}")

    def document(self, text):
        """A JSON document that fits the schema."""
        value = json.loads(text)
        equal(value["schema_version"], 1, "schema_version")
        if self.validator:
            self.validator.validate(value)
        return value

    def json(self, code, *args, **how):
        """The document that it writes, to stderr if it fails."""
        done = self.run("--json", *args, **how)
        equal(done.returncode, code, f"exit code ({done.stderr})")
        equal((done.stderr, done.stdout)[code != 0], "", "the other stream")
        return self.document((done.stdout, done.stderr)[code != 0])
