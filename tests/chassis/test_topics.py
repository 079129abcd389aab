import subprocess
import sys

import pytest


@pytest.mark.parametrize("verb", ["apply", "check"])
def test_the_command_succeeds_where_the_topics_are_right(kafka_bootstrap, verb):
    command = [sys.executable, "-m", "chassis.topics", verb, "--kafka", kafka_bootstrap]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
