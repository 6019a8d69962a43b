"""Nothing that comes from others is run, written elsewhere, or lets others in; and no name of theirs moves a cursor."""

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, small_config

from xdseg import audit
from xdseg.cli import main
from xdseg.errors import BadInput
from xdseg.evaluation.predictions import load_confusion
from xdseg.exchange.pack import unpack
from xdseg.params import read_yaml
from xdseg.reporting.records import load_record
from xdseg.segmenters.weights import read_weights
from xdseg.text import harmless
from xdseg.training.checkpoint import load_resume

SOURCES = [path for folder in ("xdseg", "benchmarks", "pipeline") for path in sorted((ROOT / folder).rglob("*.py"))]
SHELL = [ROOT / "Makefile", ROOT / "Snakefile", *sorted((ROOT / "pipeline").rglob("*.smk"))]
UNPICKLE = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
SAFE_YAML = {"safe_load", "safe_load_all", "safe_dump", "YAMLError", "dump", "CSafeLoader", "SafeLoader"}
EXTRACTION = {"extractall", "extract", "unpack_archive"}
CODE = {"eval", "exec", "compile", "__import__"}
SERVERS = re.compile(r"mlflow (?:server|ui)|moto_server|http\.server|gunicorn|uvicorn|flask run")
LOOPBACK = re.compile(r"127\.0\.0\.1|localhost|\[?::1\]?")
ANYWHERE = ("0.0.0.0", "::")


def dangers(text: str) -> Iterator[str]:
    """What in a Python source could run foreign bytes, write where an archive says, or serve everybody."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = {alias.name.partition(".")[0] for alias in node.names} | {getattr(node, "module", "") or ""}
            yield from (f"line {node.lineno}: import of {name}" for name in sorted(named & UNPICKLE))
        if isinstance(node, ast.Constant) and node.value in ANYWHERE:
            yield f"line {node.lineno}: address {node.value}"
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {fault}" for fault in _call(node))


def _call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    base, _, last = name.rpartition(".")
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in CODE:
        yield f"{name}()"
    if name == "torch.load" and not _is(options.get("weights_only"), True):
        yield "torch.load without weights_only=True"
    if (
        last == "load"
        and base.endswith(("np", "numpy"))
        and not _is(options.get("allow_pickle", ast.Constant(False)), False)
    ):
        yield "np.load with allow_pickle"
    if base == "yaml" and last not in SAFE_YAML:
        yield f"yaml.{last}"
    if last in EXTRACTION and "filter" not in options and not (last == "extract" and "str" in base):
        yield f"{name} without a filter"
    if _is(options.get("shell"), True) or name in ("os.system", "os.popen"):
        yield f"{name} through a shell"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_runs_what_others_wrote(path):
    """No pickle, no YAML objects, no unchecked archive, no shell, no address that everybody reaches."""
    assert list(dangers(path.read_text())) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("import pickle", "import of pickle"),
        ("from joblib import load", "import of joblib"),
        ("torch.load(path)", "torch.load without"),
        ("torch.load(path, weights_only=False)", "torch.load without"),
        ("torch.load(path, weights_only=some)", "torch.load without"),
        ("yaml.load(text)", "yaml.load"),
        ("yaml.load(text, Loader=yaml.SafeLoader)", "yaml.load"),
        ("yaml.unsafe_load(text)", "yaml.unsafe_load"),
        ("yaml.full_load(text)", "yaml.full_load"),
        ("archive.extractall(folder)", "extractall without"),
        ("shutil.unpack_archive(a, b)", "unpack_archive without"),
        ("with tarfile.open(p) as t: t.extract(m)", "t.extract without"),
        ("np.load(path, allow_pickle=True)", "np.load with"),
        ("subprocess.run(line, shell=True)", "through a shell"),
        ("os.system(line)", "through a shell"),
        ("eval(text)", "eval()"),
        ("serve('0.0.0.0')", "address 0.0.0.0"),
    ],
)
def test_the_search_finds(text, finding):
    """Each kind, so that finding none means something."""
    assert any(finding in fault for fault in dangers(text))


@pytest.mark.parametrize(
    "text",
    ["torch.load(p, 'cpu', weights_only=True)", "yaml.safe_load(t)", "np.load(p)", "t.extractall(f, filter='data')"],
)
def test_the_search_lets_pass(text):
    """What is done here instead."""
    assert list(dangers(text)) == []


# --- files that would run something -----------------------------------------------------------------------------------


class Evil:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return (open, ("proof", "w"))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current folder, in which no `proof` may be found in the end."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not Path("proof").exists(), "foreign code ran"


def test_the_proof_proves(tmp_path, monkeypatch):
    """Unpickled without care the same bytes do make the file."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil())).close()
    assert Path("proof").exists()


def test_a_resume_state_runs_nothing(here):
    """A state that holds an object is not readable; training starts anew."""
    torch.save({"fingerprint": "f", "done": Evil()}, here / "resume.pt")
    said = []
    assert load_resume(here, "f", say=said.append) is None
    assert len(said) == 1 and "not readable (UnpicklingError: Weights only load failed" in said[0]


def test_published_weights_run_nothing(here):
    """A .pth that holds an object is bad input."""
    torch.save({"weight": Evil()}, here / "net.pth")
    with pytest.raises(BadInput, match=r"net\.pth"):
        read_weights(here / "net.pth")


def test_a_confusion_runs_nothing(here):
    """An .npz of Python objects is not readable."""
    np.savez(here / "c.npz", names=np.array([Evil()], dtype=object), confusion=np.zeros(1))
    with pytest.raises(BadInput, match=r"c\.npz: no readable confusion matrices"):
        load_confusion(here / "c.npz")


@pytest.mark.parametrize("tag", ["!!python/object/apply:open [proof, w]", "!!python/name:os.system"])
def test_settings_run_nothing(here, capsys, tag):
    """YAML that names Python objects: one line, exit code 2."""
    Path("params.yaml").write_text(yaml.safe_dump(small_config()) + f"plugins: {tag}\n")
    assert main(["params"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "params.yaml: not readable as YAML" in said
    with pytest.raises(BadInput):
        read_yaml(Path("params.yaml"))


# --- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "finding"),
    [
        ("records/toy/../../../proof", 0o100644, "would be written outside the project"),
        ("../proof", 0o100644, "would be written outside the project"),
        ("/tmp/proof", 0o100644, "would be written outside the project"),
        ("records\\..\\..\\proof", 0o100644, "would be written outside the project"),
        ("C:/proof", 0o100644, "would be written outside the project"),
        ("records/toy/link", 0o120777, "is a link or a folder, no plain file"),
        ("records/toy/", 0o040755, "is a link or a folder, no plain file"),
    ],
)
def test_members_of_a_pack_cannot_escape(here, name, mode, finding):
    """Names with .., absolute ones, links and folders: refused before anything is unpacked, whatever else is in it."""
    with zipfile.ZipFile("pack.zip", "w") as archive:
        archive.writestr("manifest.json", "{}")
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, "../../proof" if mode == 0o120777 else "x")
    with pytest.raises(BadInput, match=finding):
        unpack(Path("pack.zip"), here / "out")
    assert not (here / "out").exists() and not (here.parent / "proof").exists()


def test_a_name_in_the_pack_is_shown_escaped(here, capsys):
    """An escape sequence in a member's name reaches the terminal as text."""
    with zipfile.ZipFile("pack.zip", "w") as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr("../\x1b[2J\x1b]0;gone\x07", "x")
    (here / "params.yaml").write_text(yaml.safe_dump(small_config()))
    assert main(["import-records", "pack.zip"]) == 2
    said = capsys.readouterr().err
    assert "\\x1b[2J" in said and said.replace("\n", "").isprintable()


# --- names -----------------------------------------------------------------------------------------------------------

EVIL = {
    "escape sequence": "\x1b[31mred\x1b[0m",
    "line end": "a\nxdseg: all is well",
    "carriage return": "a\rb",
    "bell": "a\x07",
    "C1 control": "a\x9b31m",
    "written backwards": "a\u202eb",
    "nothing to see": "a\u200bb",
    "line separator": "a\u2028b",
}


@pytest.mark.parametrize("name", EVIL.values(), ids=EVIL.keys())
def test_names_are_escaped_in_logs(name, tmp_path, monkeypatch, capsys):
    """A finding that quotes a file's name keeps to its line and moves no cursor."""
    assert harmless(name).isprintable() and harmless(name) != name
    monkeypatch.chdir(tmp_path)
    assert main(["--configfile", f"{name.replace(chr(10), chr(13))}.yaml", "params"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("xdseg: ") and said[:-1].isprintable()


@pytest.mark.parametrize("name", ["Straße", "街", "café – 3", "a\\b", "tab-free, plain: text"])
def test_letters_of_every_script_stay(name):
    """Only what a reader could not see as it is changes."""
    assert harmless(name) == name


@pytest.mark.parametrize("key", ["method", "target", "suite", "setting"])
@pytest.mark.parametrize("name", [EVIL["escape sequence"], EVIL["line end"], EVIL["written backwards"]])
def test_names_of_records_are_one_printable_line(tmp_path, key, name):
    """Tables are read in terminals too: a record with any other name is none, and the line does not repeat it."""
    source = next((ROOT / "records/streetworld/source-only").glob("clear--night/*.json"))
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(source.read_text()) | {key: name}))
    with pytest.raises(BadInput, match=f"{key}: expected printable characters on one line") as refused:
        load_record(path)
    assert str(refused.value).isprintable()
    path.write_text(source.read_text())
    assert load_record(path)[key]


def test_names_are_escaped_in_pages():
    """A page holds names as text: no script comes of one. Whole pages: test_page.py."""
    from xdseg.reporting.page_templates import inline

    assert "<" not in str(inline({"name": "</script><script>alert(1)</script>"}))


# --- servers ---------------------------------------------------------------------------------------------------------


def test_servers_listen_on_loopback():
    """Every line of ours that starts a server lets only this machine reach it; a team's page may say otherwise."""
    lines = [(path, line) for path in SHELL for line in path.read_text().splitlines()]
    started = [(path, line) for path, line in lines if SERVERS.search(line) and re.search(r"host|-H\b|-p\b|port", line)]
    assert started, "make mlflow is one"
    for path, line in started:
        assert LOOPBACK.search(line), f"{path}: {line}"
    assert not any("0.0.0.0" in path.read_text() for path in SHELL)


# --- dependencies ----------------------------------------------------------------------------------------------------


def test_requirements_are_pinned_with_hashes():
    """What `make setup` installs is fixed to the byte."""
    for name in audit.FILES:
        found, faults = audit.pinned(ROOT / name)
        assert found and faults == []


def test_audit_says_what_is_not_pinned(tmp_path, capsys):
    """By hand: one of three is right, and it is installed in another version."""
    path = tmp_path / "r.txt"
    path.write_text("numpy==0.0.1 \\\n    --hash=sha256:00\n    # via x\nrich>=13\npillow==11.0\n-r other.txt\n")
    assert audit.pinned(path)[0] == {"numpy": "0.0.1"}
    faults = [*audit.pinned(path)[1], *audit.differing({"numpy": "0.0.1", "no-such-package-here": "1"})]
    assert faults == [
        f"{path}: rich>=13: not pinned to one version; run make lock",
        f"{path}: pillow: no hash; run make lock",
        f"numpy: {np.__version__} is installed, 0.0.1 is pinned; run make setup",
    ]


def test_audit_tells_of_holes(monkeypatch, capsys):
    """The service's answer becomes a line each and exit code 1; no hole is exit code 0."""
    hole = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    answer = {
        "dependencies": [{"name": "a", "version": "1", "vulns": [hole]}, {"name": "b", "version": "1", "vulns": []}]
    }

    def answered(command, **_):
        return subprocess.CompletedProcess(command, 1, stdout=json.dumps(answer))

    monkeypatch.setattr(audit.subprocess, "run", answered)
    monkeypatch.setattr(audit, "differing", lambda _: [])
    path = str(ROOT / "requirements-alone.txt")
    assert audit.main([path]) == 1
    assert "audit: a 1: PYSEC-1, mended in 2.0\naudit: 1 known hole\n" in capsys.readouterr().out
    answer["dependencies"][0]["vulns"] = []
    assert audit.main([path]) == 0
    assert "audit: no known holes" in capsys.readouterr().out


def test_audit_without_network(tmp_path):
    """Nobody answers: what could be checked is, the rest is said in a line, and the exit code is 2."""
    closed = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-m", "xdseg.audit", str(ROOT / "requirements-alone.txt")]
    environment = os.environ | closed | {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "audit: the advisory service (pypi.org) cannot be reached; known holes were not looked for" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
