"""Sizes that a network refuses, and the sentences that say so."""

import pytest

from hsi.errors import ModelError
from hsi.models.sizes import check_sizes


def test_what_fits_is_let_through() -> None:
    check_sizes(1, 2, 1)
    check_sizes(7, 2, 3, least_bands=7, least_patch=3)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ((7, 2, 4), "The patch width must be odd, so that a pixel is its centre; 4 is even."),
        ((7, 2, -1), "The patch width must be at least 3 pixels, to be halved; got -1."),
        ((7, 2, 1), "The patch width must be at least 3 pixels, to be halved; got 1."),
        ((6, 2, 3), "This network needs at least 7 bands; got 6."),
        ((7, 1, 3), "A classifier needs at least 2 classes; got 1."),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(sizes: tuple[int, int, int], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        check_sizes(*sizes, least_bands=7, least_patch=3, patch_why="to be halved")
    assert str(caught.value) == sentence
