"""The runs of an experiment: expansion, status, changed options, selection."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsi.config import Config, read_config
from hsi.errors import ConfigError, InputError, RunError, SceneNotFoundError
from hsi.runs.status import RunState
from hsi.sweep.experiment import Experiment, Grid, read_experiment
from hsi.sweep.plan import check_options, check_scenes, make_plan, run_status, select


def test_every_combination_once_and_the_first_seed_first(plan, experiment_file):
    keys = [run.key for run in plan]
    assert keys == [
        f"demo/{protocol}/{model}/seed{seed}"
        for seed in (0, 1)
        for protocol in ("random", "disjoint")
        for model in ("densenet3d", "svm-spatial")
    ]
    assert plan[0].folder == Path("runs/sweeps/two/demo/random/densenet3d/seed0")
    assert [run.config.seed for run in plan] == [0] * 4 + [1] * 4
    spatial = plan[1].config
    assert (spatial.model, spatial.model_options) == ("svm", {"features": "spatial"})
    assert (spatial.scheme, spatial.train, spatial.epochs, spatial.patch) == ("random", 0.1, 1, 7)
    assert plan[2].config.scheme == "disjoint"


LABELS = {"models": ["svm", "knn", "forest"], "scenes": ["demo", "IN"], "protocols": ["a", "b"]}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    blocks=st.lists(
        st.fixed_dictionaries(
            {
                **{axis: st.lists(st.sampled_from(labels), min_size=1) for axis, labels in LABELS.items()},
                "seeds": st.lists(st.integers(0, 3), min_size=1, unique=True),
            }
        ),
        min_size=1,
        max_size=3,
    )
)
def test_the_plan_is_the_union_of_its_blocks(blocks):
    experiment = Experiment(
        "x",
        Path("x.toml"),
        "x",
        {},
        {scene: {"dataset": scene} for scene in LABELS["scenes"]},
        {"a": {"scheme": "random", "train": 0.1, "val": 0.1}, "b": {"protocol": "disjoint"}},
        {model: {"model": model} for model in LABELS["models"]},
        tuple(Grid(**{axis: tuple(labels) for axis, labels in block.items()}) for block in blocks),
    )
    expected = {
        f"{scene}/{protocol}/{model}/seed{seed}"
        for block in blocks
        for scene, protocol, model, seed in itertools.product(
            block["scenes"], block["protocols"], block["models"], block["seeds"]
        )
    }
    keys = [run.key for run in make_plan(experiment)]
    assert len(keys) == len(set(keys))
    assert set(keys) == expected


def test_a_planned_config_comes_back_from_its_file(plan, tmp_path):
    from hsi.config import resolve_config

    for run in plan:
        path = tmp_path / "options.toml"
        path.write_text(run.config.to_toml(), encoding="utf-8")
        assert resolve_config({}, path) == run.config
        assert Config(**read_config(path)) == run.config


def test_folds_are_runs_of_their_own(experiment_file):
    text = experiment_file.read_text().replace("[protocols.disjoint]", "[protocols.disjoint]\nfolds = 3\n")
    experiment_file.write_text(text)
    runs = [run for run in make_plan(read_experiment(experiment_file)) if run.protocol == "disjoint"]
    assert [run.name for run in runs if run.model == "densenet3d"] == [
        f"seed{seed}-fold{fold}" for seed in (0, 1) for fold in range(3)
    ]
    assert [run.config.fold for run in runs if run.model == "densenet3d"] == [0, 1, 2] * 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('model = "svm"', 'model = "swm"', "demo/random/svm-spatial: Unknown model 'swm'.*'svm'"),
        ("patch = 7", "patch = 8", "demo/random/densenet3d: The patch width must be an odd number"),
        ('scheme = "random"', 'scheme = "random"\nguard = "mask"', "demo/random/densenet3d: Options clash"),
    ],
)
def test_options_that_cannot_work_name_the_run(experiment_file, old, new, words):
    experiment_file.write_text(experiment_file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=words) as caught:
        make_plan(read_experiment(experiment_file))
    assert "two.toml" in str(caught.value)


def test_states_follow_the_files(plan, begin, finish):
    assert {run.state for run in plan} == {RunState.MISSING}
    begin(plan[0])
    finish(plan[1])
    assert [run.state for run in plan[:3]] == [RunState.INTERRUPTED, RunState.DONE, RunState.MISSING]


def test_changed_options_are_refused_or_trained_again(plan, begin, finish):
    finish(plan[0])
    begin(plan[1])
    assert check_options(plan, rerun=True) == []
    changed = [dataclasses.replace(run, config=run.config.replace(epochs=9)) for run in plan]
    with pytest.raises(RunError, match=r"seed0' and 1 more was .*epochs = 1 instead of 9.*--rerun"):
        check_options(changed)
    assert plan[0].folder.exists()
    with pytest.raises(RunError, match=r"svm-spatial/seed0' was .* not among the runs of --only"):
        check_options(changed, rerun=True, chosen=changed[:1])
    assert check_options(changed, rerun=True, chosen=changed[:2]) == changed[:2]
    assert check_options(changed, rerun=True) == changed[:2]


def test_runs_are_selected_by_pattern(plan):
    assert select(plan, []) == plan
    assert {run.protocol for run in select(plan, ["demo/random"])} == {"random"}
    assert len(select(plan, ["demo/random"])) == 4
    assert {run.key for run in select(plan, ["*/seed1"])} == {run.key for run in plan if run.name == "seed1"}
    assert len(select(plan, ["demo/*/svm-spatial", "*densenet3d/seed0"])) == 6
    with pytest.raises(ConfigError, match="No run fits --only 'demos'"):
        select(plan, ["demos"])


def test_scenes_must_be_there(plan, tmp_path):
    def of(dataset):
        return [dataclasses.replace(plan[0], config=plan[0].config.replace(dataset=dataset))]

    check_scenes(plan, tmp_path)
    with pytest.raises(SceneNotFoundError, match="hsi download IN"):
        check_scenes(of("IN"), tmp_path)
    with pytest.raises(SceneNotFoundError, match=r"There is no file lost\.toml"):
        check_scenes(of("lost.toml"), tmp_path)
    (tmp_path / "half.toml").write_text('cube = "none.npy"\nlabels = "none.npy"\n')
    with pytest.raises(InputError, match=r"none\.npy"):
        check_scenes(of("half.toml"), tmp_path)


def test_a_folder_comes_before_the_table_and_changed_options_before_all(plan, begin, finish):
    assert [run_status(run) for run in plan[:2]] == ["missing", "missing"]
    assert run_status(plan[0], {plan[0].key}) == "elsewhere"
    begin(plan[0])
    finish(plan[1])
    finish(dataclasses.replace(plan[2], config=plan[2].config.replace(lr=0.5)))
    begin(dataclasses.replace(plan[3], config=plan[3].config.replace(patch=9)))
    recorded = {run.key for run in plan}
    words = ["interrupted", "done", "changed", "changed", "elsewhere"]
    assert [run_status(run, recorded) for run in plan[:5]] == words


def test_damaged_options_are_an_error(plan, begin):
    begin(plan[0])
    (plan[0].folder / "config.toml").write_text("patch = [", encoding="utf-8")
    with pytest.raises(ConfigError):
        run_status(plan[0])


def test_a_scene_of_an_experiment_can_be_several(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = """
[scenes.dates]
dataset = ["data/june.toml", "data/july.toml"]
test_scene = "data/august.toml"
[protocols.disjoint]
[models.svm]
"""
    Path("dates.toml").write_text(text, encoding="utf-8")
    (run,) = make_plan(read_experiment("dates.toml"))
    assert run.config.dataset == ["data/june.toml", "data/july.toml"]
    assert run.config.test_scene == "data/august.toml"
    with pytest.raises(SceneNotFoundError, match=r"data/june\.toml"):
        check_scenes([run])
    prints = {run.fingerprint}
    for changes in ({"dataset": "data/june.toml"}, {"test_scene": None}, {"test_scene": "data/may.toml"}):
        prints.add(dataclasses.replace(run, config=run.config.replace(**changes)).fingerprint)
    assert len(prints) == 4
    moved = run.config.replace(dataset=["x/june.toml", "x/july.toml"], test_scene="x/august.toml")
    assert dataclasses.replace(run, config=moved).fingerprint == run.fingerprint
