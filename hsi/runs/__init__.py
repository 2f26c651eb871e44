"""Run folders: options in, results out, everything needed to repeat and apply one training."""
