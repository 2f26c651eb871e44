"""Many machines: the runs of a sweep and the tiles of a map as tasks of Ray (extra ``cluster``)."""
