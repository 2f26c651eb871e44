"""Two processes on one folder: the second is refused."""


def test_the_second_is_refused(run_torture):
    rows = run_torture("torture.concurrency", "--verb", "train", "--trials", "2")
    assert [row["failures"] for row in rows] == [0]
