"""The files of a map: rasters, polygons, and what a GIS needs to show them with names and colours."""
