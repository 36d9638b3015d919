"""What processes use, measured: children count, and who was not seen before has no figure."""

import os
import subprocess
import sys

from upwell.local.horizontal.usage import Meter

CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x=1\\nwhile x: print(x, flush=True)'])"


def test_a_process_counts_with_its_children_from_the_second_sample_on() -> None:
    meter = Meter()
    leader = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert leader.stdout is not None
        leader.stdout.readline()
        assert meter.measure([leader.pid]) == {}
        for _ in range(20_000):  # the child works as long as somebody reads
            leader.stdout.readline()

        usage = meter.measure([leader.pid, os.getpid(), 2**22 + 1])

        assert usage.keys() == {leader.pid, os.getpid()}
        assert usage[leader.pid].cpu > 0
        assert usage[leader.pid].memory > 10 * 2**20, "two interpreters"
    finally:
        os.killpg(leader.pid, 9)
        leader.wait()
        assert leader.stdout is not None
        leader.stdout.close()
