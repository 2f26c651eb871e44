"""Scores: pure functions of a confusion matrix."""

from hsi.scoring.scores import Scores, confusion_matrix, score, scores_of

__all__ = ["Scores", "confusion_matrix", "score", "scores_of"]
