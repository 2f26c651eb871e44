"""Doubt about a class map: calibration, its error, prediction sets, and ground not seen in training.

Everything here works on NumPy arrays and knows nothing of runs or networks.
"""
