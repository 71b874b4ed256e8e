# SPDX-License-Identifier: GPL-2.0
"""fio: jobs that write, read back and compare, beside what the test does."""

import contextlib
import json
import pathlib
import subprocess
import tempfile
import threading

from . import plaintext, tap
from .stor import need

VERIFY = {"direct": 1, "thread": 1, "ioengine": "libaio",
          "verify": plaintext.VERIFY,
          "verify_fatal": 1, "verify_state_save": 0, "randseed": 7}


class Fio:
    """A fio that runs."""

    def __init__(self, jobs, **options):
        need("fio")
        # Beside the job file, whatever fio wants to leave somewhere.
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name, "jobs.fio")
        sections = {"global": options, **jobs}
        path.write_text("".join(
            f"[{name}]\n" + "".join(
                f"{key}\n" if value is None else f"{key}={value}\n"
                for key, value in values.items())
            for name, values in sections.items()))
        self.process = subprocess.Popen(
            ["fio", "--output-format=json", str(path)], text=True,
            cwd=self.folder.name, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def running(self):
        """Whether it does."""
        return self.process.poll() is None

    def kill(self):
        """End it, if it has not ended."""
        if self.running():
            self.process.kill()
            self.process.communicate()
        self.folder.cleanup()

    def wait(self, timeout=240):
        """Its end: exit code, jobs, what it says. Fails if none comes."""
        try:
            out, err = self.process.communicate(
                timeout=tap.patience(timeout))
        except subprocess.TimeoutExpired:
            self.kill()
            raise tap.Failure(f"fio: no end within {timeout} s") from None
        self.folder.cleanup()
        # Messages may stand before the document.
        jobs = {}
        if "{" in out:
            document = json.loads(out[out.index("{"):])
            jobs = {job["jobname"]: job for job in document["jobs"]}
        return self.process.returncode, jobs, err

    def well(self, timeout=240):
        """The jobs of a run that had no error, by their names."""
        code, jobs, err = self.wait(timeout)
        tap.equal(code, 0, f"exit code of fio ({err.strip()})")
        for name, job in jobs.items():
            tap.equal(job["error"], 0, f"error of {name} ({err.strip()})")
        tap.check("verify" not in err, err)
        return jobs


def fio(jobs, timeout=240, **options):
    """Run jobs to their end without an error."""
    return Fio(jobs, **options).well(timeout)


@contextlib.contextmanager
def load(jobs, **options):
    """Run jobs again and again, without an error, while the body runs.

    Gives a list that has the results of each run when all has ended.
    """
    need("fio")
    results, errors, stop = [], [], threading.Event()

    def work():
        try:
            while not stop.is_set():
                results.append(fio(jobs, **options))
        except Exception as why:
            errors.append(why)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield results
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]
    tap.check(results, "fio never ran")
