"""The plain snakes against the chunked ones, whose own test compares them with a definition in loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi.models.snake import View, snake_rows
from hsi.models.snake_plain import plain_rows

SAMPLER = (0, 1, True)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    axes=st.sampled_from(["w", "h", "d", "wd", "whd"]),
    points=st.sampled_from([3, 5, 9]),
    moving=st.booleans(),
    plain=st.integers(0, 1),
    seed=st.integers(0, 99),
)
def test_equals_the_chunked_one(sizes, axes, points, moving, plain, seed):
    random = torch.Generator().manual_seed(seed)
    width, slots = 2, (points - 1) * len(axes)
    rows = width * (len(axes) + plain)
    x = torch.randn(3, *sizes, 4, generator=random)
    centre, bias = torch.randn(rows, 4, generator=random), torch.randn(rows, generator=random)
    outer = torch.randn(slots * width, 4, generator=random)
    offsets = 2 * torch.randn(3, *sizes, slots, 2, generator=random) if moving else None
    views = tuple(View(axis, points, i * (points - 1) if moving else None) for i, axis in enumerate(axes))
    wanted = snake_rows(x, centre, bias, outer, offsets, views)
    found = plain_rows(x, centre, bias, outer, offsets, views, SAMPLER)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_the_graph_holds_for_any_number_of_samples():
    views = (View("w", 3, 0), View("d", 3, 2))
    weights = (torch.randn(4, 4), torch.randn(4), torch.randn(8, 4))

    class Rows(torch.nn.Module):
        def forward(self, x, offsets):
            return snake_rows(x, *weights, offsets, views)

    x, offsets = torch.randn(7, 3, 4, 4, 4), torch.randn(7, 3, 4, 4, 4, 2)
    many = {0: torch.export.Dim("N")}
    program = torch.export.export(Rows(), (x[:2], offsets[:2]), dynamic_shapes=(many, many))
    for count in (1, 7):
        found = program.module()(x[:count], offsets[:count])
        torch.testing.assert_close(found, Rows()(x[:count], offsets[:count]), atol=1e-5, rtol=1e-5)
