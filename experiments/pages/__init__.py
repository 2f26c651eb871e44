"""The pages of this folder and their figures: each module makes them from measured data."""
