"""Processes that share cards never hold more of one than it has, whoever runs them and however they end. No GPU."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from xdseg.errors import BadInput
from xdseg.settings.runtime import Runtime
from xdseg.training.cards import VISIBLE, Card, find_cards, held, visible

POLL = 0.02
PATIENCE = 120
TWO = [Card("GPU-a", 24), Card("GPU-b", 24)]
NOBODY = 65534
context = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _nothing_visible(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)


def holding(locks, memory, *, cards=1, there=TWO, **settings):
    """`held` for a runtime, on cards that are not there."""
    runtime = Runtime(cards={"memory_gb": memory, "locks": str(locks)}, **settings)
    return held(runtime, cards=cards, find=lambda: list(there), poll=POLL)


def holder(locks, memory, *, seconds=PATIENCE, user=None, **options):
    """A started process that holds memory for a while, and says by a pipe on which cards."""
    ours, theirs = context.Pipe()

    def main():
        if user is not None:
            os.setuid(user)
        with holding(locks, memory, **options) as names:
            theirs.send(names)
            time.sleep(seconds)

    process = context.Process(target=main)
    process.start()
    return process, ours


def waits(pipe, *, seconds=10 * POLL):
    """Whether nothing comes from a process for some polls."""
    return not pipe.poll(seconds)


def test_visible_cards_by_hand():
    """Numbers, names and beginnings of names choose, in their order; the first wrong one ends the list, as in CUDA."""
    a, b = TWO
    named = {"0": a, "1": b}
    wanted = {None: [a, b], "1,0": [b, a], "GPU-b": [b], "GPU-a,1": [a, b], "": [], "-1": [], "1,7,0": [b], "GPU-": []}
    assert {key: visible(named, key) for key in wanted} == wanted
    assert visible(named, "MIG-x") == [Card("MIG-x", 0)]


@pytest.mark.parametrize("twice", ["0,0", "0,GPU-a", "GPU-a,0,0"])
def test_a_card_named_twice_is_one(tmp_path, twice):
    """Two of it are not waited for, but refused."""
    found = visible({"0": TWO[0]}, twice)
    assert found == TWO[:1]
    with pytest.raises(BadInput, match="2 need a card each, and there are 1"):
        holding(tmp_path, 10, cards=2, there=found).__enter__()
    assert visible({}, "MIG-x,MIG-x,MIG-y") == [Card("MIG-x", 0), Card("MIG-y", 0)]


def test_cards_are_read_from_the_driver(tmp_path, monkeypatch):
    """Memory is in whole GB of 1024 MiB; without the driver's program there is no card."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_cards() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, GPU-a, 81559'\necho '1, GPU-b, 24576'\n")
    program.chmod(0o755)
    assert find_cards() == [Card("GPU-a", 79), Card("GPU-b", 24)]
    monkeypatch.setenv(VISIBLE, "1")
    assert find_cards() == [Card("GPU-b", 24)]


def test_what_the_driver_does_not_know(tmp_path, monkeypatch):
    """Memory that is not told makes a card that one process takes whole; lines that are no card's are passed over."""
    said = ["", "0, GPU-a, [N/A]", "Unable to determine the device handle for GPU1: Unknown Error", "2, GPU-c, 24576"]
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in said))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_cards() == [Card("GPU-a", 0), Card("GPU-c", 24)]


def test_cuda_sees_the_card_that_is_held(tmp_path):
    """Within the block alone; where nothing is asked for, or on the CPU, everything is as it was."""
    with holding(tmp_path / "locks", 10) as names:
        assert os.environ[VISIBLE] == "GPU-a" and names == ["GPU-a"]
    assert VISIBLE not in os.environ
    with holding(tmp_path / "locks", 10, device="cpu") as names:
        assert names == [] and VISIBLE not in os.environ
    with held(Runtime(), find=lambda: TWO) as names:
        assert names == [] and VISIBLE not in os.environ


def test_the_emptiest_card_is_taken(tmp_path):
    """Of two alike the first, then the other; a third run joins the first one."""
    with holding(tmp_path, 10) as one, holding(tmp_path, 6) as two, holding(tmp_path, 3) as three:
        assert (one, two, three) == (["GPU-a"], ["GPU-b"], ["GPU-b"])


def test_memory_counts_up_in_whole_gb(tmp_path):
    """On 24 GB fit 16 and 8, and 7.5 beside 16, but no more of the half that is left of it."""
    one = TWO[:1]
    with holding(tmp_path, 16, there=one), holding(tmp_path, 7.5, there=one):
        process, pipe = holder(tmp_path, 0.5, there=one)
        assert waits(pipe)
    assert pipe.recv() == ["GPU-a"], "it came in once they were gone"
    process.kill()
    process.join()


def test_nobody_holds_more_than_there_is(tmp_path):
    """Ten runs of 10 GB on two cards of 24: four at a time, two to a card, no more, and all come to their turn."""
    log = tmp_path / "log"

    def main(number):
        with holding(tmp_path / "locks", 10) as (name,):
            _note(log, f"+ {name}")
            end = time.monotonic() + PATIENCE
            while log.read_text().count("+") < 4 and time.monotonic() < end:
                time.sleep(0.02)
            _note(log, f"- {name}")

    processes = [context.Process(target=partial(main, number)) for number in range(10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * 10
    running, most = {card.name: 0 for card in TWO}, 0
    for sign, name in (line.split() for line in log.read_text().splitlines()):
        running[name] += 1 if sign == "+" else -1
        assert running[name] <= 2, "two runs of 10 GB fill a card of 24"
        most = max(most, sum(running.values()))
    assert most == 4 and set(running.values()) == {0}


def _note(log: Path, line: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def test_a_killed_process_frees_its_memory(tmp_path):
    """SIGKILL leaves no lock behind."""
    process, pipe = holder(tmp_path, 24, cards=2)
    assert pipe.recv() == ["GPU-a", "GPU-b"]
    second, other = holder(tmp_path, 20)
    assert waits(other)
    os.kill(process.pid, signal.SIGKILL)
    assert other.poll(PATIENCE) and other.recv() == ["GPU-a"]
    second.kill()
    process.join()
    second.join()


def test_several_cards_come_together_or_not_at_all(tmp_path):
    """Who needs two waits without holding one, so that a run that needs one is not kept from it."""
    with holding(tmp_path, 20):
        process, pipe = holder(tmp_path, 10, cards=2)
        assert waits(pipe)
        with holding(tmp_path, 20) as (name,):
            assert name == "GPU-b"
    assert pipe.poll(PATIENCE) and sorted(pipe.recv()) == ["GPU-a", "GPU-b"]
    process.kill()
    process.join()


def test_programs_that_are_started_see_the_card_and_hold_none(tmp_path):
    """The copies of `xdseg train`: they compute on the card, and it is free when who started them has gone."""
    with holding(tmp_path, 24, there=TWO[:1]):
        show = [sys.executable, "-c", "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); input()"]
        program = subprocess.Popen(show, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert program.stdout.readline() == "GPU-a\n"
    with holding(tmp_path, 24, there=TWO[:1]) as names:
        assert names == ["GPU-a"]
    program.communicate("\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
@pytest.mark.parametrize("first", [None, NOBODY])
def test_two_users_share_a_card(tmp_path, first):
    """Whoever comes first and whatever the umask, a second user waits for the first one's memory, and then gets it."""
    for part in (tmp_path, *tmp_path.parents[:3]):
        part.chmod(part.stat().st_mode | 0o555)
    tmp_path.chmod(0o777)
    before = os.umask(0o077)
    try:
        one, pipe = holder(tmp_path / "locks", 20, there=TWO[:1], user=first)
        assert pipe.recv() == ["GPU-a"]
        two, other = holder(tmp_path / "locks", 20, there=TWO[:1], user=NOBODY if first is None else None)
        assert waits(other)
        one.kill()
        assert other.poll(PATIENCE) and other.recv() == ["GPU-a"]
        two.kill()
    finally:
        os.umask(before)
    one.join()
    two.join()


@pytest.mark.parametrize(
    ("memory", "cards", "said"),
    [(30, 1, "more than a card here has, 24"), (10, 3, "3 need a card each, and there are 2")],
)
def test_what_never_fits_is_refused(tmp_path, memory, cards, said):
    """Instead of waiting for ever, in one line."""
    with pytest.raises(BadInput, match=said), holding(tmp_path, memory, cards=cards):
        pass


def test_locks_that_cannot_be_written_are_refused(tmp_path):
    """The line names the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"runtime\.cards\.locks"), holding(tmp_path / "file" / "locks", 1):
        pass
