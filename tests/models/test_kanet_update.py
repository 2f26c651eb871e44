import copy
import io

import pytest
import torch

from hsi.models.kanet import KANConv3d, kanet

SMALL = {"layers": (1, 1, 1), "growth": (4, 4, 4)}


def test_update_keeps_the_function_with_the_scaler_on(make_layer, batch):
    layer = make_layer(3, 4, dtype=torch.float64)
    layer.grid.copy_(torch.linspace(-2.2, 2.2, 12, dtype=torch.float64))
    x = 0.1 * batch(4, 3, 10, 5, 5).clamp(-1.9, 1.9)  # within one old interval, (-0.2, 0.2)
    before, old = layer(x), layer.grid.clone()
    layer.request_grid_update()
    after = layer(x)
    assert (layer.grid - old).abs().max() > 0.1
    assert (after - before).norm() < 1e-5 * before.norm()
    # New knots end at the data; the largest values may stand on their open end.
    inside = ((x > layer.grid[:, 3].view(3, 1, 1, 1)) & (x < layer.grid[:, -4].view(3, 1, 1, 1))).all(dim=1)
    change = (after - before).abs().amax(dim=1)[inside]
    assert change.max() < 1e-5 * before.abs().max()


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_update_again_on_the_same_data_changes_nothing(make_layer, batch, kernel, padding):
    layer, x = make_layer(3, 4, kernel, 1, padding), batch(4, 3, 10, 5, 5)
    layer.request_grid_update(rows=300)
    first, grid = layer(x), layer.grid.clone()
    layer.request_grid_update(rows=300)
    assert (layer(x) - first).abs().max() < 1e-5 * first.abs().max()
    assert torch.equal(layer.grid, grid)


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.3, 5e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_update_survives_degenerate_input(make_layer, batch, value, dtype):
    layer = make_layer(3, 4, dtype=dtype)
    x = torch.full((2, 3, 4, 2, 2), value, dtype=dtype)
    x[:, 1] *= batch(2, 4, 2, 2, dtype=dtype)
    layer.request_grid_update()
    assert torch.isfinite(layer(x)).all()
    assert torch.isfinite(layer.spline_weight).all()
    assert (layer.grid.diff(dim=1) > 0).all()


def test_update_happens_once_in_training_only_and_is_no_state(make_layer, batch):
    layer, x = make_layer(2, 3), batch(2, 2, 3, 3, 3) * 4
    old = copy.deepcopy(layer.state_dict())
    layer.request_grid_update()
    assert layer.state_dict().keys() == old.keys()
    layer.eval()(x)
    assert torch.equal(layer.grid, old["grid"])
    layer.train()(x)
    new = layer.grid.clone()
    assert not torch.equal(new, old["grid"])
    layer(x * 3)
    assert torch.equal(layer.grid, new)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_update_leaves_all_as_it_was_on_bad_input(make_layer, batch, bad):
    layer, x = make_layer(2, 3), batch(2, 2, 3, 3, 3)
    old = copy.deepcopy(layer.state_dict())
    x[0, 0, 0, 0, 0] = bad
    layer.request_grid_update()
    layer(x)
    assert all(torch.equal(old[key], value) for key, value in layer.state_dict().items())


def test_update_takes_the_result_of_process_0(make_layer, batch, monkeypatch):
    first, other, x = make_layer(2, 3), make_layer(2, 3), batch(2, 2, 3, 3, 3)
    first.request_grid_update()
    first(x)
    results = [first.grid, first.spline_weight.data]

    def broadcast(tensor, src):
        assert src == 0
        tensor.copy_(results.pop(0))

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    other.request_grid_update()
    assert torch.equal(other(3 * x + 1), first(3 * x + 1))
    assert not results


def test_epochs_1_to_20_request_updates(batch):
    for on in (True, False):
        model = kanet(8, 3, 7, grid_update=on, **SMALL)
        layers = [m for m in model.modules() if isinstance(m, KANConv3d)]
        asked = []
        for epoch in range(25):
            model.start_epoch(epoch)
            asked.append(all(layer._update_rows for layer in layers))
            model(batch(2, 8, 7, 7, dtype=torch.float32))
            assert not any(layer._update_rows for layer in layers)
        assert [epoch for epoch, yes in enumerate(asked) if yes] == (list(range(1, 21)) if on else [])


def test_adapted_knots_survive_saving(batch):
    torch.manual_seed(0)
    model, x = kanet(8, 3, 7, **SMALL), batch(4, 8, 7, 7, dtype=torch.float32)
    model.start_epoch(1)
    model(x)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = kanet(8, 3, 7, **SMALL)
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(other.eval()(x), model.eval()(x))
