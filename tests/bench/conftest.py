"""Speeds measured by tests stay out of the user's cache."""

import pytest


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("hsi.bench.summary.cache_folder", lambda: tmp_path / "cache")
