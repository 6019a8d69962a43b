"""Rare-class sampling: whom it draws and how often, which crop it keeps, and what it leaves as it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_jobs
import torch
from PIL import Image
from pydantic import ValidationError
from tiny_runs import fit, interrupted

from xdseg.cells import Context
from xdseg.cli import main
from xdseg.data import class_counts as counting
from xdseg.data.augmentation import Augmenter, Draw
from xdseg.data.class_counts import class_counts
from xdseg.data.crops import View, Wanted, choose_window, uniform
from xdseg.data.loading import StepBatches
from xdseg.data.rare_classes import RareClasses, class_probabilities
from xdseg.data.store import PixelStore, open_store, write_file_store, write_store
from xdseg.errors import BadInput
from xdseg.grid import expand
from xdseg.params import parse
from xdseg.settings.sampling import RareClass
from xdseg.settings.training import Augmentation, Training
from xdseg.training.job import Split
from xdseg.workflow import cache_path

RARE = {"min_pixels": 200, "temperature": 1.0}  # of 40 x 60 pixels and more


def split_of(folder, *maps, domain="day", digest="l"):
    """A split with these label maps."""
    names = [f"{number:02d}" for number in range(len(maps))]
    images = [tiny_jobs.COLOURS[np.minimum(labels, 2)] for labels in maps]
    write_store(folder / f"{domain}.images.json", names=names, arrays=images, digest=digest)
    write_store(folder / f"{domain}.labels.json", names=names, arrays=maps, digest=digest)
    return Split(domain, *(PixelStore(folder / f"{domain}.{what}.json") for what in ("images", "labels")))


def striped(*pixels, width=100, ignored=0):
    """Labels (h, width): so many pixels of class 0, 1, ... and then ignored ones, in reading order."""
    values = np.repeat([*range(len(pixels)), 255], [*pixels, ignored]).astype(np.uint8)
    return values.reshape(-1, width)


def drawer(*splits, seed=0, classes=3, **settings):
    """Rare-class sampling of these splits."""
    return RareClasses(seed, splits, RareClass(**settings), classes=classes)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        # exp(0.3), exp(0.75), exp(0.95) = 1.34986, 2.11700, 2.58571 over their sum, 6.05257
        (1, [0.223022, 0.349769, 0.427209]),
        # differences of 65 and 20 in the exponent
        (0.01, [np.exp(-65.0), np.exp(-20.0), 1 - np.exp(-20.0)]),
    ],
)
def test_probabilities_by_hand(temperature, expected):
    """Of shares 0.7, 0.25 and 0.05 the rarest has 0.43 at temperature 1, and all but a billionth at 0.01."""
    found = class_probabilities(np.array([700, 250, 50]), temperature=temperature, drawable=np.ones(3, bool))
    np.testing.assert_allclose(found, expected, rtol=5e-6)


def test_class_without_an_image_leaves_its_chance_to_others():
    """Its probability is 0; the others keep their ratio, 1 : exp(0.45), and their frequencies."""
    found = class_probabilities(np.array([700, 250, 50]), temperature=1, drawable=np.array([True, True, False]))
    np.testing.assert_allclose(found, [1 / (1 + np.exp(0.45)), np.exp(0.45) / (1 + np.exp(0.45)), 0])


def test_frequencies_are_of_labelled_pixels_of_all_images(tmp_path):
    """Of two images with 700, 250 and 50 labelled pixels of 1000, the ignored ones count for nothing."""
    split = split_of(tmp_path, striped(700, 100, ignored=200), striped(0, 150, 50, ignored=800))
    np.testing.assert_allclose(
        drawer(split, min_pixels=10, temperature=1).probabilities, [0.223022, 0.349769, 0.427209], rtol=5e-6
    )


def test_images_hold_more_than_the_threshold(tmp_path):
    """An image with as many pixels as the threshold is not drawn for a class; one with a pixel more is."""
    split = split_of(tmp_path, striped(100, 100), striped(99, 101), striped(101, 99))
    found = drawer(split, classes=2, min_pixels=100, temperature=1)
    assert [list(images) for images in found.candidates] == [[2], [1]]
    picks = [found.picks(step, 1)[0] for step in range(50)]
    assert {(pick.wanted.number, pick.number) for pick in picks} == {(0, 2), (1, 1)}


def test_draws_are_as_frequent_as_their_probabilities(tmp_path):
    """Over 3000 draws: classes by P, each within 3.5 deviations; images of one class equally often."""
    maps = [striped(800, 200, 0), striped(600, 300, 100), striped(700, 250, 50)]
    found = drawer(split_of(tmp_path, *maps), min_pixels=40, temperature=1)
    picks = [pick for step in range(750) for pick in found.picks(step, 4)]
    drawn = np.bincount([pick.wanted.number for pick in picks]) / 3000
    deviation = np.sqrt(found.probabilities * (1 - found.probabilities) / 3000)
    assert (np.abs(drawn - [0.223022, 0.349769, 0.427209]) < 3.5 * deviation).all()
    rare = np.array([pick.number for pick in picks if pick.wanted.number == 2])
    assert set(rare) == {1, 2} and abs((rare == 1).mean() - 0.5) < 3.5 * 0.5 / np.sqrt(len(rare))


def test_draws_depend_on_seed_step_and_place_alone(tmp_path):
    """In any order, by any object, in a larger batch: equal places of equal steps have equal draws, others have not."""
    maps = [tiny_jobs.label_map(np.random.default_rng(n), 40, 60) for n in range(8)]
    split = split_of(tmp_path, *maps)
    first, again, other = drawer(split, **RARE), drawer(split, **RARE), drawer(split, seed=1, **RARE)

    def seen(found, steps, batch=4):
        return {step: [(p.number, p.wanted.number) for p in found.picks(step, batch)] for step in steps}

    assert seen(first, range(9)) == seen(again, reversed(range(9))) != seen(other, range(9))
    assert [four[:2] for four in seen(first, range(9)).values()] == list(seen(first, range(9), batch=2).values())
    assert len({tuple(four) for four in seen(first, range(9)).values()}) == 9
    assert any(len(set(four)) > 1 for four in seen(first, range(9)).values())


def test_domains_are_one_list(tmp_path):
    """Two domains of 1 and 3 images share statistics and draws; neither has turns of its own."""
    one = split_of(tmp_path, striped(700, 200))
    three = split_of(tmp_path, *[striped(0, 17, 83), striped(0, 17, 83), striped(0, 16, 84)], domain="dusk")
    found = drawer(one, three, min_pixels=50, temperature=1e6)
    assert [list(images) for images in found.candidates] == [[0], [0], [1, 2, 3]]
    picks = [(p.split.domain, p.number, p.wanted.number) for step in range(100) for p in found.picks(step, 3)]
    assert {pick[0::2] for pick in picks} == {("day", 0), ("day", 1), ("dusk", 2)}
    assert {number for domain, number, _ in picks if domain == "dusk"} == {0, 1, 2}
    assert abs(np.mean([domain == "dusk" for domain, _, _ in picks]) - 1 / 3) < 3.5 * np.sqrt(2 / 9 / 300)


@pytest.mark.parametrize(
    ("of", "image", "crop"),
    [(None, 3000, 1500), ({}, 750, 375), ({"image": [526, 957], "crop": [256, 128]}, 3000, 3000)],
)
def test_thresholds_scale_with_the_area(of, image, crop):
    """An image and a crop of half the published sides need a quarter of the pixels, unless they are the sizes meant."""
    settings = RareClass(of=of)
    assert settings.image_threshold((526, 957)) == image
    assert settings.crop_threshold((256, 256)) == crop
    if of != {"image": [526, 957], "crop": [256, 128]}:
        assert (settings.image_threshold((1052, 1914)), settings.crop_threshold((512, 512))) == (3000, 1500)


def test_published_thresholds_are_the_defaults():
    """DAFormer's numbers; crops of 1500 pixels and more, as said in pixels."""
    assert RareClass().model_dump() == {
        **{"temperature": 0.01, "min_pixels": 3000, "min_crop_ratio": 0.5, "attempts": 10},
        "of": None,
    }
    with pytest.raises(ValidationError, match=r"of\.image"):
        RareClass(of={"image": [0, 5]})


def test_enlarged_images_draw_the_same_where_thresholds_scale(tmp_path):
    """Twice the sides, four times the pixels of each class: scaled thresholds find the same images, fixed ones more."""
    maps = [tiny_jobs.label_map(np.random.default_rng(n), 40, 60) for n in range(6)]
    large = [np.kron(labels, np.ones((2, 2), np.uint8)) for labels in maps]
    plain, twice = split_of(tmp_path, *maps), split_of(tmp_path, *large, domain="large")
    scaled = RARE | {"min_pixels": 850, "of": {"image": (40, 60)}}
    before, after = (drawer(split, **scaled) for split in (plain, twice))
    fixed = drawer(twice, **(scaled | {"of": None}))
    listed = [[list(images) for images in found.candidates] for found in (before, after, fixed)]
    assert listed[0] == listed[1] and sum(map(len, listed[0])) < sum(map(len, listed[2])) == 18
    np.testing.assert_allclose(before.probabilities, after.probabilities)


def test_no_class_often_enough_is_said(tmp_path):
    """One line names the key and both mends; a class less is passed over in silence."""
    split = split_of(tmp_path, striped(150, 40, 10))
    assert drawer(split, min_pixels=30).probabilities[2] == 0
    with pytest.raises(
        BadInput, match=r"training\.rare_class\.min_pixels: no image .* more than 3000 .* rare_class\.of"
    ):
        drawer(split)
    with pytest.raises(BadInput, match=r"training\.rare_class: day has no labels"):
        drawer(replace(split, labels=None))


LEFT = np.full((20, 200), 0, np.uint8)
LEFT[:, :30] = 1
BLANK = np.zeros((20, 200, 3), np.uint8)


def views(draw, settings, count):
    """The first views that a stream gives, of an image that none of them is chosen for."""
    draws = draw.generator()
    for _ in range(count):
        window = choose_window(LEFT.shape, LEFT, settings, draws, ignore=255)
        yield View(window, uniform(0, 1, draws) < settings.flip)


@pytest.mark.parametrize("attempts", [10, 3, 0])
def test_crops_are_drawn_again_until_they_hold_enough(attempts):
    """The first of the stream's crops with more than 100 pixels of the class, or the last of all attempts, unlooked at.

    Of 181 places 26 show over 100 of the 600 pixels in the left 30 columns: more than 5 columns of 20.
    """
    settings, endings = Augmentation(crop=20, scale=(1, 1)), set()
    wanted = Wanted(1, RareClass(min_pixels=200, attempts=attempts))
    for step in range(60):
        draw = Draw(0, "source/0", step)
        found = Augmenter(settings).labelled(BLANK, LEFT, draw, wanted=wanted)[1]
        crops = [view.labels(LEFT) for view in views(draw, settings, attempts + 1)]
        good = [number for number, crop in enumerate(crops) if (crop == 1).sum() > 100]
        assert torch.equal(found, crops[min([*good, attempts])])
        endings.add(bool((found == 1).sum() > 100))
    assert endings == {True, False}


def test_crop_rule_counts_strictly_more_and_by_area():
    """100 of 400 pixels: enough for a threshold of 99 and not of 100; at a quarter of the area meant, of 25."""
    crop = torch.zeros(20, 20, dtype=torch.uint8)
    crop[:5] = 1
    rule = {"min_crop_ratio": 1.0}
    assert Wanted(1, RareClass(min_pixels=99, **rule)).shown(crop, (20, 20))
    assert not Wanted(1, RareClass(min_pixels=100, **rule)).shown(crop, (20, 20))
    assert Wanted(1, RareClass(min_pixels=399, of={"crop": (40, 40)}, **rule)).shown(crop, (20, 20))
    assert not Wanted(1, RareClass(min_pixels=400, of={"crop": (40, 40)}, **rule)).shown(crop, (20, 20))
    assert not Wanted(2, RareClass(min_pixels=0, **rule)).shown(crop, (20, 20))


def test_ratio_zero_draws_no_crop_again():
    """As in the released code: the first crop is kept, whatever it shows."""
    settings, draw = Augmentation(crop=20, scale=(1, 1)), Draw(0, "source/0", 1)
    augmenter = Augmenter(settings)
    found = augmenter.labelled(BLANK, LEFT, draw, wanted=Wanted(1, RareClass(min_crop_ratio=0)))
    assert torch.equal(found[1], augmenter.labelled(BLANK, LEFT, draw)[1]) and not (found[1] == 1).any()


def test_whole_images_are_counted_at_their_own_size():
    """Without a crop the area is that of the image as it is seen: 600 of 4000 pixels at any scale, or at none."""
    settings, of = Augmentation(crop=None, scale=(0.5, 2)), {"crop": (20, 200)}
    for step in range(6):
        draw = Draw(0, "source/0", step)
        first, second = (view.window.size for view in views(draw, settings, 2))
        for least, expected in ((550, first), (650, second)):
            wanted = Wanted(1, RareClass(min_pixels=least, min_crop_ratio=1, attempts=1, of=of))
            assert Augmenter(settings).labelled(BLANK, LEFT, draw, wanted=wanted)[1].shape == expected


def job_with(tmp_path, **options):
    """A tiny job with rare-class sampling."""
    return tiny_jobs.make_job(tmp_path, rare_class=RARE, **options)


def test_batches_show_what_was_drawn(tmp_path):
    """Each crop of a batch is of the drawn image and nearly always shows over 100 pixels of the drawn class."""
    job, shown = job_with(tmp_path), []
    batches = StepBatches(job)
    for step in range(10):
        picks, batch = batches.source.picks(step, 4), batches[step]
        assert batch.source.names == tuple(f"day/{pick.number:02d}" for pick in picks)
        shown += [
            int((crop == pick.wanted.number).sum()) for crop, pick in zip(batch.source.labels, picks, strict=True)
        ]
    assert np.mean([pixels > 100 for pixels in shown]) > 0.9


def test_target_is_drawn_as_ever(tmp_path):
    """The target's images and crops are those of a job without; the source's are others."""
    plain, rare = (
        StepBatches(job)[2]
        for job in (tiny_jobs.make_job(tmp_path, target="images"), job_with(tmp_path, target="images"))
    )
    assert rare.target.names == plain.target.names and torch.equal(rare.target.images, plain.target.images)
    assert rare.source.names != plain.source.names


def test_without_it_nothing_changes(tmp_path):
    """Left out, it stands in no identity and the epochs' order is the old one; said, it stands there as said."""
    assert Training(steps=1, lr=1).identity() == {"steps": 1, "lr": 1}
    assert Training(steps=1, lr=1, rare_class={}).identity() == {"steps": 1, "lr": 1, "rare_class": {}}
    assert Training(steps=1, lr=1, rare_class=RARE).identity()["rare_class"] == RARE
    names = StepBatches(tiny_jobs.make_job(tmp_path))[3].source.names
    assert names == ("day/01", "day/04", "day/03", "day/00"), "drawn before there was any other order"


def test_resume_and_workers_change_no_byte(tmp_path):
    """Killed and resumed, or loaded by two other processes: the same weights, which are not those of epochs."""
    job = job_with(tmp_path, adaptations=[("toy-kill", {})], accumulate=2)
    unbroken, resumed = fit(job, tmp_path / "unbroken"), interrupted(tmp_path, job, at=6)
    loaded = fit(job, tmp_path / "loaded", workers=2)
    epochs = fit(tiny_jobs.make_job(tmp_path, accumulate=2), tmp_path / "epochs")
    digests = [report["weights_sha256"] for report in (unbroken, resumed, loaded, epochs)]
    assert digests[0] == digests[1] == digests[2] != digests[3]


def test_counts_by_hand_whatever_the_store(tmp_path):
    """Decoded, or decoded on the fly from files of several sizes: pixels of each class, without ignored ones."""
    maps = [striped(30, 50, ignored=20, width=20), striped(0, 60, 20, width=40)]
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path, labels in zip(paths, maps, strict=True):
        Image.fromarray(labels).save(path)
    index, shapes = tmp_path / "fly.labels.json", [labels.shape for labels in maps]
    write_file_store(index, names=["0", "1"], files=paths, shapes=shapes, digest="f")
    for store in (split_of(tmp_path, *maps).labels, open_store(index)):
        assert class_counts(store, 3).tolist() == [[30, 50, 0], [0, 60, 20]]


def test_counting_happens_once_per_digest(tmp_path, monkeypatch):
    """A second process reads what the first one counted; other labels, or a damaged file, are counted anew."""
    labels, looks = split_of(tmp_path, striped(60, 30, 10)).labels, []
    count = counting.count_values
    monkeypatch.setattr(counting, "count_values", lambda values: looks.append(1) or count(values))
    assert class_counts(labels, 3).tolist() == class_counts(labels, 3).tolist() == [[60, 30, 10]]
    assert class_counts(PixelStore(labels.index), 3).tolist() == [[60, 30, 10]] and len(looks) == 1
    other = split_of(tmp_path, striped(10, 30, 60), digest="other").labels
    assert class_counts(other, 3).tolist() == [[10, 30, 60]] and len(looks) == 2
    assert class_counts(other, 2).tolist() == [[10, 30]] and len(looks) == 3
    labels.index.with_suffix(counting.SUFFIX).write_text('{"digest": "oth')
    assert class_counts(other, 2).tolist() == [[10, 30]] and len(looks) == 4


def test_a_method_can_ask_for_it(project):
    """Written in params.yaml it trains through the stages, and its counts lie beside the decoded labels."""
    config = project.config
    config["methods"]["rare"] = {
        **{"setting": "source", "segmenter": "deeplabv3plus"},
        "training": {"rare_class": {"min_pixels": 20, "of": {"image": [24, 32], "crop": [32, 32]}}},
    }
    config["grid"] |= {"methods": ["rare"], "pairs": ["a->b"]}
    project.write(config)
    run = expand(Context.of(parse(config))).cells[0].run
    for seen in run.sees:
        assert main(["cache", cache_path(run.context, *seen)]) == 0
    assert main(["train", str(run.folder / "run.json")]) == 0
    said = json.loads((run.folder / "run.json").read_text())["settings"]["training"]["rare_class"]
    assert (said["min_pixels"], said["temperature"], said["of"]["image"]) == (20, 0.01, [24, 32])
    labels = PixelStore(project.folder / cache_path(run.context, *next(s for s in run.sees if s[2] == "labels")))
    kept = json.loads(labels.index.with_suffix(counting.SUFFIX).read_text())
    assert kept["digest"] == labels.digest and len(kept["counts"]) == len(labels)
