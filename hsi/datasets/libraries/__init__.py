"""Spectral libraries: spectra with names, and the classes of a scene that they belong to."""
