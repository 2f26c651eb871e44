"""Input that users will give: one clear sentence, exit status 2, nothing left half-written."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import scipy.io

import hsi
from hsi.commands.app import run

TRAIN = ["train", "--epochs", "1", "--scheme", "random", "--val", "0.2", "--out", "run"]


@pytest.fixture
def folder(small_scene, tiny, tmp_path, monkeypatch):
    """Work in a folder with a good scene and many bad files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HSI_DATA", str(tmp_path))
    cube, labels = np.load("cube.npy"), np.load("labels.npy")
    np.save("flat.npy", cube[:, :, 0])
    np.save("wide.npy", labels[:, :-3])
    np.save("nan.npy", np.where(cube == cube.max(), np.nan, cube.astype(np.float32)))
    np.save("empty.npy", np.zeros_like(labels))
    np.save("one.npy", (labels > 0).astype(np.uint8))
    np.save("no_soil.npy", np.where(labels == 2, 0, labels) * (np.arange(20) % 2 == 0))
    np.save("rest.npy", labels * (np.arange(20) % 2 == 1))
    scipy.io.savemat("cube.mat", {"image": cube}, do_compression=True)
    whole = (tmp_path / "cube.mat").read_bytes()
    (tmp_path / "short.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.mat").write_text("<!DOCTYPE html><html><body>403 Forbidden</body></html>")
    (tmp_path / "text.txt").write_text("not a scene")
    (tmp_path / "bad.toml").write_text("epoch = 3\n")
    (tmp_path / "broken.toml").write_text("epochs = = 3\n")
    (tmp_path / "scene_bad.toml").write_text('cubes = {file = "cube.npy"}\n')
    (tmp_path / "scene_lost.toml").write_text(
        'name="x"\ncube={file="none.npy"}\nlabels={file="labels.npy"}\n'
    )
    np.save("eleven.npy", labels[:6, :6])
    return [*TRAIN, *tiny]


FILE = ["--labels", "labels.npy"]
CASES = {
    "missing file": (["--dataset", "none.npy", *FILE], "none.npy"),
    "missing label file": (["--dataset", "cube.npy", "--labels", "none.npy"], "none.npy"),
    "wrong key": (["--dataset", "cube.mat", *FILE, "--cube-key", "img"], "image"),
    "2-D cube": (["--dataset", "flat.npy", *FILE], "flat.npy"),
    "labels of another size": (["--dataset", "cube.npy", "--labels", "wide.npy"], "24"),
    "truncated .mat": (["--dataset", "short.mat", *FILE], "short.mat"),
    "HTML as .mat": (["--dataset", "page.mat", *FILE], "HTML"),
    "unknown format": (["--dataset", "text.txt", *FILE], "text.txt"),
    "even P": (["--dataset", "scene.toml", "--patch", "8"], "odd number of pixels, 1 or more; got 8"),
    "P larger than the scene": (["--dataset", "scene.toml", "--patch", "21"], "wider than the scene"),
    "P too small for the network": (["--dataset", "scene.toml", "--patch", "5"], "at least 7"),
    "no training pixel": (["--dataset", "scene.toml", "--train", "0"], "train"),
    "no training pixel of a class": (
        [
            "--dataset",
            "scene.toml",
            "--scheme",
            "mask",
            "--train-mask",
            "no_soil.npy",
            "--test-mask",
            "rest.npy",
        ],
        "Soil",
    ),
    "size as an option": (["--dataset", "scene.toml", "--option", "bands=3"], "no option 'bands'"),
    "a word of ours as an option": (["--dataset", "scene.toml", "--option", "name=x"], "no option 'name'"),
    "unknown model": (["--dataset", "scene.toml", "--model", "wcnte"], "Did you mean 'wcnet'?"),
    "unknown scene": (["--dataset", "PaviaUni"], "PaviaUni"),
    "scene not on disk": (["--dataset", "KSC"], "hsi download KSC"),
    "negative fraction": (["--dataset", "scene.toml", "--train", "-0.1"], "-0.1"),
    "fraction over 1": (["--dataset", "scene.toml", "--train", "1.5"], "1.5"),
    "fractions that leave no test": (["--dataset", "scene.toml", "--train", "0.8", "--val", "0.2"], "train"),
    "NaN cube": (["--dataset", "nan.npy", *FILE], "NaN"),
    "empty labels": (["--dataset", "cube.npy", "--labels", "empty.npy"], "empty.npy"),
    "one class": (["--dataset", "cube.npy", "--labels", "one.npy"], "class"),
    "config with an unknown key": (
        ["--dataset", "scene.toml", "--config", "bad.toml"],
        "Did you mean 'epochs'?",
    ),
    "config that is no TOML": (["--dataset", "scene.toml", "--config", "broken.toml"], "not valid TOML"),
    "missing config": (["--dataset", "scene.toml", "--config", "none.toml"], "none.toml"),
    "scene.toml with an unknown key": (["--dataset", "scene_bad.toml"], "cubes"),
    "scene.toml of a missing file": (["--dataset", "scene_lost.toml"], "none.npy"),
    "non-numeric option": (["--dataset", "scene.toml", "--epochs", "many"], "--epochs"),
    "two clashing options": (["--dataset", "scene.toml", "--per-class", "5"], "clash"),
    "guard without areas": (["--dataset", "scene.toml", "--guard", "drop"], "guard"),
    "unknown option": (["--dataset", "scene.toml", "--epoch", "3"], "--epoch"),
    "unknown network option": (["--dataset", "scene.toml", "--option", "layer=3"], "Did you mean 'layers'?"),
    "malformed network option": (["--dataset", "scene.toml", "--option", "layers"], "KEY=VALUE"),
    "nothing to do": ([], "dataset"),
    "unknown protocol": (["--dataset", "scene.toml", "--protocol", "fair"], "paper, disjoint"),
    "missing split file": (["--dataset", "scene.toml", "--split", "none.npz"], "split"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_exit_2_nothing_written(case, folder, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    said, hint = CASES[case]
    status = run([*folder, *said])
    shown = capsys.readouterr()
    assert status == 2, shown.err
    assert shown.out == ""
    assert hint in shown.err
    lines = [line for line in shown.err.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1, shown.err
    assert lines[0].startswith("hsi: ")
    assert "Traceback" not in shown.err
    assert sorted(tmp_path.rglob("*")) == before


def test_unwritable_run_folder(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    status = run([*folder, "--dataset", "scene.toml", "--out", "file/run"])
    assert status == 2
    assert re.fullmatch(r"hsi: The run folder 'file/run' cannot be made: .+\.\n", capsys.readouterr().err)


def test_resume_of_a_run_with_another_scene(folder, tmp_path, capsys):
    assert run([*folder, "--dataset", "scene.toml"]) == 0
    capsys.readouterr()
    assert run(["train", "--resume", "run", "--dataset", "IN"]) == 2
    assert "--resume cannot change it to 'IN'" in capsys.readouterr().err
    assert run(["train", "--resume", "nowhere"]) == 2
    assert "not a run folder" in capsys.readouterr().err
    assert run(["train", "--resume", "run", "--out", "other"]) == 2
    assert "clash" in capsys.readouterr().err
    assert run([*folder, "--dataset", "scene.toml"]) == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "nowhere"],
        ["evaluate"],
        ["download"],
        ["scene", "new"],
        ["map"],
        ["download", "IM"],
        ["trian"],
        ["split", "--dataset", "scene.toml", "--scheme", "randm"],
        ["models", "--patch", "6"],
    ],
)
def test_other_verbs(arguments, folder, capsys):
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("hsi: ")
    assert len(shown.err.splitlines()) == 1


def test_the_real_command_says_the_same(folder):
    done = subprocess.run(
        [sys.executable, "-m", "hsi", *folder, "--dataset", "scene.toml", "--patch", "8"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "hsi: The patch width must be an odd number of pixels, 1 or more; got 8.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --model wcnet --dataset scene.toml --device gpu", "Did you mean 'cuda'?"),
        ("train --model wcnet --dataset scene.toml --protocol disjoin", "Did you mean 'disjoint'?"),
        ("train --lernrate 0.1", "There is no option '--lernrate'. Did you mean '--lr'?"),
        ("train --learning_rate 0.1", "Did you mean '--lr'?"),
        ("train --modle wcnet", "Did you mean '--model'?"),
        ("split --sceme disjoint", "Did you mean '--scheme'?"),
        ("evaluate --distanse", "Did you mean '--distance'?"),
        ("map run --conf", "All options: hsi map --help"),
        ("report --opne", "Did you mean '--open'?"),
        ("export run --formt onnx", "Did you mean '--format'?"),
        ("compare a b --metrik oa", "Did you mean '--metric'?"),
        ("sweep x.toml --dryrun", "Did you mean '--dry-run'?"),
        ("bench --quik", "Did you mean '--quick'?"),
        ("models --band 3", "Did you mean '--bands'?"),
        ("scenes --jsn", "Did you mean '--json'?"),
        ("download IN --froce", "Did you mean '--force'?"),
        ("scene new a b --ot c", "Did you mean '--out'?"),
        ("download", "NAMES is missing: hsi download NAMES, such as hsi download IN UP KSC"),
        ("scene new", "CUBE is missing: hsi scene new CUBE LABELS, such as hsi scene new "),
        ("map", "such as hsi map runs/first"),
        ("evaluate", "train one first: hsi train --model wcnet --dataset demo"),
        ("compare", "such as hsi compare runs/wcnet runs/kanet"),
    ],
)
def test_says_what_was_meant_or_what_to_do(arguments, words, folder, capsys):
    assert run(arguments.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_device_that_there_is_not_is_refused_by_verbs_that_apply_a_run(folder, capsys):
    assert run([*folder, "--dataset", "scene.toml"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "run", "--device", "gpu"]) == 2
    assert "Unknown device 'gpu'. Did you mean 'cuda'?" in capsys.readouterr().err


def test_commands_to_paste_work_in_folders_with_spaces(folder, tmp_path, capsys):
    """Whatever stands after "hsi train --resume" is one word to a shell, and names the folder."""
    spaced = tmp_path / "my runs"
    out = spaced / "the first"
    command = [word for word in folder if word not in ("--out", "run")]
    assert run([*command, "--dataset", "scene.toml", "--out", str(out)]) == 0
    capsys.readouterr()
    said = []
    assert run([*command, "--dataset", "scene.toml", "--out", str(out)]) == 2
    said.append(capsys.readouterr().err)
    (out / "predictions.npz").unlink()
    with pytest.raises(hsi.errors.RunError) as gone:
        _ = hsi.open_run(out).predictions
    said.append(str(gone.value))
    (out / "metrics.json").unlink()
    with pytest.raises(hsi.errors.RunError) as unfinished:
        _ = hsi.open_run(out).metrics
    said.append(str(unfinished.value))
    for sentence in said:
        pasted = shlex.split(sentence[sentence.index("hsi train --resume") :])
        assert pasted == ["hsi", "train", "--resume", str(out)]
    assert run(["split", "--dataset", "scene.toml", "--json"]) == 0
    capsys.readouterr()
    lost = ["train", "--model", "knn", "--dataset", "scene.toml", "--split", "my split.npz"]
    assert run(lost) == 2
    sentence = capsys.readouterr().err
    assert shlex.split(sentence[sentence.index("hsi split") :])[-1] == "my split.npz"
    assert run(["scene", "new", "cube.npy", "labels.npy", "--out", str(spaced / "scene.toml")]) == 0
    sentence = capsys.readouterr().out
    pasted = shlex.split(sentence[sentence.index("hsi train") :])
    assert pasted[-2:] == ["--dataset", str(spaced / "scene.toml")]


@pytest.mark.parametrize("verb", [["train", "--model", "svm", "--out", "run"], ["split"]])
def test_an_option_that_only_scene_new_has_is_named_with_it(verb, small_scene, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    labels = np.load("labels.npy").astype(int)
    labels[0, 0] = -1  # two negative codes: neither is taken for "no label" unasked
    labels[0, 1] = -7
    np.save("odd.npy", labels)
    assert run([*verb, "--dataset", "cube.npy", "--labels", "odd.npy"]) == 2
    said = capsys.readouterr().err
    assert "with hsi scene new --unlabelled ('unlabelled' in a scene.toml)" in said
    assert run(["scene", "new", "cube.npy", "odd.npy", "--force"]) == 2
    assert "mean no label with --unlabelled (" in capsys.readouterr().err
