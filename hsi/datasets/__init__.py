"""Scenes in: catalogue, download, file formats, splits, patches. Knows nothing of networks."""

from hsi.datasets.catalogue import SceneEntry, list_scenes, register_scene, scene_entry
from hsi.datasets.download import download_scene
from hsi.datasets.load import load_scene
from hsi.datasets.locate import is_on_disk
from hsi.datasets.published_masks import PublishedMask, list_masks, load_masks
from hsi.datasets.scene import Scene
from hsi.datasets.schemes import make_split
from hsi.datasets.split import Split

__all__ = [
    "PublishedMask",
    "Scene",
    "SceneEntry",
    "Split",
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
