"""Texts to damage: a scene description and an experiment."""

from __future__ import annotations

SCENE_TOML = b"""name = "crop"
title = "A crop"
sensor = "ROSIS"
cube = { file = "cube.npy" }
labels = { file = "labels.npy" }
wavelengths_nm = [430.0, 470.5, 510.0, 550.0, 590.0, 630.0, 670.0, 710.0, 750.0]
drop_bands = [8]
bands = "0-6,400-700nm"
no_data = -9999
unlabelled = [255, 7]
wrapped_negatives = false
synthetic = false

[classes]
1 = "Asphalt"
2 = "Meadows"

[colors]
1 = "#2fb344"
"""

EXPERIMENT_TOML = b"""title = "Two networks"
seeds = [0, 1]

[defaults]
patch = 7
epochs = 2

[scenes.demo]
scale = "scene"

[scenes.own]
dataset = "scene.toml"
labels = "labels.npy"

[protocols.random]
scheme = "random"
train = 0.1

[protocols.folds]
scheme = "disjoint"
folds = 5

[models.kanet]
lr = 0.001

[models.svm-spatial]
model = "svm"
model_options = { features = "spatial" }

[[grid]]
models = ["kanet"]
scenes = ["demo"]
protocols = ["random"]
seeds = [0]

[[grid]]
models = ["svm-spatial"]
"""
