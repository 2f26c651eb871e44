"""Two processes on one thing: the second is refused."""


def test_the_second_is_refused(tortured):
    rows = tortured("torture.concurrency", "--verb", "train", "--trials", "2")
    assert [row["failures"] for row in rows] == [0]
