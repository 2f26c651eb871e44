"""How time and memory grow with bands, patch width, labelled pixels, scene area and processes."""
