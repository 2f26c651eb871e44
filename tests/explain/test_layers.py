import subprocess
import sys

import pytest

import hsi
from hsi.errors import ConfigError, ModelError
from hsi.explain.layers import LOOKS, dense_block_of, find_layers
from hsi.models.densenet3d import DenseLayer


@pytest.mark.parametrize("function", [name for names in LOOKS.values() for name in names])
def test_a_run_of_another_network_is_told_what_fits_it(run_of, function):
    arguments = {"snake_offsets": ([5],)}.get(function, ())
    own = next(name for name, functions in LOOKS.items() if function in functions)
    for other in ("wcnet", "densenet3d") if own != "wcnet" else ("stnet",):
        with pytest.raises(ModelError) as error:
            getattr(hsi.explain, function)(run_of(other), *arguments)
        assert f"hsi.explain.{function} looks into {own}" in str(error.value)
        assert f"a run of {other}" in str(error.value)
        for fits in LOOKS.get(other, ()):
            assert f"hsi.explain.{fits}" in str(error.value)
        assert "hsi.explain.receptive_field" in str(error.value)


def test_every_function_is_public():
    for functions in LOOKS.values():
        for name in functions:
            assert name in hsi.explain.__all__
            assert getattr(hsi.explain, name).__doc__


@pytest.mark.parametrize("layer", [-1, 4, 100])
def test_a_layer_that_is_not_there(run_of, layer):
    for call in (hsi.explain.splines, hsi.explain.receptive_field):
        with pytest.raises(ConfigError, match=f"from 0 to 3 in this network, not {layer}"):
            call(run_of("kanet"), layer=layer)


def test_names_count_blocks_and_layers_from_one():
    network = hsi.build_model("densenet3d", bands=8, classes=2, patch=7, layers=(2, 1, 1), growth=(4, 4, 4))
    found = find_layers(network, DenseLayer)
    assert found.names == ("1.1", "1.2", "2.1", "3.1")
    assert found.only(1).names == ("1.2",)
    assert found.only(1).modules == (network.blocks[0][1],)
    assert [dense_block_of(path) for path in found.paths] == [0, 0, 1, 2]
    alone = find_layers(network.blocks[0], DenseLayer)
    assert alone.names == ("0", "1")
    assert dense_block_of(alone.paths[0]) is None


def test_the_package_waits_until_it_is_used():
    code = "import sys, hsi; assert 'explain' in dir(hsi); assert not {'torch', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert hsi.explain.gate.__module__ == "hsi.explain.scene_values"
