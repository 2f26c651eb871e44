"""Which run of one contestant is compared with which run of another."""

from __future__ import annotations

from collections.abc import Sequence

from hsi.comparison.contestants import Result

Matches = dict[str, list[tuple[Result, Result]]]


def match_runs(first: Sequence[Result], second: Sequence[Result]) -> Matches:
    """Pair runs that have the very same train and test pixels; each run is used once at most.

    Where several runs share a split, those of the same seed are paired, then the rest in rising order of
    seeds: on one split the seed only sets the random start, so any pairing of two networks is as good.

    Returns
    -------
    dict
        Hash of the split -> its pairs, splits in the order of `first`; splits that only one side has are
        not in it.
    """
    matches: Matches = {}
    for split_id in dict.fromkeys(result.split_id for result in first):
        ours = sorted((r for r in first if r.split_id == split_id), key=lambda r: r.seed)
        theirs = sorted((r for r in second if r.split_id == split_id), key=lambda r: r.seed)
        pairs = []
        for one in list(ours):
            two = next((result for result in theirs if result.seed == one.seed), None)
            if two is not None:
                pairs.append((one, two))
                ours.remove(one)
                theirs.remove(two)
        pairs += zip(ours, theirs, strict=False)
        if pairs:
            matches[split_id] = pairs
    return matches
