"""Signals: the first one asks, the second one ends, and neither outlives the work that can be saved."""

import os
import signal
import subprocess
import sys

import pytest

from pipeline import interrupt
from pipeline.errors import Interrupted

NUMBERS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(autouse=True)
def hang_up():
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def work(*steps):
    with interrupt.caught():
        for step in steps:
            step()


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_asks_and_the_blocks_end_obeys(number):
    seen = [interrupt.requested()]
    with pytest.raises(Interrupted) as caught:
        work(lambda: signal.raise_signal(number), lambda: seen.append(interrupt.requested()))
    assert seen == [None, number]
    assert caught.value.exit_code == 128 + number
    assert interrupt.requested() is None


def test_what_the_block_raises_stands():
    with pytest.raises(KeyError):
        work(lambda: signal.raise_signal(signal.SIGTERM), lambda: {}["missing"])


def test_before_and_after_a_signal_does_what_it_did():
    before = [signal.getsignal(number) for number in NUMBERS]
    with interrupt.caught():
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before
    with interrupt.caught():
        pass  # a block without signals ends in peace


@pytest.mark.parametrize("number", NUMBERS)
def test_the_second_signal_ends_at_once(number):
    code = f"""
import signal
from pipeline import interrupt
with interrupt.caught():
    signal.raise_signal(signal.SIGTERM)
    try:
        signal.raise_signal({int(number)})
    finally:
        print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert done.stdout == ""


def test_losing_the_terminal_stops_nothing():
    with interrupt.caught():
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupt.requested() is None
