"""Pictures of results, drawn from numbers; every one is a `matplotlib.figure.Figure`, without pyplot."""
