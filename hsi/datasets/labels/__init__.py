"""Labels: from images and drawn shapes to a label map on the grid of the cube."""
