"""How the scene of a map is opened, in words that can be sent to another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hsi.datasets.scene import Scene
from hsi.datasets.unlabelled import load_unlabelled
from hsi.runs.folder import Run


@dataclass(frozen=True)
class SceneSource:
    """A run, and a scene for it.

    Attributes
    ----------
    run
        The run folder.
    scene
        Short name, scene.toml, or cube file; None for the scene that the run was trained on.
    cube_key
        Name of the cube inside its file; only with `scene`.
    data_root
        Folder with scene files.
    """

    run: Path
    scene: str | None = None
    cube_key: str | None = None
    data_root: Path | None = None

    def open_run(self) -> Run:
        """Open the run; errors as `hsi.open_run`."""
        return Run(self.run)

    def load_scene(self, run: Run) -> Scene:
        """Load the scene; errors as `Run.load_scene` and `hsi.datasets.unlabelled.load_unlabelled`."""
        if self.scene is None:
            return run.load_scene(self.data_root)
        return load_unlabelled(self.scene, cube_key=self.cube_key, data_root=self.data_root)
