"""What stands behind the names of an experiment is read from its file."""

from __future__ import annotations

from experiments.pages import names
from experiments.pages.overview import SCHEMES
from experiments.pages.table import Cell

TOML = """
[defaults]
epochs = 5
[scenes.field]
dataset = "field.toml"
pca = 0
[protocols.random-long]
scheme = "random"
train = 0.1
epochs = 40
[protocols.sf]
split_mask = "sf"
[models.svm]
[models.svm-spatial]
model = "svm"
model_options = { features = "spatial" }
[models.svm-plain]
model = "svm"
augment = false
"""


def cell(protocol, label, scheme, mask=""):
    row = {"scheme": scheme, "split_mask": mask, "test_pixels": "9671", "kind": "classical"}
    return Cell("field", protocol, label, (row,))


def test_names_are_explained_from_the_file(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(TOML)
    (tmp_path / "field.toml").write_text('title = "A field"\n')
    cells = [
        cell("random-long", "svm", "random"),
        cell("random-long", "svm-spatial", "random"),
        cell("sf", "svm-plain", "mask", "sf"),
    ]
    head, *lines = names.chapter(cells, path, SCHEMES)
    assert head.startswith("Names: ")
    assert lines == [
        "- scene `field`: A field, `--pca 0`",
        "- split `random-long`: random split, `--train 0.1 --epochs 40`",
        "- split `sf`: Indian Pines, the 695 training pixels of the SpectralFormer code",
        "- model `svm-spatial`: `svm`, `--option features=spatial`",
        "- models `A-plain`: A, `--no-augment`",
        "",
    ]
    assert names.settings(path) == {"svm-spatial": "--option features=spatial", "svm-plain": "--no-augment"}


def test_without_a_file_nothing_is_explained(tmp_path):
    assert names.chapter([cell("sf", "svm", "mask")], tmp_path / "none.toml", SCHEMES) == []
    assert names.settings(tmp_path / "none.toml") == {}
