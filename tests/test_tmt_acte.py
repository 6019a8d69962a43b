"""ACTE by hand: clustering against a loop over pixels and regions, purity, and the need of regions."""

import math

import pytest
import torch
from torch.nn import functional as F

from xdseg.adaptations.tmt import clustering
from xdseg.adaptations.tmt.clustering import cluster, in_cells, out_of_cells
from xdseg.adaptations.tmt.need import combined, placed, standardised, transferability, uncertainty
from xdseg.adaptations.tmt.reversal import grown, reversed_gradient
from xdseg.settings.tmt import Acte


def direct(x, *, cell, iterations, sharpness):
    """The published steps as loops: a(p, r) (h, w, G, H) and f(r) (G, H, D) of one map (D, h, w)."""
    _, height, width = x.shape
    rows, columns = math.ceil(height / cell), math.ceil(width / cell)
    x, a = x.double(), torch.zeros(height, width, rows, columns, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            a[i, j, i // cell, j // cell] = 1

    def centres():
        f = torch.zeros(rows, columns, len(x), dtype=torch.float64)
        for r in range(rows):
            for s in range(columns):
                f[r, s] = (a[:, :, r, s] * x).sum((1, 2)) / a[:, :, r, s].sum()
        return f

    for _ in range(iterations):
        f, new = centres(), torch.zeros_like(a)
        for i in range(height):
            for j in range(width):
                for r in range(max(0, i // cell - 1), min(rows, i // cell + 2)):
                    for s in range(max(0, j // cell - 1), min(columns, j // cell + 2)):
                        new[i, j, r, s] = math.exp(sharpness * F.cosine_similarity(f[r, s], x[:, i, j], dim=0))
                new[i, j] /= new[i, j].sum()
        a = new
    return a.float(), centres().float()


def whole_assignment(regions):
    """a(p, r) of one map over all regions, (h, w, G, H), read off unit masses."""
    rows, columns = regions.mass.shape[1:]
    units = torch.eye(rows * columns).view(1, rows * columns, rows, columns)
    return regions.dense(units)[0].permute(1, 2, 0).unflatten(2, (rows, columns))


@pytest.mark.parametrize(
    ("size", "cell", "iterations", "sharpness"),
    [((6, 9), 3, 2, 20.0), ((7, 5), 3, 3, 5.0), ((4, 4), 2, 0, 20.0), ((5, 8), 1, 1, 100.0), ((3, 3), 4, 2, 20.0)],
)
def test_clustering_equals_the_loop(size, cell, iterations, sharpness):
    """Borders, padding to whole cells, kappa, L, and a grid of one cell; assignments of each pixel sum to 1."""
    x = torch.randn(1, 5, *size, generator=torch.Generator().manual_seed(sum(size)))
    wanted, features = direct(x[0], cell=cell, iterations=iterations, sharpness=sharpness)
    found = cluster(x, cell=cell, iterations=iterations, sharpness=sharpness)
    torch.testing.assert_close(whole_assignment(found), wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.features[0].permute(1, 2, 0), features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.mass[0], wanted.sum((0, 1)), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.dense(torch.ones(1, 1, *found.mass.shape[1:])), torch.ones(1, 1, *size))
    assert found.mass.sum().item() == pytest.approx(size[0] * size[1], rel=1e-5)  # padding has none


@pytest.mark.parametrize("band", [1, 12, 31])
def test_bands_of_a_large_map_do_not_show(monkeypatch, band):
    """Looked at row by row, by two rows, by three with a rest: the same regions and gradients as all at once."""
    x = torch.randn(2, 5, 27, 23, generator=torch.Generator().manual_seed(0))  # 7 x 6 cells

    def found():
        features = x.clone().requires_grad_()
        regions = cluster(features, cell=4, iterations=3, sharpness=20, full_gradient=True)
        regions.features.square().sum().backward()
        return regions.assignment.detach(), regions.features.detach(), features.grad

    whole = found()
    monkeypatch.setattr(clustering, "BAND", band)
    for ours, wanted in zip(found(), whole, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_pooling_and_spreading_by_hand():
    """Plain cells of 2 x 2: a region's value is its pixels' mean, and each pixel has its region's value."""
    found = cluster(torch.randn(1, 3, 2, 4), cell=2, iterations=0, sharpness=20)
    values = torch.tensor([[[[1.0, 2, 10, 20], [3, 4, 30, 40]]]])
    assert found.pooled(values).flatten().tolist() == [2.5, 25]
    assert found.dense(found.pooled(values))[0, 0].tolist() == 2 * [[2.5, 2.5, 25, 25]]
    assert found.indices()[0].tolist() == 2 * [[0, 0, 1, 1]]


def test_cells_and_back():
    """A map cut into cells and put together is itself, whatever was padded."""
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(out_of_cells(in_cells(x, 3), (5, 7), 3), x)


def test_images_of_a_batch_do_not_meet():
    """Each image has the regions that it has alone."""
    x = torch.randn(3, 4, 6, 6)
    whole = cluster(x, cell=2, iterations=3, sharpness=20)
    for number in range(3):
        alone = cluster(x[number : number + 1], cell=2, iterations=3, sharpness=20)
        torch.testing.assert_close(whole.features[number], alone.features[0], rtol=1e-5, atol=1e-5)


def blobs(*, common=1.0, size=64, classes=4, width=16, noise=0.7):
    """Smooth random segments (size, size), and noisy features of them that share `common`, (1, width, size, size)."""
    draws = torch.Generator().manual_seed(0)
    fields = F.interpolate(torch.randn(1, classes, 5, 5, generator=draws), (size, size), mode="bicubic")
    labels = fields[0].argmax(0)
    means = torch.randn(classes, width, generator=draws) + common
    x = means[labels] + noise * torch.randn(size, size, width, generator=draws)
    return labels, x.permute(2, 0, 1)[None]


def purity(labels, regions):
    """Share of the mass of all regions that belongs to the segment that a region has most of."""
    one_hot = F.one_hot(labels).permute(2, 0, 1)[None].float()
    shares = regions.pooled(one_hot)[0]  # (K, G, H)
    return float((shares.amax(0) * regions.mass[0]).sum() / regions.mass.sum())


def purities(common):
    """By kappa; 0 stands for the plain grid."""
    labels, x = blobs(common=common)
    found = {0: purity(labels, cluster(x, cell=4, iterations=0, sharpness=20))}
    return found | {k: purity(labels, cluster(x, cell=4, iterations=3, sharpness=k)) for k in (5, 20, 50, 100)}


def test_regions_are_purer_than_squares_where_they_are_sharp():
    """At kappa 20 and above; at 5 they are worse, as cosines of features with a common part lie close together.

    The larger that part, the sharper it must be: with twice as much, 20 is no better than the grid.
    """
    found = purities(1.0)
    assert found == pytest.approx({0: 0.909, 5: 0.851, 20: 0.981, 50: 0.994, 100: 0.996}, abs=2e-3)
    much = purities(2.0)
    assert abs(much[20] - much[0]) < 0.01 and min(much[50], much[100]) > 0.97 and much[5] < 0.8


def test_gradient_of_regions():
    """The mean alone carries it: every pixel gets its assignment over the mass; in full, the assignment too."""
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    gradients = []
    for full in (False, True):
        leaf = x.clone().requires_grad_()
        found = cluster(leaf, cell=2, iterations=2, sharpness=5, full_gradient=full)
        assert found.assignment.requires_grad == full
        found.features[0, 0, 0, 0].backward()
        gradients.append(leaf.grad[0])
    share = whole_assignment(found).detach()[:, :, 0, 0] / found.mass[0, 0, 0].detach()
    torch.testing.assert_close(gradients[0][0], share, rtol=1e-4, atol=1e-6)
    assert not gradients[0][1:].any() and gradients[1][1:].any()


def test_transferability_by_hand():
    """At d = 1/2 it is 1, at d = 1/4 the entropy is 0.8113 and 1 - |2 d - 1| is 0.5; far out both are 0."""
    logits = torch.tensor([0.0, math.log(1 / 3), 100.0]).view(1, 1, 3)
    torch.testing.assert_close(transferability(logits, "entropy")[0, 0], torch.tensor([1, 0.8112781, 0]))
    torch.testing.assert_close(transferability(logits, "prob")[0, 0], torch.tensor([1, 0.5, 0]))


def test_uncertainty_by_hand():
    """Of three classes: none known 1, one sure 0, two alike log 2 / log 3."""
    p = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1, 0, 0], [0.5, 0.5, 0]]).T.reshape(1, 3, 1, 3)
    torch.testing.assert_close(uncertainty(p).flatten(), torch.tensor([1, 0, math.log(2) / math.log(3)]))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 0.5 * 0.75 + 0.5 * 0.4),
        ({"alpha": 0.2}, 0.2 * 0.75 + 0.8 * 0.4),
        ({"combine": "product"}, 0.75 * 0.4),
        ({"combine": "noisy-or"}, 1 - 0.25 * 0.6),
        ({"combine": "transferability"}, 0.75),
        ({"combine": "uncertainty"}, 0.4),
        ({"prefer": "high"}, 0.5 * 0.25 + 0.5 * 0.4),
        ({"prefer": "high", "combine": "noisy-or"}, 1 - 0.75 * 0.6),
    ],
)
def test_combination_by_hand(changes, wanted):
    """T = 1/4 and U = 0.4, in every way."""
    found = combined(torch.tensor(0.25), torch.tensor(0.4), Acte(**changes))
    assert found.item() == pytest.approx(wanted)


def test_standardised_by_hand():
    """Image by image; nine zeros and a one have the z-scores -1/3 and 3, which is clipped to 2."""
    need = torch.zeros(2, 2, 5)
    need[0, 1, 4] = 1
    need[1, 0] = 0.25
    z = standardised(need, "zscore")
    assert z[0].flatten().tolist() == pytest.approx([-1 / 3] * 9 + [2])
    assert z[1].flatten().tolist() == pytest.approx([1] * 5 + [-1] * 5)
    assert standardised(need, "minmax")[1].flatten().tolist() == [1] * 5 + [0] * 5
    assert torch.equal(standardised(need, "none"), need)
    assert not standardised(torch.full((1, 3, 3), 0.7), "zscore").any()
    faint = 0.5 + 0.001 * torch.tensor([1.0, -1, 1, -1]).view(1, 2, 2)  # a tenth of what is stretched to 1
    assert standardised(faint, "zscore", floor=0.01).flatten().tolist() == pytest.approx(
        [0.1, -0.1, 0.1, -0.1], abs=1e-4
    )
    assert standardised(faint, "minmax", floor=0.01).flatten().tolist() == pytest.approx([0.2, 0, 0.2, 0], abs=1e-4)


def test_dealt_out_keeps_values_and_moves_them():
    """One placebo: the same values elsewhere, the same way for every image and every call."""
    need = torch.arange(24.0).view(2, 3, 4)
    found = placed(need, True)
    assert torch.equal(found, placed(need, True)) and not torch.equal(found, need)
    assert torch.equal(found[1] - found[0], torch.full((3, 4), 12.0))
    assert sorted(found[0].flatten().tolist()) == list(range(12))
    assert placed(need, False) is need


@pytest.mark.parametrize("grid", [(1, 2), (2, 2), (2, 3), (4, 4), (5, 7), (16, 16)])
def test_rolled_leaves_nothing_in_its_place(grid):
    """The placebo of the rows: every value half a grid further, round the ends; by hand on 2 x 3."""
    need = torch.arange(2.0 * math.prod(grid)).view(2, *grid)
    found = placed(need, "roll")
    assert not (found == need).any() and torch.equal(found[1].flatten().sort()[0], need[1].flatten())
    assert torch.equal(found[1] - found[0], torch.full(grid, float(math.prod(grid))))
    assert torch.equal(found.roll(-(grid[1] // 2), 2).roll(-(grid[0] // 2), 1), need), "neighbours stay neighbours"
    if grid == (2, 3):
        assert found[0].tolist() == [[5, 3, 4], [2, 0, 1]]


def test_reversal_by_hand():
    """The value stays, the gradient turns round and is scaled; the factor rises from 0 to 0.9999."""
    x = torch.tensor([2.0], requires_grad=True)
    y = reversed_gradient(x, 0.5)
    (3 * y).sum().backward()
    assert y.item() == 2 and x.grad.item() == -1.5
    assert grown(0, 100) == 0 and grown(50, 100) == pytest.approx(0.98661, abs=1e-5)
    assert grown(100, 100) == pytest.approx(0.99991, abs=1e-5)
