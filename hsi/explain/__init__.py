"""What the five blocks of a finished run have learned, as arrays and figures.

`gate` (STNet), `splines` and `grid_shift` (KANet), `expert_weights` (EKGNet), `wavelet_energy` (WCNet),
`snake_offsets` and `snake_magnitude` (SG-DSCNet), `switch_off` (the five: what their mechanism does), and
`receptive_field` (any network with gradients). Results hold arrays; their method ``figure()`` draws them.
"""

from hsi.explain.mechanisms import SwitchOff, WithoutMechanism, mechanisms_of, switch_off, switched_off
from hsi.explain.receptive import ReceptiveField, receptive_field
from hsi.explain.scene_values import ExpertWeights, GateMap, expert_weights, gate
from hsi.explain.snakes import SnakeMagnitude, SnakeOffsets, snake_magnitude, snake_offsets
from hsi.explain.splines import GridShift, Splines, grid_shift, splines
from hsi.explain.wavelets import WaveletEnergy, wavelet_energy

__all__ = [
    "ExpertWeights",
    "GateMap",
    "GridShift",
    "ReceptiveField",
    "SnakeMagnitude",
    "SnakeOffsets",
    "Splines",
    "SwitchOff",
    "WaveletEnergy",
    "WithoutMechanism",
    "expert_weights",
    "gate",
    "grid_shift",
    "mechanisms_of",
    "receptive_field",
    "snake_magnitude",
    "snake_offsets",
    "splines",
    "switch_off",
    "switched_off",
    "wavelet_energy",
]
