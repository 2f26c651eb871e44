from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import hsi
from hsi.errors import InputError, ModelError
from hsi.explain.snakes import draw_snakes, mean_distance, voxel_grid
from hsi.models.densenet3d import HalvingPool
from hsi.models.sgdscnet import SnakeTemplates

AXES = "dhw"


def positions_by_hand(module, x):
    """The definition, point by point: steps of the offset head are summed outward from a fixed centre.

    One sample ``(1, C, D, H, W)`` to a list of ``(K, 3, D, H, W)``, one for each view.
    """
    head, sizes = module.offsets, x.shape[2:]
    with torch.no_grad():
        moving = sum(module.channels)
        steps = torch.tanh(head.norm(head.conv(x)))[0, :moving].double().numpy()
    answer, first = [], 0
    for view, points, moves, channels in zip(
        module.views, module.points, module.moves, module.channels, strict=True
    ):
        own = steps[first : first + channels].reshape(points - 1, len(moves), *sizes)
        first += channels
        place = np.zeros((points, 3, *sizes))
        middle = points // 2
        for voxel in np.ndindex(*sizes):
            for j in range(points):
                at = list(voxel)
                at[AXES.index(view)] += j - middle
                between = range(middle, j) if j > middle else range(j, middle)
                for i, axis in enumerate(moves):
                    at[AXES.index(axis)] += sum(own[(n, i, *voxel)] for n in between)
                place[(j, slice(None), *voxel)] = [
                    min(max(a, 0), n - 1) for a, n in zip(at, sizes, strict=True)
                ]
        answer.append(place)
    return answer


def distance_by_hand(module, x):
    answer = []
    for view, place in zip(module.views, positions_by_hand(module, x), strict=True):
        points, total = len(place), 0.0
        for voxel in np.ndindex(*place.shape[2:]):
            for j in range(points):
                at = place[(j, slice(None), *voxel)]
                total += np.sqrt(sum((at[a] - voxel[a]) ** 2 for a in range(3) if AXES[a] != view))
        answer.append(total / ((points - 1) * np.prod(place.shape[2:])))
    return answer


def test_positions_on_the_scene(run_of, patches_round):
    run, pixels = run_of("sgdscnet"), [0, 210]
    for layer, (stride, start) in ((1, (2, 0)), (2, (4, 1))):
        found = hsi.explain.snake_offsets(run, pixels, layer=layer, device="cpu")
        assert found.layer == ("1.1", "1.2", "2.1", "3.1")[layer]
        _, modules, inputs = patches_round(run, pixels, SnakeTemplates)
        for i, (row, col) in enumerate([(0, 0), (10, 10)]):
            assert found.corners[i].tolist() == [row - 3, col - 3]
            wanted = positions_by_hand(modules[layer], inputs[layer][i : i + 1])
            for view, place in zip("whd", wanted, strict=True):
                corner = np.array([0, row - 3, col - 3]).reshape(1, 3, 1, 1, 1)
                np.testing.assert_allclose(found.points[view][i], place * stride + start + corner, atol=1e-4)
        assert any(np.abs(place - np.round(place)).max() > 0.05 for place in wanted)


def test_voxels_lie_where_the_stem_and_the_pooling_have_them():
    """The centre of gravity of what a voxel sees, by gradients through modules that average."""
    stem = nn.Conv3d(1, 1, 3, stride=2, padding=1, bias=False)
    nn.init.ones_(stem.weight)
    x = torch.zeros(1, 1, 1, 1, 64, requires_grad=True)
    y = stem(x.expand(1, 1, 64, 64, 64))
    for block in range(3):
        y = HalvingPool()(y) if block else y
        stride, start = voxel_grid(block)
        for voxel in (1, 2):
            (seen,) = torch.autograd.grad(y[0, 0, 2, 2, voxel], x, retain_graph=True)
            seen = seen.flatten().numpy()
            assert seen @ np.arange(64) / seen.sum() == pytest.approx(stride * voxel + start)


def test_distances_are_the_mean_of_all_points(run_of, patches_round):
    run = run_of("sgdscnet")
    found = hsi.explain.snake_magnitude(run, device="cpu")
    assert found.views == "whd"
    assert found.distance.shape == (24, 20, 3)
    pixels = [0, 210]
    _, modules, inputs = patches_round(run, pixels, SnakeTemplates)
    each = np.array(
        [[distance_by_hand(m, x[i : i + 1]) for m, x in zip(modules, inputs, strict=True)] for i in range(2)]
    )
    np.testing.assert_allclose(found.distance.reshape(-1, 3)[pixels], each.mean(axis=1), rtol=1e-4, atol=1e-6)
    assert each[:, 0].min() > 0.01
    assert each[:, 3, 2].max() == 0  # in the last block the map is one voxel wide: nowhere to go
    assert found.by_layer.shape == (4, 3)
    titles = [axes.get_title() for axes in found.figure().subfigs[0].axes]
    assert titles == ["Along columns", "Along rows", "Along the spectrum"]


@pytest.mark.parametrize(
    "options", [{"views": "d"}, {"spectral_offsets": False}, {"views": "hw", "points": 5}]
)
def test_every_kind_of_template(options):
    torch.manual_seed(1)
    module = SnakeTemplates(4, 4, **options).eval()
    x = torch.randn(1, 4, 4, 3, 2)
    with torch.no_grad():
        np.testing.assert_allclose(mean_distance(module, x)[0], distance_by_hand(module, x), rtol=1e-5)


def test_straight_kernels_have_moved_nowhere():
    module = SnakeTemplates(4, 4, zero_start=True).eval()
    with torch.no_grad():
        assert mean_distance(module, torch.randn(2, 4, 4, 3, 3)).abs().max() == 0


def test_the_picture_shows_patches_and_snakes(run_of):
    run = run_of("sgdscnet")
    found = hsi.explain.snake_offsets(run, [0, 210], device="cpu")
    assert found.images.shape == (2, 7, 7, 3)
    assert not found.images[0, :3].any()  # beyond the scene
    np.testing.assert_array_equal(found.images[1], hsi.figures.maps.false_color(run.load_scene())[7:14, 7:14])
    panels = found.figure().axes
    assert len(panels) == 6
    lines = panels[3].collections[0].get_segments()  # the second pixel, along columns
    assert len(lines) == 4 * 4
    np.testing.assert_allclose(lines[5], found.points["w"][1][:, [2, 1], 3, 1, 1])
    with pytest.raises(InputError, match="from 0 to 5 in this layer, not 6"):
        found.figure(depth=6)
    with pytest.raises(InputError, match="6 pixels, not of 7"):
        hsi.explain.snake_offsets(run, range(7), device="cpu").figure()


def test_snakes_elsewhere_have_no_place_on_the_scene(scene, tmp_path):
    class Elsewhere(nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.snakes = SnakeTemplates(1, 4)
            self.head = nn.Linear(12, classes)

        def forward(self, x):
            return self.head(self.snakes(x.unsqueeze(1)).mean(dim=(2, 3, 4)))

    hsi.register_model("snakes-elsewhere")(lambda bands, classes, patch: Elsewhere(classes))
    run = hsi.train(
        model="snakes-elsewhere", dataset=str(scene), patch=3, epochs=1, device="cpu", out=tmp_path / "run"
    )
    with pytest.raises(ModelError, match="no known position"):
        hsi.explain.snake_offsets(run, [5], device="cpu")
    assert hsi.explain.snake_magnitude(run, device="cpu").layers == ("snakes",)


def places(count):
    """Three points each, of 2 x 3 voxels: rows, then columns."""
    return np.random.default_rng(0).normal(10, 2, (count, 3, 2, 2, 3)).astype(np.float32)


def test_a_line_through_the_points_of_every_voxel():
    at = places(2)
    corners = np.array([[4, 6], [-2, 0]])
    figure = draw_snakes({"Rows": at, "Columns": at + 1}, np.zeros((2, 7, 7, 3), np.uint8), corners)
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["Rows", "Columns", "", ""]
    lines = panels[2].collections[0].get_segments()
    assert len(lines) == 6
    np.testing.assert_allclose(lines[4], at[1, :, ::-1, 1, 1])  # x is the column
    assert panels[0].get_xlim() == (5.5, 12.5)
    assert panels[0].get_ylim() == (10.5, 3.5)
    assert panels[2].images[0].get_extent() == [-0.5, 6.5, 4.5, -2.5]


def test_there_is_room_for_six_pixels():
    with pytest.raises(InputError, match="6 pixels, not of 7"):
        draw_snakes({"Rows": places(7)}, np.zeros((7, 7, 7, 3), np.uint8), np.zeros((7, 2), int))
