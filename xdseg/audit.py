"""`make audit`: are the pinned requirements what is installed, and does anybody know a hole in one of them?

The first is answered offline: every requirement has one version and a hash, and that version is installed. The second
asks an advisory service, through pip-audit, which fetches no package: it reads the file alone. Exit codes: 0 nothing
found, 1 something found, 2 the file is not as it must be, or the service does not answer.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xdseg.text import harmless

FOUND, NOT_CHECKED = 1, 2
FILES = ("requirements.txt", "requirements-alone.txt")
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
HASH = "--hash=sha256:"
COMMAND = ("pip_audit", "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")
TIMEOUT = 15  # seconds that the service has for an answer


def entries(path: Path) -> Iterator[str]:
    """The requirements of a file, each on one line with its hashes."""
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = (line.partition(" #")[0].strip() for line in text.splitlines())
    return (" ".join(line.split()) for line in lines if line and not line.startswith(("#", "-")))


def pinned(path: Path) -> tuple[dict[str, str], list[str]]:
    """Version by name of every requirement of a file, and what is wrong with the others."""
    found, faults = {}, []
    for entry in entries(path):
        match = PINNED.match(entry)
        if match is None:
            faults.append(f"{path}: {entry.split()[0]}: not pinned to one version; run make lock")
        elif HASH not in entry:
            faults.append(f"{path}: {match[1]}: no hash; run make lock")
        else:
            found[match[1]] = match[2]
    return found, faults


def differing(wanted: dict[str, str]) -> list[str]:
    """What is installed in another version than the pinned one; what is not installed is not at fault."""
    lines = []
    for name, expected in wanted.items():
        try:
            installed = version(name)
        except PackageNotFoundError:  # for another platform or version of Python
            continue
        if installed.partition("+")[0] != expected.partition("+")[0]:
            lines.append(f"{name}: {installed} is installed, {expected} is pinned; run make setup")
    return lines


def advisories(path: Path) -> list[str] | None:
    """A line per known hole; None where the service does not answer."""
    command = [sys.executable, "-m", *COMMAND, "--timeout", str(TIMEOUT), "--requirement", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return [line for package in found for line in _holes(package)]


def _holes(package: dict[str, Any]) -> Iterator[str]:
    for hole in package.get("vulns", ()):
        mended = ", ".join(hole.get("fix_versions", ())) or "no version yet"
        yield f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files, then ask; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[Path(name) for name in FILES])
    files = parser.parse_args(arguments).files
    wanted, faults = {}, []
    for path in files:
        found, wrong = pinned(path)
        wanted |= found
        faults += wrong
    faults += differing(wanted)
    for fault in faults:
        print(f"audit: {harmless(fault)}")
    print(
        f"audit: {len(wanted)} requirements, each pinned with a hash" if not faults else "audit: see above", flush=True
    )
    return max(NOT_CHECKED if faults else 0, _ask(files))


def _ask(files: Sequence[Path]) -> int:
    answers = [advisories(path) for path in files]
    if None in answers:
        print("audit: the advisory service (pypi.org) cannot be reached; known holes were not looked for")
        return NOT_CHECKED
    holes = [line for answer in answers for line in answer or ()]
    for line in holes:
        print(f"audit: {harmless(line)}")
    print(f"audit: {len(holes) or 'no'} known hole{'s' * (len(holes) != 1)}")
    return FOUND if holes else 0


if __name__ == "__main__":
    sys.exit(main())
