"""Many runs from one small file: what to run, how long it takes, running it, and its results as one table."""
