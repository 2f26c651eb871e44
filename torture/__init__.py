"""Long tests that hurt: interruptions, full disks, processes that meet, hostile files.

Each part is a command, such as ``python -m torture.interruptions --trials 200``; ``python -m torture`` runs
all of them. They count what they tried and what failed, and end with status 1 if anything did. Short versions
of the same commands are tests.
"""
