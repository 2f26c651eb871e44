"""From a trained network to labels: predictions for any pixels of a scene."""
