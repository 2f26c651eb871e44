"""Scenes by name or description: the benchmarks, files of one's own, downloads and published masks."""
