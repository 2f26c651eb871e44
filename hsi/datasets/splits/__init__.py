"""Splits: which labelled pixels train, validate and test, and how much leaks between them."""
