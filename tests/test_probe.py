"""The linear probe: the classifier is the textbook's, cells are the middle pixels, and better maps score higher."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

from xdseg.backbones import probe as probing
from xdseg.backbones.encoders import MapEncoder
from xdseg.backbones.probe import Probe, cell_labels, fit, probe, score
from xdseg.cli import main
from xdseg.data.streetworld.settings import CLASSES, Streetworld

SMALL = Probe(train=3, test=2, cells=60, targets=("clear", "night"))
SCENES = Streetworld(height=64, width=96, train=3, val=2)


def test_same_coefficients_as_scikit_learn():
    """Multinomial logistic regression with the same penalty has one minimum; both must find it."""
    draws = np.random.default_rng(0)
    features, labels = draws.normal(size=(300, 5)).astype(np.float32), draws.integers(0, len(CLASSES), 300)
    features[:, 0] += labels
    ours = fit(torch.from_numpy(features), torch.from_numpy(labels), Probe(penalty=0.05, iterations=500))
    theirs = LogisticRegression(C=1 / (300 * 0.05), tol=1e-8, max_iter=5000).fit(features.astype(np.float64), labels)
    assert (
        np.abs(ours.weight.detach().numpy() - theirs.coef_).max() < 5e-3
    )  # of 1.4; L-BFGS in single precision ends there


def test_cells_are_middle_pixels():
    """Of a cell of 4 x 4 pixels the one at (2, 2), as bilinear maps of stride 4 stand for it."""
    labels = np.arange(8 * 12).reshape(8, 12)
    assert cell_labels(labels).tolist() == [[26, 30, 34], [74, 78, 82]]


def test_what_the_maps_hold_is_found(monkeypatch):
    """Maps that hold the label itself give 1, constant maps give the share of the commonest class."""

    class Telling(nn.Module):
        """One-hot labels of the scene whose image it is given, or nothing."""

        def __init__(self, tells: bool) -> None:
            super().__init__()
            self.tells = tells

    truth, drawn = {}, list(probing.drawn(SCENES, "clear", "train", SMALL.train))
    for image, labels in drawn:
        truth[image.tobytes()] = labels

    def grid(model, image):
        one_hot = torch.eye(len(CLASSES))[torch.from_numpy(cell_labels(truth[image.tobytes()]).astype(np.int64))]
        return one_hot.flatten(0, 1) * model.tells

    monkeypatch.setattr(probing, "grid", grid)
    monkeypatch.setattr(probing, "drawn", lambda *_: drawn)  # scored where it was fitted: every class was seen
    found, settings = [], replace(SMALL, cells=10_000)
    for tells in (True, False):
        features, labels = probing.sample(Telling(tells), settings, SCENES)
        standard = (torch.zeros(len(CLASSES)), torch.ones(len(CLASSES)))
        found.append(score(Telling(tells), fit(features, labels, settings), standard, "clear", settings, SCENES))
    shares = torch.bincount(labels).double() / len(labels)
    assert found[0] == 1
    assert found[1] == pytest.approx(shares.max().item() / (shares > 0).sum().item())


def test_random_and_file(tmp_path):
    """The same twice; another seed is another encoder; a file decides, whatever the seed."""
    first, again, other = (probe("mit_b0", None, seed=seed, settings=SMALL, scenes=SCENES) for seed in (0, 0, 1))
    assert first == again != other
    assert set(first) == {"clear", "night"}
    torch.manual_seed(5)
    save_file(MapEncoder("mit_b0").network.state_dict(), tmp_path / "mit_b0.safetensors")
    of_file = [probe("mit_b0", tmp_path / "mit_b0.safetensors", seed=s, settings=SMALL, scenes=SCENES) for s in (0, 1)]
    assert of_file[0] == of_file[1] != first


def test_bad_input_is_one_line(project, capsys):
    """Before anything is computed: the name, or the file and the command that makes it."""
    recipe = {"encoder": "mit_b0", "training": {"steps": 3, "batch": 2, "lr": 1e-3}}
    project.write(project.config | {"backbones": {"mit_b0": recipe}})
    assert main(["probe", "mit"]) == 2
    assert "no backbone 'mit' in params.yaml; did you mean 'mit_b0'?" in capsys.readouterr().err
    assert main(["probe"]) == 2
    assert "mit_b0.safetensors: no such file; make it with `xdseg pretrain mit_b0`" in capsys.readouterr().err
