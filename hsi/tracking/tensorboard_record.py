"""A run as TensorBoard events in ``RUN/tensorboard``. Needs the optional extra ``track``.

TensorBoard keeps scalars in single precision. The step is the epoch, 0-based as in history.csv.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hsi.runs.config import Config
from hsi.tracking.record import Values, options_of

FOLDER = "tensorboard"
ALWAYS = "train_oa"
"""A column that every epoch has; it tells which epochs are there."""


class TensorBoardRecord:
    """Scalars for each epoch, the config as text and, at the end, options and scores for the HPARAMS page.

    Parameters
    ----------
    run
        The run folder.
    config
        Its resolved options.
    """

    def __init__(self, run: Path, config: Config) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.options = run / FOLDER, options_of(config)
        fresh = not self.folder.is_dir()
        self._epochs = set() if fresh else _epochs_in(self.folder)
        self._writer: Any = SummaryWriter(str(self.folder))
        if fresh:
            self._writer.add_text("config", f"```toml\n{config.to_toml()}```", 0)

    def epochs(self) -> set[int]:
        """Return the epochs in the event files that earlier sessions wrote."""
        return self._epochs

    def add(self, epoch: int, values: Values) -> None:
        """Write one scalar for each column, to disk at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def pause(self) -> None:
        """Close the event file."""
        self._writer.close()

    def finish(self, scores: Values) -> None:
        """Write options and scores into the same folder, as one entry of the HPARAMS page."""
        self._writer.add_hparams(self.options, dict(scores), run_name=".")
        self._writer.close()


def _epochs_in(folder: Path) -> set[int]:
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0}).Reload()
    return {event.step for event in events.Scalars(ALWAYS)} if ALWAYS in events.Tags()[SCALARS] else set()
