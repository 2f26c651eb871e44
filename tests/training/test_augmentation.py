"""Which changes a config asks for, and that their draws are independent of each other."""

import pytest
import torch

from hsi.config import Config
from hsi.datasets.augment import flip_rotate
from hsi.training.augmentation import Augmentation

EACH = {"augment": True, "field_shift": 1.0, "pixel_drop": 0.5}
DIFFERENCES = torch.linspace(-1, 1, 16).view(2, 8)


def made(**said):
    config = Config(model="densenet3d", dataset="IN", **said)
    return Augmentation(config, DIFFERENCES if config.field_shift else None)


def test_nothing_asked_for_changes_nothing():
    patches = torch.randn(3, 8, 5, 5)
    nothing = made()
    assert nothing(patches) is patches
    assert nothing.generators == {}


def test_the_symmetries_are_those_of_the_seed():
    patches = torch.randn(9, 8, 5, 5)
    found = made(augment=True, seed=4)(patches)
    assert torch.equal(found, flip_rotate(patches, torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("name", EACH)
def test_each_option_changes_patches_and_goes_on_from_its_saved_generator(name):
    patches = 1 + torch.rand(12, 8, 5, 5)
    one = made(**{name: EACH[name]})
    first = one(patches)
    assert not torch.equal(first, patches)
    (state,) = [generator.get_state() for generator in one.generators.values()]
    second = one(patches)
    assert not torch.equal(first, second)
    (generator,) = one.generators.values()
    generator.set_state(state)
    assert torch.equal(one(patches), second)


def test_switching_one_on_leaves_the_draws_of_the_others():
    both, one = made(augment=True, pixel_drop=0.5), made(augment=True)
    patches = torch.randn(5, 8, 5, 5)
    for _ in range(2):
        both(patches)
        one(patches)
    assert torch.equal(both.generators["symmetry"].get_state(), one.generators["symmetry"].get_state())
    states = [generator.get_state() for generator in made(**EACH).generators.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(states) for b in states[:i])
