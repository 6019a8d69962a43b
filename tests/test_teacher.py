"""The averaged teacher: its schedule, what it averages, and what its batch norm reads."""

import pytest
import tiny_jobs
import torch
from torch import nn

from xdseg.adaptations.build import check_teachers
from xdseg.adaptations.contract import Adaptation, Needs
from xdseg.errors import BadInput
from xdseg.segmenters.build import build_segmenter
from xdseg.training.teacher import Teacher, ema_rate


def network(seed=0):
    """A small network with batch norm and dropout."""
    settings = tiny_jobs.segmenter_settings("deeplabv3plus")
    return build_segmenter("deeplabv3plus", settings, tiny_jobs.CLASSES, seed=seed)


def images(count=4):
    """Normalised random images."""
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("updates", "rate"), [(0, 0), (1, 1 / 2), (2, 2 / 3), (98, 98 / 99), (99, 0.99), (10**6, 0.99)]
)
def test_schedule_by_hand(updates, rate):
    """min(1 - 1/(t + 1), 0.99): nothing of its own at first, half after one update, 0.99 from the 99th on."""
    assert ema_rate(updates, 0.99) == pytest.approx(rate, abs=1e-12)


def test_early_teacher_is_the_mean_of_all_students():
    """Until the limit is reached, after students 1 and 4 a teacher that began at 1 holds (1 + 1 + 4) / 3."""
    student = nn.Linear(1, 1, bias=False)
    values = iter([1.0, 4.0])
    student.weight.data.fill_(1.0)
    teacher = Teacher(student, 0.99)
    for index, value in enumerate(values):
        student.weight.data.fill_(value)
        teacher.follow(student, index)
    assert teacher.segmenter.weight.item() == pytest.approx(2.0)


def test_published_norm_reads_the_batch():
    """As published, what else is in the batch matters, running statistics are not averaged, and nothing draws."""
    teacher = Teacher(network(), 0.9)
    before = {name: buffer.clone() for name, buffer in teacher.segmenter.named_buffers()}
    both, pair = teacher.probabilities(images()), teacher.probabilities(images()[:2])
    assert not torch.allclose(both[:2], pair, atol=1e-4)
    assert torch.equal(both, teacher.probabilities(images())), "dropout is off"
    student = network(seed=1)
    for buffer in student.buffers():
        buffer.fill_(7)
    after_passes = {name: buffer.clone() for name, buffer in teacher.segmenter.named_buffers()}
    teacher.follow(student, 0)
    assert all(torch.equal(after_passes[name], buffer) for name, buffer in teacher.segmenter.named_buffers())
    assert not all(torch.equal(before[name], after_passes[name]) for name in before)


def test_running_norm_is_averaged_and_reads_no_batch():
    """With `running`, statistics follow like parameters, and an image's labels hang on no other image."""
    teacher, student = Teacher(network(), 0.9, norm="running"), network(seed=1)
    mean = teacher.segmenter.encoder.bn1.running_mean
    student.encoder.bn1.running_mean.fill_(3.0)
    student.encoder.bn1.num_batches_tracked.fill_(5)
    teacher.follow(student, 0)
    torch.testing.assert_close(mean, torch.full_like(mean, 1.5))
    assert teacher.segmenter.encoder.bn1.num_batches_tracked == 5
    teacher.train()
    torch.testing.assert_close(teacher.probabilities(images())[:2], teacher.probabilities(images()[:2]))
    torch.testing.assert_close(mean, torch.full_like(mean, 1.5))


class Wanting(Adaptation):
    """An adaptation that wants a teacher."""

    def __init__(self, **needs):
        super().__init__()
        self.needs = Needs(**needs)


@pytest.mark.parametrize("other", [{"teacher": 0.9}, {"teacher": 0.99, "teacher_norm": "running"}])
def test_one_teacher_per_method(other):
    """Two terms may share a teacher, but not want different ones; whoever wants none does not matter."""
    check_teachers({"a": Wanting(teacher=0.99), "b": Wanting(teacher=0.99), "c": Wanting()})
    with pytest.raises(BadInput, match=r"teachers of different rate or norm: a 0.99 \(batch\), b "):
        check_teachers({"a": Wanting(teacher=0.99), "b": Wanting(**other)})
