"""Scenes in: catalogue, download, file formats, splits, patches. Knows nothing of networks."""

from hsi.datasets.catalogue.downloader import download_scene
from hsi.datasets.catalogue.entries import SceneEntry, list_scenes, register_scene, scene_entry
from hsi.datasets.catalogue.locate import is_on_disk
from hsi.datasets.catalogue.published_masks import PublishedMask, list_masks, load_masks
from hsi.datasets.load import load_scene
from hsi.datasets.mosaic import combine_scenes
from hsi.datasets.scene import Scene
from hsi.datasets.splits.indices import Split
from hsi.datasets.splits.schemes import make_split

__all__ = [
    "PublishedMask",
    "Scene",
    "SceneEntry",
    "Split",
    "combine_scenes",
    "download_scene",
    "is_on_disk",
    "list_masks",
    "list_scenes",
    "load_masks",
    "load_scene",
    "make_split",
    "register_scene",
    "scene_entry",
]
