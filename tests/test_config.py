"""Options and their checks, and how protocol, preset, file and command line are laid over each other."""

import sys

import pytest

from hsi.config import PRESETS, PROTOCOLS, REMOVED, load_config, read_config, resolve_config
from hsi.errors import ConfigError

BASE = {"model": "wcnet", "dataset": "mine.toml"}


def test_paper_protocol_is_that_of_the_released_code():
    config = resolve_config({**BASE, "dataset": "IN"})
    assert (config.scheme, config.train, config.val) == ("paper", 0.6, 0.1)
    assert (config.epochs, config.batch, config.lr, config.patch) == (80, 80, 5e-4, 17)
    assert (config.schedule, config.scale_on, config.augment) == ("wave", "all", False)


def test_every_protocol_and_preset_value_can_be_overridden():
    said = {
        **BASE,
        "protocol": "disjoint",
        "preset": "quick",
        "patch": 9,
        "epochs": 3,
        "train": 0.2,
        "guard": "drop",
        "augment": False,
    }
    config = resolve_config(said)
    assert {name: getattr(config, name) for name in said} == said
    assert config.batch == PRESETS["quick"]["batch"]
    assert config.scale_on == PROTOCOLS["disjoint"]["scale_on"]


def test_command_line_wins_over_file_and_file_over_protocol(tmp_path):
    file = {"epochs": 7, "batch": 5, "protocol": "paper"}
    config = resolve_config({**BASE, "epochs": 2}, file)
    assert (config.epochs, config.batch, config.patch) == (2, 5, 17)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"protocol": "paper"},
        {"scheme": "random", "train": 0.2},
        {"per_class": 20},
        {"guard": "drop"},
        {"preset": "quick", "model_options": {"levels": [2, 2, 1], "axes": "hw"}},
        {"train_mask": "train.npy", "test_mask": "test.npy"},
        {"split_mask": "dase"},
        {"folds": 5, "fold": 4, "guard": "drop"},
        {"folds": 5, "preset": "quick"},
        {"split": "areas.npz"},
    ],
)
def test_a_written_config_resolves_to_itself(said, tmp_path):
    config = resolve_config({**BASE, **said})
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert resolve_config({}, read_config(path)) == config
    assert load_config(path) == config


def test_another_split_by_hand_replaces_the_one_in_the_file():
    file = resolve_config({**BASE, "protocol": "disjoint"}).as_dict()
    assert file["guard"] == "mask"
    config = resolve_config({"per_class": 10}, {k: v for k, v in file.items() if v is not None})
    assert (config.scheme, config.per_class, config.guard, config.train) == ("per-class", 10, None, None)
    folds = resolve_config({"folds": 5, "fold": 1}, {k: v for k, v in file.items() if v is not None})
    assert (folds.scheme, folds.folds, folds.fold, folds.train, folds.val) == ("disjoint", 5, 1, None, None)
    back = resolve_config({"train": 0.2, "val": 0.1}, {"folds": 5, "fold": 1, "guard": "drop", **BASE})
    assert (back.folds, back.fold, back.train, back.guard) == (None, None, 0.2, "drop")
    named = resolve_config(
        {"split_mask": "dase"}, {"train_mask": "a.npy", "test_mask": "b.npy", "val": 0.1, **BASE}
    )
    assert (named.scheme, named.split_mask, named.train_mask, named.val) == ("mask", "dase", None, 0.1)
    again = resolve_config({"protocol": "paper"}, {k: v for k, v in file.items() if v is not None})
    assert (again.scheme, again.epochs, again.patch) == ("paper", 80, 17)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"epoch": 3}, "Unknown option 'epoch'. Did you mean 'epochs'?"),
        ({"epochs": "many"}, "epochs must be a whole number of at least 1, not 'many'"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"lr": "fast"}, "lr must be a number above 0"),
        ({"lr": 0.0}, "lr must be a number above 0"),
        ({"lr": float("nan")}, "lr must be a number above 0"),
        ({"patch": 8}, "patch width must be an odd number"),
        ({"train": -0.1}, "train must be a number from 0 to below 1, not"),
        ({"train": 1.5}, "train must be a number from 0 to below 1, not"),
        ({"val": -0.2}, "val must be a number from 0 to below 1, not"),
        ({"augment": "yes"}, "augment must be true or false"),
        ({"protocol": "papr"}, "protocol must be one of paper, disjoint"),
        ({"preset": "fast"}, "preset must be one of quick"),
        ({"scheme": "randm"}, "scheme must be one of"),
        ({"device": "gpu"}, "device must be one of"),
        ({"per_class": 5, "train_mask": "a.npy"}, "Options clash: --per-class and --train-mask"),
        ({"scheme": "random", "guard": "mask"}, "guard means nothing to the split scheme 'random'"),
        ({"split": "a.npz", "train": 0.1}, "train means nothing"),
        ({"folds": 1}, "folds must be a whole number from 2 to 100, not 1"),
        ({"fold": 0}, "give folds, their number, too"),
        ({"folds": 3, "fold": 3}, "fold must be from 0 to 2, not 3"),
        ({"folds": 3, "fold": -1}, "fold must be a whole number from 0 to 99, not -1"),
        ({"folds": 3, "val": 0.1}, "folds and val do not go together"),
        ({"folds": 3, "scheme": "random"}, "Options clash: --scheme and --folds"),
        ({"split_mask": "dase", "test_mask": "a.npy"}, "split_mask and test_mask do not go together"),
        ({"split_mask": "dase", "folds": 3}, "Options clash: --folds and --split-mask"),
        ({"scheme": "random", "per_class": 5}, "Options clash: --scheme and --per-class"),
        ({"ema": 1.0}, "ema must be a number from 0 to below 1, not 1.0"),
        ({"scale": "band"}, "Did you mean 'bands'?"),
        ({"weight_decay": -1.0}, "weight_decay must be a number of at least 0, not -1.0"),
    ],
)
def test_a_wrong_option_is_one_sentence(said, sentence):
    with pytest.raises(ConfigError) as error:
        resolve_config({**BASE, **said})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_model_and_dataset_must_be_named():
    with pytest.raises(ConfigError, match="Say which model to use"):
        resolve_config({"dataset": "IN"})
    with pytest.raises(ConfigError, match="Say which dataset to use"):
        resolve_config({"model": "wcnet"})


def test_config_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="There is no config file"):
        read_config(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("epochs = = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_config(bad)
    bad.write_text("epoch = 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        read_config(bad)
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(bad)


def test_false_is_false():
    # A peer's `type=bool` turned the text "False" into True.
    assert resolve_config({**BASE, "augment": False}).augment is False


@pytest.mark.skipif(sys.platform == "win32", reason="no such folder on Windows")
def test_a_folder_is_no_config_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


@pytest.mark.parametrize("name", REMOVED)
def test_an_option_that_went_is_left_out_where_it_was_off_and_refused_where_it_was_on(name, tmp_path):
    config = resolve_config(BASE)
    assert resolve_config({}, {**BASE, name: 0.0}) == config
    for options in ({**BASE, name: 0.2}, {name: 0.2}):
        with pytest.raises(ConfigError, match=rf"The option {name} went in hsi 0\.2, because"):
            resolve_config(options, BASE)
    path = tmp_path / "config.toml"  # of a run of 0.1, which opens all the same
    path.write_text(f"{name} = 0.2\n" + config.to_toml(), encoding="utf-8")
    assert load_config(path) == config


def test_several_scenes_are_a_list_and_one_stays_a_text(tmp_path):
    for given in ("a.toml", ["a.toml"], ("a.toml",)):
        config = resolve_config({**BASE, "dataset": given})
        assert config.dataset == "a.toml"
        assert 'dataset = "a.toml"' in config.to_toml()
    several = resolve_config({**BASE, "dataset": ["IN", "b.toml"], "test_scene": "c.toml"})
    assert several.protocol == "disjoint"  # the papers have no such split
    assert several.datasets == ["IN", "b.toml"]
    (tmp_path / "config.toml").write_text(several.to_toml(), encoding="utf-8")
    assert load_config(tmp_path / "config.toml") == several
    assert resolve_config({"dataset": "d.toml"}, tmp_path / "config.toml").dataset == "d.toml"
    assert several.replace(seed=3).dataset == several.dataset
    assert "test_scene" not in resolve_config(BASE).to_toml()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dataset": 3}, "dataset must be text, or a list of texts, not 3"),
        ({"dataset": ["a", 3]}, "dataset must be text, or a list of texts"),
        ({"dataset": []}, "empty"),
        ({"dataset": ["a", "a"]}, "'a' is given twice"),
        ({"dataset": "a", "test_scene": "a"}, "'a' is given twice"),
        ({"dataset": ["a", "b\0"]}, "zero byte"),
        ({"dataset": "a", "test_scene": "b", "padding": "reflect"}, "between several"),
        ({"test_scene": ["a", "b"]}, "test_scene must be text"),
    ],
)
def test_what_cannot_be_a_list_of_scenes_is_told(options, words):
    with pytest.raises(ConfigError, match=words):
        resolve_config({**BASE, **options})
