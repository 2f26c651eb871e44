"""A network of a test's own, by name, and the options of a quick training."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import hsi
from hsi.models import registry
from hsi.training.distributed import MultiProcessWorld


class Linear(nn.Module):
    """One linear layer on the whole patch; `before` sees each batch first."""

    def __init__(self, bands: int, classes: int, patch: int, before: Callable, norm: bool) -> None:
        super().__init__()
        self.before = before
        self.norm = nn.BatchNorm2d(bands) if norm else nn.Identity()
        self.dropout = nn.Dropout(0.2)
        self.flat = nn.Flatten()
        self.head = nn.Linear(bands * patch * patch, classes)

    def forward(self, x):
        return self.head(self.flat(self.dropout(self.before(self, self.norm(x)))))


@pytest.fixture
def own_network(monkeypatch) -> Iterator[Callable]:
    """Register a `Linear` as "own", with what it does to each batch."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    given = {}

    @hsi.register_model("own")
    def own(bands, classes, patch):
        return Linear(bands, classes, patch, **given)

    def register(before=lambda network, x: x, norm=True):
        given.update(before=before, norm=norm)

    register()
    return register


@pytest.fixture
def own_settings(small_scene) -> dict:
    return {
        "model": "own",
        "dataset": str(small_scene),
        "scheme": "random",
        "train": 0.2,
        "val": 0.2,
        "patch": 3,
        "epochs": 3,
        "batch": 16,
        "lr": 0.01,
        "device": "cpu",
    }


def _be_rank(work: Callable, number: int, count: int, meeting: Path, answer: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=number, world_size=count
    )
    torch.save(work(MultiProcessWorld(number, count, number)), answer)


@pytest.fixture
def ranked(tmp_path) -> Callable:
    """Do some work as so many ranks, each in a process of its own; return what each got."""
    meetings = iter(range(100))

    def run(count: int, work: Callable) -> list:
        place = tmp_path / f"meeting{next(meetings)}"
        place.mkdir()
        context = multiprocessing.get_context("fork")  # so that `work` needs no name
        answers = [place / f"{number}.pt" for number in range(count)]
        world = [
            context.Process(target=_be_rank, args=(work, number, count, place / "store", answer))
            for number, answer in enumerate(answers)
        ]
        for rank in world:
            rank.start()
        for rank in world:
            rank.join(120)
        assert [rank.exitcode for rank in world] == [0] * count
        return [torch.load(answer, weights_only=False) for answer in answers]

    return run
