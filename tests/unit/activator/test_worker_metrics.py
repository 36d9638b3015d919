"""One page of metrics from several processes'."""

from activator.worker_metrics import merge

ONE = """# HELP waiting Requests that wait.
# TYPE waiting gauge
waiting{revision="a b{"} 1.0
# HELP up Whether it is.
# TYPE up gauge
up 1.0
"""
TWO = ONE.replace(" 1.0", " 2.0")


def test_samples_are_marked_and_families_stay_together() -> None:
    assert merge([("0", ONE), ("1", TWO)]) == (
        "# HELP waiting Requests that wait.\n"
        "# TYPE waiting gauge\n"
        'waiting{worker="0",revision="a b{"} 1.0\n'
        'waiting{worker="1",revision="a b{"} 2.0\n'
        "# HELP up Whether it is.\n"
        "# TYPE up gauge\n"
        'up{worker="0"} 1.0\n'
        'up{worker="1"} 2.0\n'
    )


def test_a_worker_that_does_not_answer_leaves_the_others_page_whole() -> None:
    assert merge([("0", ""), ("1", ONE)]).count("worker=") == 2
