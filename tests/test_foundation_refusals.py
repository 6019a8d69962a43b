"""What a user gets wrong about foundation models ends in exit code 2 and one line that says the mend."""

import sys

import pytest
import tiny_jobs
import torch
from conftest import edit_suite_file

from xdseg.cells import Context
from xdseg.cli import main
from xdseg.grid import expand
from xdseg.params import parse
from xdseg.segmenters.scan import backends
from xdseg.segmenters.scan.resolved import scan_backends
from xdseg.training import loop
from xdseg.workflow import cache_path

MFUSER = tiny_jobs.SMALL["mfuser"] | {
    "kind": "mfuser",
    "vlm": {"model": {key: value for key, value in tiny_jobs.TINY_CLIP.items() if key != "vocabulary"}},
}
FOUNDATION = tiny_jobs.SMALL["foundation"] | {"kind": "foundation"}
BROKEN = "raise OSError('libcudart.so.12: cannot open shared object file:\\n  No such file')"
CASES = {
    "vision weights": (
        MFUSER | {"vfm": {"encoder": "xdseg_vit_tiny_patch8", "weights": "nowhere/vfm.pth"}},
        "mfuser.vfm.weights: nowhere/vfm.pth: no such file; name a file, or what the kind can fetch",
    ),
    "language weights": (
        MFUSER | {"vlm": MFUSER["vlm"] | {"weights": "nowhere/vlm.safetensors"}},
        "mfuser.vlm.weights: nowhere/vlm.safetensors: no such file; name a file, or",
    ),
    "foundation weights": (
        FOUNDATION | {"weights": "nowhere/dino.pth"},
        "foundation.weights: nowhere/dino.pth: no such file; name a file, or",
    ),
    "vision model": (
        MFUSER | {"vfm": {"encoder": "vit_tiny_patch16_225"}},
        "mfuser.vfm.encoder: timm has no 'vit_tiny_patch16_225'; did you mean",
    ),
    "language model": (
        MFUSER | {"vlm": {"model": "EVA02-L-14-366"}},
        "mfuser.vlm.model: open_clip has no 'EVA02-L-14-366'; did you mean 'EVA02-L-14",
    ),
    "foundation model": (FOUNDATION | {"encoder": "vit_tiny_patch8"}, "foundation.encoder: timm has no"),
    "size": (MFUSER, "mfuser: images of 20x20 pixels; take a crop whose sides 16 divides, or remainder: cut"),
    "foundation size": (FOUNDATION, "images of 20x20 pixels, for patches of 8; take a crop whose sides 8 divides"),
    "class names": (
        MFUSER,
        "mfuser.text.length: class 'a thing with a long name' has more than 5 tokens, with start and end; set more",
    ),
    "mamba-ssm": (
        MFUSER | {"fuser": {"backend": "mamba-ssm"}},
        "selective scan: backend 'mamba-ssm' cannot run: importing mamba_ssm.ops.selective_scan_interface failed: "
        "OSError: libcudart.so.12: cannot open shared object file: No such file; take 'auto'",
    ),
}
CLASSES = {"class names": ["ground", "a thing with a long name", "sky"]}
CROPS = {"size": 20, "foundation size": 20}


@pytest.fixture
def broken_kernel(tmp_path, monkeypatch):
    """A stand-in for mamba-ssm that fails half-way through its import, on what is told to be a CUDA device."""
    folder = tmp_path / "site/mamba_ssm/ops"
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        (path / "__init__.py").touch()
    (folder / "selective_scan_interface.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(loop, "scan_backends", lambda network, _: scan_backends(network, torch.device("cuda")))
    forget()
    yield
    forget()


def forget():
    """Nothing of mamba-ssm stays imported or decided."""
    backends.resolve.cache_clear()
    backends.kernel.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == backends.PACKAGE]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore:selective scan:RuntimeWarning")  # the same line, where the scan goes on
@pytest.mark.parametrize("case", CASES)
def test_one_line_and_exit_code_2(case, project, data, broken_kernel, capsys):
    """On the error stream, naming the key; no receipt is left that would pass for a run."""
    settings, line = CASES[case]
    edit_suite_file(data / "toy", classes=CLASSES.get(case, ["ground", "thing", "sky"]))
    assert main(["prepare", "toy"]) == 0
    config = project.config
    config["segmenters"] = {"given": settings}
    for method in config["methods"].values():
        method["segmenter"] = "given"
    config["protocols"]["tiny"]["augmentation"]["crop"] = CROPS.get(case, 32)
    config["grid"] |= {"methods": ["source-only"], "pairs": ["a->b"]}
    project.write(config)
    capsys.readouterr()
    code = train(project)
    said = capsys.readouterr().err.strip()
    assert code == 2, said
    assert line in said and len(said.splitlines()) == 1
    assert not list(project.folder.glob("results/**/run.json"))


def train(project):
    """Exit code of the first command that refuses, as the workflow runs them."""
    if code := main(["params"]):
        return code
    run = expand(Context.of(parse(project.config))).cells[0].run
    commands = [["cache", cache_path(run.context, *seen)] for seen in run.sees]
    commands.append(["train", str(run.folder / "run.json")])
    return next((code for command in commands if (code := main(command))), 0)
