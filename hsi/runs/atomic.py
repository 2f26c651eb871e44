"""Files of a run, written whole or not at all; see `hsi.files.atomic`."""

from hsi.files.atomic import write_text, written_together, written_whole

__all__ = ["write_text", "written_together", "written_whole"]
