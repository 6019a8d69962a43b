"""Augmented images stay on their labels, follow their random stream, and come in the promised order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tiny_jobs
import torch
from pydantic import TypeAdapter, ValidationError
from torchvision import tv_tensors
from torchvision.transforms import v2

from xdseg.data.augmentation import Augmenter, Draw
from xdseg.data.crops import Frame, choose_window, draw_frame, largest_share
from xdseg.data.distortion import draw_changes
from xdseg.data.loading import Batch, Epochs, Labelled, StepBatches, Unlabelled, load
from xdseg.data.store import write_store
from xdseg.data.tensors import PADDING, denormalise, normalise, resize_image, resize_labels
from xdseg.errors import BadInput
from xdseg.settings.sizes import ImageSize
from xdseg.settings.training import Augmentation, Blur, Distortion, Jitter
from xdseg.training.streams import generator, seed_of

STRONG = Augmentation(crop=24, scale=(0.5, 2.0), jitter=Jitter(probability=1), blur=Blur(probability=1))


def scene(height=40, width=60, seed=0):
    """Colours that tell the class, and the labels."""
    labels = tiny_jobs.label_map(np.random.default_rng(seed), height, width)
    return tiny_jobs.COLOURS[labels], labels


def draws(seed=0):
    """A generator."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7, 2.0])
@pytest.mark.parametrize("flip", [0, 1])
def test_labels_stay_on_their_image(scale, flip):
    """At any scale, flipped or not, the strongest colour of a pixel is its class, but for blends on borders."""
    augmenter = Augmenter(Augmentation(crop=48, scale=(scale, scale), flip=flip))
    for step in range(8):
        image, labels = augmenter.labelled(*scene(80, 90), Draw(0, "source/0", step))
        valid = labels != 255
        agree = (image.argmax(0) == labels)[valid].float().mean()
        assert agree > 0.985, f"only {agree:.3f} of the pixels at scale {scale}"


def test_crop_without_resizing_is_a_window_of_the_image():
    """At scale 1 the crop is found again in the image, pixel by pixel, or in its mirror image."""
    image, labels = scene()
    image = np.random.default_rng(1).integers(0, 255, image.shape, dtype=np.uint8)
    mirrored = set()
    for step in range(10):
        crop, crop_labels = Augmenter(Augmentation(crop=16, scale=(1, 1))).labelled(image, labels, Draw(0, "s", step))
        for turned in (False, True):
            whole = image[:, ::-1] if turned else image
            whole_labels = labels[:, ::-1] if turned else labels
            for top, left in np.ndindex(40 - 15, 60 - 15):
                place = (slice(top, top + 16), slice(left, left + 16))
                if np.array_equal(whole[place], crop.permute(1, 2, 0)):
                    assert np.array_equal(whole_labels[place], crop_labels)
                    mirrored.add((step, turned))
    assert {step for step, _ in mirrored} == set(range(10))
    assert {turned for _, turned in mirrored} == {True, False}


def test_small_images_are_padded_with_mean_colour_and_ignored():
    """A 40 x 60 image in a 64 crop at scale 1: rows from 40 and columns from 60 are padding, untouched by jitter."""
    image, labels = scene()
    settings = STRONG.model_copy(update={"crop": 64, "scale": (1, 1)})
    crop, crop_labels = Augmenter(settings).labelled(image, labels, Draw(0, "source/0", 0))
    outside = torch.ones(64, 64, dtype=torch.bool)
    outside[:40, :60] = False
    assert torch.equal(crop_labels == 255, outside)
    assert (crop[:, outside] == torch.tensor(PADDING)[:, None]).all()
    assert normalise(crop)[:, outside].abs().max() < 0.01
    assert torch.equal(crop[:, outside], Augmenter(settings).unlabelled(image, Draw(0, "source/0", 0))[:, outside])


def test_another_ignore_index_becomes_255():
    """Pixels that the suite ignores by number 9 are 255 for every loss; classes keep their numbers."""
    image, labels = scene()
    labels[:8] = 9
    _, crop = Augmenter(Augmentation(crop=64, scale=(1, 1), flip=0), ignore_index=9).labelled(
        image, labels, Draw(0, "s", 0)
    )
    assert torch.equal(crop[:40, :60], torch.from_numpy(np.where(labels == 9, 255, labels)))


def test_draws_follow_seed_stream_and_step():
    """Equal (seed, stream, step) give equal pixels whatever was drawn before; changing any gives others."""
    augmenter, pair = Augmenter(STRONG), scene()
    first = augmenter.labelled(*pair, Draw(0, "source/0", 5))
    torch.rand(3)
    before = torch.random.get_rng_state()
    again = Augmenter(STRONG).labelled(*pair, Draw(0, "source/0", 5))
    assert torch.equal(torch.random.get_rng_state(), before), "the process's own generator moved"
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    for other in (Draw(1, "source/0", 5), Draw(0, "source/1", 5), Draw(0, "source/0", 6)):
        assert not torch.equal(first[0], augmenter.labelled(*pair, other)[0])


def test_jitter_changes_colours_only():
    """With and without jitter and blur, windows and labels are the same; colours are not."""
    plain, pair, draw = STRONG.model_copy(update={"jitter": None, "blur": None}), scene(), Draw(0, "source/0", 1)
    calm, strong = Augmenter(plain).labelled(*pair, draw), Augmenter(STRONG).labelled(*pair, draw)
    assert torch.equal(calm[1], strong[1]) and not torch.equal(calm[0], strong[0])
    assert torch.equal(Augmenter(STRONG).unlabelled(pair[0], draw), calm[0]), "unlabelled images come without jitter"


def test_largest_share_by_hand():
    """Two of three labelled pixels are of class 1; with nothing labelled the share is 1."""
    assert largest_share(np.array([[1, 1], [0, 255]], np.uint8), 255) == pytest.approx(2 / 3)
    assert largest_share(np.full((2, 2), 255, np.uint8), 255) == 1


def test_crops_of_one_class_are_drawn_again():
    """Where a tenth of the image holds a second class, a limit on shares finds it far more often than chance."""
    labels = np.zeros((40, 200), np.uint8)
    labels[:, :20] = 1
    free, limited = (Augmentation(crop=20, scale=(1, 1), max_class_share=share) for share in (1.0, 0.9))

    def mixed(settings):
        windows = [choose_window((40, 200), labels, settings, draws(seed), ignore=255) for seed in range(60)]
        return sum(largest_share(window.of(labels), 255) <= 0.9 for window in windows)

    assert mixed(free) < 15 and mixed(limited) > 35


def test_window_by_hand():
    """A 30 pixel window for a 60 crop doubles; one larger than the image is cut and shrinks in proportion."""
    window = Frame((60, 60), (30, 30)).place((100, 100), draws())
    assert (window.height, window.width, window.size) == (30, 30, (60, 60))
    cut = Frame((40, 40), (80, 80)).place((40, 100), draws())
    assert (cut.top, cut.height, cut.width, cut.size) == (0, 40, 80, (20, 40))


def test_resizing_aligns_pixel_centres():
    """Doubling 0, 100 gives 0, 25, 75, 100. The centres of two cells over labels 1 to 4 lie in 2 and 4."""
    row = torch.tensor([[1, 2, 3, 4]], dtype=torch.uint8)
    assert resize_labels(row, (1, 2)).tolist() == [[2, 4]]
    doubled = resize_image(torch.tensor([0, 100], dtype=torch.uint8).expand(3, 1, 2), (1, 4))
    assert doubled[0, 0].tolist() == [0, 25, 75, 100]


def test_normalisation_by_hand():
    """White is (1 - mean) / deviation; denormalise undoes it."""
    white = torch.full((3, 1, 1), 255, dtype=torch.uint8)
    torch.testing.assert_close(normalise(white).flatten(), torch.tensor([2.2489083, 2.4285715, 2.64]))
    torch.testing.assert_close(denormalise(normalise(white)), torch.ones(3, 1, 1))


def test_seed_of_is_stable():
    """Seeds are the first 63 bits of SHA-256 (`printf 0/init/0 | sha256sum`), so that no version draws others."""
    assert seed_of(0, "init", 0) == 0xD360C57DDD95A226 >> 1
    assert seed_of(0, "init", 1) != seed_of(0, "init", 0) != seed_of(1, "init", 0)


def test_each_image_once_per_epoch(tmp_path):
    """Six images in batches of four: each six draws in a row hold every image once, and epochs differ in order."""
    split = tiny_jobs.make_split(tmp_path, "day")
    order = Epochs(0, "source", (split,))
    numbers = [order.pick(draw)[1] for draw in range(24)]
    epochs = [tuple(numbers[start : start + 6]) for start in range(0, 24, 6)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4, 5] for epoch in epochs) and len(set(epochs)) > 1


def test_domains_have_equal_shares(tmp_path):
    """Two source domains of 2 and 6 images each give half of the draws."""
    splits = (tiny_jobs.make_split(tmp_path, "few", count=2), tiny_jobs.make_split(tmp_path, "many"))
    picks = [Epochs(0, "source", splits).pick(draw) for draw in range(12)]
    counts = Counter((split.domain, number) for split, number in picks)
    assert counts == {("few", 0): 3, ("few", 1): 3} | {("many", number): 1 for number in range(6)}


def flat(batch: Batch) -> list:
    """All that a batch holds."""
    return [batch.index, batch.source.names, batch.source.images, batch.source.labels, batch.target.images]


def test_workers_change_no_byte(tmp_path):
    """The same batches come from no worker and from two, and from a loader that starts in the middle."""
    job = replace(tiny_jobs.make_job(tmp_path, target="images"), augmentation=STRONG)
    alone, helped = (list(load(job, first=0, workers=workers)) for workers in (0, 2))
    later = list(load(job, first=7, workers=0))
    assert [batch.index for batch in alone] == list(range(10))
    for one, other in [*zip(alone, helped, strict=True), *zip(alone[7:], later, strict=True)]:
        for mine, theirs in zip(flat(one), flat(other), strict=True):
            assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs


def test_batches_hold_what_is_granted(tmp_path):
    """Images of the target come without labels unless granted; names tell domain and image."""
    plain = StepBatches(tiny_jobs.make_job(tmp_path))[0]
    images = StepBatches(tiny_jobs.make_job(tmp_path, target="images"))[0]
    labels = StepBatches(tiny_jobs.make_job(tmp_path, target="labels"))[0]
    assert plain.target is None
    assert type(images.target) is Unlabelled and not hasattr(images.target, "labels")
    assert isinstance(labels.target, Labelled) and labels.target.labels.shape == (4, 32, 32)
    assert {name.split("/")[0] for name in plain.source.names} == {"day"}
    assert torch.equal(plain.source.images, labels.source.images), "the source's draws do not depend on the target"


def test_rounds_cut_a_batch_in_order(tmp_path):
    """Two rounds of a batch of four hold images 0, 1 and 2, 3 of source and target."""
    batch = StepBatches(tiny_jobs.make_job(tmp_path, target="images"))[3]
    first, second = batch.rounds(2)
    assert (first.index, first.round, second.round) == (3, 0, 1)
    assert first.source.names + second.source.names == batch.source.names
    assert torch.equal(torch.cat([first.target.images, second.target.images]), batch.target.images)
    assert torch.equal(second.source.labels, batch.source.labels[2:])


def reopened(job):
    """The job with its stores opened anew."""
    split = job.source[0]
    stores = {name: type(split.images)(getattr(split, name).index) for name in ("images", "labels")}
    return replace(job, source=(replace(split, **stores),))


def test_stores_that_disagree_are_refused(tmp_path):
    """Labels of other images than the store of images holds end in one line."""
    job = tiny_jobs.make_job(tmp_path)
    write_store(job.source[0].labels.index, names=["x"], arrays=[np.zeros((2, 2), np.uint8)], digest="l")
    with pytest.raises(BadInput, match="day: the stores of images and labels name other images"):
        StepBatches(reopened(job))


def test_generators_are_fresh():
    """Two generators of one stream draw the same from its start."""
    assert torch.equal(torch.rand(3, generator=generator(1, "a", 2)), torch.rand(3, generator=generator(1, "a", 2)))


@pytest.mark.parametrize(
    ("resize", "crop", "covers"),
    [
        ((720, 1280), 512, (748, 766)),  # AdaptSegNet: exact, so the ratio changes: 512 * 1052/720, 512 * 1914/1280
        ({"fit": [720, 1280]}, 512, (765, 766)),  # DAFormer: 1280 x 704
        (None, 512, (512, 512)),
        ({"fit": [1440, 2560]}, [512, 1024], (383, 766)),  # twice as wide as high, of 2560 x 1407
    ],
)
def test_crop_of_a_resized_image_covers_stored_pixels(resize, crop, covers):
    """A frame of GTA5, 1914 x 1052, resized as papers do before the crop: only the window is ever resized."""
    settings = Augmentation(scale=(1, 1), crop=crop)
    size = TypeAdapter(ImageSize).validate_python(resize) if resize else None
    assert draw_frame((1052, 1914), settings, draws(), resize=size).covers == covers


def test_resized_crop_is_the_crop_of_the_resized_image():
    """Resizing a window gives what cutting the resized image gives, where the factor is whole."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (64, 96)).astype(np.uint8)
    image = rng.integers(0, 255, (64, 96, 3)).astype(np.uint8)
    settings = Augmentation(scale=(1, 1), crop=16, flip=0)
    _, cut = Augmenter(settings).labelled(image, labels, Draw(0, "a", 0), resize=(32, 48))
    # every second pixel, from the window's own first one
    halves = [labels[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    windows = [np.lib.stride_tricks.sliding_window_view(half, (16, 16)).reshape(-1, 16, 16) for half in halves]
    assert any(np.array_equal(cut.numpy(), window) for window in np.concatenate(windows))


def test_no_crop_is_the_whole_image_resized():
    """With crop null an image comes whole, at the size that its domain is given."""
    settings = Augmentation(scale=(1, 1), crop=None, flip=0)
    image = np.full((40, 60, 3), 7, np.uint8)
    labels = np.arange(40 * 60, dtype=np.uint32).reshape(40, 60).astype(np.uint8) % 5
    out, ids = Augmenter(settings).labelled(image, labels, Draw(0, "a", 0), resize=(20, 50))
    assert out.shape == (3, 20, 50) and (out == 7).all() and ids.shape == (20, 50)
    _, same = Augmenter(settings).labelled(image, labels, Draw(0, "a", 0))
    assert np.array_equal(same.numpy(), labels)


@pytest.mark.parametrize("crop", [0, -3, [16], [16, 0], True, "16"])
def test_no_size_of_a_crop(crop):
    """A side, [height, width] or null."""
    with pytest.raises(ValidationError, match="expected a side"):
        Augmentation(crop=crop)


@pytest.mark.parametrize(
    ("shape", "crop", "lowest", "highest"),
    [
        ((1024, 2048), 1024, 0.25, 1.0),  # Cityscapes: half its size fits
        ((512, 683), 512, 0.375, 1.5),  # ADE20K, where 512/683 fits
        ((683, 512), 512, 0.375, 1.5),
        ((256, 256), 512, 1.0, 4.0),
        ((600, 600), [300, 900], 0.25, 1.0),  # the height binds
    ],
)
def test_scale_relative_to_what_fits(shape, crop, lowest, highest):
    """EoMT's factors 0.5 to 2, of the largest size within the crop, reach all of the effective range and no more."""
    settings = Augmentation(crop=crop, scale_of="fit")
    height = settings.crop_size[0]
    factors = [height / draw_frame(shape, settings, draws(seed)).covers[0] for seed in range(1000)]
    assert lowest * 0.999 <= min(factors) <= lowest * 1.02
    assert highest * 0.98 <= max(factors) <= highest * 1.002
    assert np.mean(factors) == pytest.approx((lowest + highest) / 2, rel=0.04), "uniform in the factor"


@pytest.mark.parametrize("shape", [(1024, 2048), (512, 683), (713, 512), (375, 500)])
@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0])
def test_fitting_sizes_are_torchvisions(shape, scale):
    """Up to factor 1 the whole image is seen, at ScaleJitter's size but for a pixel, which it rounds down."""
    settings = Augmentation(crop=512, scale=(scale, scale), scale_of="fit")
    window = draw_frame(shape, settings, draws()).place(shape, draws())
    theirs = v2.ScaleJitter((512, 512), (scale, scale)).make_params([tv_tensors.Image(torch.empty(3, *shape))])["size"]
    assert (window.height, window.width) == shape
    assert all(abs(mine - other) <= 1 for mine, other in zip(window.size, theirs, strict=True))


def test_fit_is_of_the_resized_image():
    """Of a domain that is resized the factor counts from there: what is stored at twice the size is covered twice."""
    settings = Augmentation(crop=64, scale=(1, 1), scale_of="fit")
    assert draw_frame((64, 128), settings, draws()).covers == (128, 128)
    assert draw_frame((128, 256), settings, draws(), resize=(64, 128)).covers == (256, 256)


def test_fit_needs_a_crop():
    """Without a crop there is nothing to fit into."""
    with pytest.raises(ValidationError, match="scale_of fit needs a crop to fit into"):
        Augmentation(crop=None, scale_of="fit")


def test_padding_may_be_black():
    """Zero around a 40 x 60 image in a 64 crop, for labelled and unlabelled images; labels are ignored as before."""
    image, labels = scene()
    settings = Augmentation(crop=64, scale=(1, 1), padding="zero")
    crop, ids = Augmenter(settings).labelled(image, labels, Draw(0, "source/0", 0))
    alone = Augmenter(settings).unlabelled(image, Draw(0, "source/0", 0))
    assert torch.equal(crop, alone) and crop[:, :40, :60].min() == 30
    assert (crop[:, 40:] == 0).all() and (crop[:, :, 60:] == 0).all()
    assert (ids[40:] == 255).all() and (ids[:, 60:] == 255).all() and (ids[:40, :60] < 3).all()


SCENE = np.zeros((40, 60, 3), np.uint8)


def one_corner(ignore=255):
    """40 x 200 pixels, of which the left tenth is labelled."""
    labels = np.full((40, 200), ignore, np.uint8)
    labels[:, :20] = 1
    return np.zeros((40, 200, 3), np.uint8), labels


@pytest.mark.parametrize("ignore", [255, 9])
def test_crops_without_a_label_are_drawn_again(ignore):
    """Where a tenth of the image is labelled, each crop shows some of it if that is asked for; else few do."""
    shown = []
    for asked in (False, True):
        augmenter = Augmenter(Augmentation(crop=20, labelled_only=asked), ignore_index=ignore)
        crops = [augmenter.labelled(*one_corner(ignore), Draw(0, "s", step))[1] for step in range(40)]
        shown.append(sum(int((crop != 255).any()) for crop in crops))
    assert shown[0] < 20 and shown[1] == 40


def test_redrawn_crops_have_a_scale_and_a_flip_of_their_own():
    """As in EoMT all is drawn again: the crops are those of free draws that happen to show a label.

    Of 60 columns the first six are labelled, which a small scale, that sees more of the image, finds more often:
    crops whose place alone was drawn again would have the scales of all draws, and fewer labelled pixels.
    """
    labels = np.full((40, 60), 255, np.uint8)
    labels[:, :6] = 1
    found = {}
    for asked, steps in ((True, 600), (False, 3000)):
        augmenter = Augmenter(Augmentation(crop=20, scale=(0.5, 2), labelled_only=asked))
        crops = [augmenter.labelled(SCENE, labels, Draw(0, "s", step))[1] == 1 for step in range(steps)]
        rows = [crop.any(0) for crop in crops if crop.any()]
        narrow = np.mean([row.sum() <= 3 for row in rows])
        found[asked] = (narrow, np.mean([row[-1].item() and not row[0].item() for row in rows]))
        assert (len(rows) == steps) == asked
    assert found[True] == pytest.approx(found[False], abs=0.06)


def test_image_without_labels_ends():
    """Where no pixel is labelled the last draw is taken; a first draw with labels is the one that would be taken."""
    image, labels = one_corner()
    asked = Augmenter(Augmentation(crop=20, labelled_only=True))
    _, crop = asked.labelled(image, np.full_like(labels, 255), Draw(0, "s", 0))
    assert (crop == 255).all()
    free, pair = Augmenter(Augmentation(crop=20)), scene()
    assert torch.equal(asked.labelled(*pair, Draw(0, "s", 1))[0], free.labelled(*pair, Draw(0, "s", 1))[0])
    assert torch.equal(asked.unlabelled(image, Draw(0, "s", 2)), free.unlabelled(image, Draw(0, "s", 2)))


@pytest.mark.parametrize("step", range(8))
def test_published_order_of_eomt(step):
    """At the scale that just fits: torchvision's changes on the whole image, mirrored, black below; byte for byte."""
    image = np.random.default_rng(5).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    labels = np.random.default_rng(6).integers(0, 5, (32, 64)).astype(np.uint8)
    distortion = Distortion(probability=0.8)
    settings = Augmentation(
        crop=64, scale=(1, 1), scale_of="fit", flip=1, padding="zero", labelled_only=True, distortion=distortion
    )
    found, ids = Augmenter(settings).labelled(image, labels, Draw(0, "source/0", step))
    whole = torch.from_numpy(image).permute(2, 0, 1)
    for name, amount in draw_changes(distortion, generator(0, "distortion/source/0", step)):
        whole = getattr(v2.functional, f"adjust_{name}")(whole, amount)
    whole = v2.functional.pad(v2.functional.horizontal_flip(whole), [0, 0, 0, 32])
    assert torch.equal(found, whole)
    assert torch.equal(ids[:32], torch.from_numpy(labels).flip(-1)) and (ids[32:] == 255).all()


def test_new_augmentations_move_no_old_fingerprint():
    """At their defaults they are in no identity; said, they are in it as they are said."""
    assert Augmentation(crop=8).identity() == {"crop": 8}
    assert Augmentation(crop=8, jitter={}).identity() == {"crop": 8, "jitter": {}}
    said = {"crop": 8, "scale_of": "fit", "padding": "zero", "labelled_only": True, "distortion": {"of": "crop"}}
    assert Augmentation(**said).identity() == said
