"""The table of networks."""

from __future__ import annotations

import pytest
from torch import nn

from hsi.errors import ModelError
from hsi.models import registry
from hsi.models.registry import build_model, build_with, list_models, model_entry, register_model


class Net(nn.Module):
    """Keeps what it was built with."""

    def __init__(self, **values: object) -> None:
        super().__init__()
        self.values = values


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table with two networks, and no plugins but those a test adds."""
    monkeypatch.setattr(registry, "_entries", {})
    monkeypatch.setattr(registry, "_plugins_loaded", False)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])

    @register_model(
        "FirstNet", title="The first", paper="A paper", provenance="released code", aliases=("F-1",)
    )
    def first(bands: int, classes: int, patch: int, *, levels: int = 2, order: int = 3) -> nn.Module:
        return Net(bands=bands, classes=classes, patch=patch, levels=levels, order=order)

    @register_model("second")
    def second(bands: int, classes: int, patch: int) -> nn.Module:
        return Net(bands=bands)


def test_names_come_in_the_order_they_were_added() -> None:
    assert list_models() == ["FirstNet", "second"]


@pytest.mark.parametrize("name", ["second", "SECOND", "Second"])
def test_any_case(name: str) -> None:
    assert model_entry(name).name == "second"
    assert isinstance(build_model(name, bands=9, classes=2, patch=7), Net)


@pytest.mark.parametrize("name", ["FirstNet", "firstnet", "F-1", "f-1"])
def test_names_with_capitals_and_aliases(name: str) -> None:
    assert model_entry(name).title == "The first"


def test_entry_keeps_its_description() -> None:
    entry = model_entry("f-1")
    assert (entry.paper, entry.provenance, entry.aliases) == ("A paper", "released code", ("f-1",))
    assert entry.options == {"levels": 2, "order": 3}
    assert not entry.baseline
    assert model_entry("second").title == "second"
    assert model_entry("second").options == {}


def test_a_baseline_is_marked() -> None:
    register_model("third", baseline=True)(Net)
    assert [name for name in list_models() if model_entry(name).baseline] == ["third"]


def test_options_reach_the_builder() -> None:
    net = build_model("f-1", bands=9, classes=2, patch=7, levels=5)
    assert isinstance(net, Net)
    assert net.values == {"bands": 9, "classes": 2, "patch": 7, "levels": 5, "order": 3}


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(
        ModelError, match=r"Unknown model 'secnd'\. Did you mean 'second'\? Known: FirstNet, second\."
    ):
        build_model("secnd", bands=9, classes=2, patch=7)


def test_unknown_option_names_the_nearest_and_all() -> None:
    with pytest.raises(
        ModelError, match=r"no option 'level'\. Did you mean 'levels'\? Its options: levels, order\."
    ):
        build_model("f-1", bands=9, classes=2, patch=7, level=5)
    with pytest.raises(ModelError, match=r"Its options: none\."):
        build_model("second", bands=9, classes=2, patch=7, level=5)


ERRORS = [
    (TypeError("unsupported operand"), "(TypeError: unsupported operand)."),
    (ValueError("two\n  lines"), "(ValueError: two lines)."),
    (RuntimeError("negative dimension -1"), "(RuntimeError: negative dimension -1)."),
    (OverflowError("too large"), "(OverflowError: too large)."),
    (MemoryError(), "(MemoryError)."),
]


def register_broken(error: Exception) -> None:
    @register_model("broken")
    def broken(bands: int, classes: int, patch: int, *, width: int = 1, kind: str = "x") -> nn.Module:
        raise error


@pytest.mark.parametrize(("error", "words"), ERRORS)
def test_an_error_of_the_networks_own_code_is_named_and_kept(error: Exception, words: str) -> None:
    register_broken(error)
    with pytest.raises(ModelError) as caught:
        build_model("broken", bands=9, classes=2, patch=7, width=3, kind="wide")
    assert str(caught.value) == f"Model 'broken' cannot be built with width = 3, kind = 'wide' {words}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [error for error, _ in ERRORS])
def test_without_options_it_is_raised_as_it_is(error: Exception) -> None:
    register_broken(error)
    with pytest.raises(type(error)) as caught:
        build_model("broken", bands=9, classes=2, patch=7)
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("later"),
        RecursionError("maximum recursion depth exceeded"),
        AttributeError("'Net' object has no attribute 'head'"),
        NameError("name 'nn' is not defined"),
        ModelError("width must be even"),
    ],
)
def test_what_no_option_explains_is_raised_as_it_is(error: Exception) -> None:
    register_broken(error)
    with pytest.raises(type(error)) as caught:
        build_model("broken", bands=9, classes=2, patch=7, width=3)
    assert caught.value is error


def test_an_option_may_have_any_name() -> None:
    @register_model("third")
    def third(bands: int, classes: int, patch: int, *, name: str = "", options: int = 0) -> nn.Module:
        return Net(name=name, options=options)

    net = build_with("third", 9, 2, 7, {"name": "x", "options": 5})
    assert isinstance(net, Net)
    assert net.values == {"name": "x", "options": 5}


@pytest.mark.parametrize("word", ["name", "bands", "classes", "patch"])
def test_a_word_of_ours_is_no_option(word: str) -> None:
    with pytest.raises(ModelError, match=f"has no option '{word}'"):
        build_with("f-1", 9, 2, 7, {word: 5})


def test_a_mistake_in_a_users_own_init_shows_its_type_and_words() -> None:
    class Mine(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.head = nn.Linear(width, 2, biass=False)  # type: ignore[call-arg]

    @register_model("mine")
    def mine(bands: int, classes: int, patch: int, *, width: int = 4) -> nn.Module:
        return Mine(width)

    with pytest.raises(
        ModelError, match=r"built with width = 8 \(TypeError: .*unexpected keyword argument 'biass'"
    ) as caught:
        build_model("mine", bands=9, classes=2, patch=7, width=8)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("name", ["second", "SECOND", "f-1"])
def test_a_name_is_given_once(name: str) -> None:
    with pytest.raises(ModelError, match="registered already"):
        register_model(name)(Net)
    with pytest.raises(ModelError, match="registered already"):
        register_model("third", aliases=(name,))(Net)
    assert list_models() == ["FirstNet", "second"]


def test_plugins_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Point:
        def load(self) -> None:
            loaded.append("plugin")
            register_model("from-plugin")(Net)

    asked: list[str] = []

    def entry_points(group: str) -> list[Point]:
        asked.append(group)
        return [Point()]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert list_models() == ["FirstNet", "second", "from-plugin"]
    assert model_entry("FROM-PLUGIN").name == "from-plugin"
    assert loaded == ["plugin"]
    assert asked == ["hsi.models"]
