"""Spatial regularisation of class probabilities: pure functions of arrays that know nothing of runs."""
