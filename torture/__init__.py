"""Long robustness tests: interruptions, full disks, concurrent processes, damaged files.

Each part is a command, such as ``python -m torture.interruptions --trials 200``; ``python -m torture`` runs
all parts. They print trials and failures, and end with exit status 1 if anything failed. Tests run short
versions.
"""
