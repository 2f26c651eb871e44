"""A disk that becomes full or read-only: one sentence, and what was whole stays so."""


def test_one_sentence_and_nothing_lost(run_torture):
    rows = run_torture("torture.disk_full", "--verb", "train", "--trials", "1")
    assert {row["what"].split(",")[0] for row in rows} >= {"failing calls"}
    assert all(row["trials"] == 1 and row["failures"] == 0 for row in rows)
