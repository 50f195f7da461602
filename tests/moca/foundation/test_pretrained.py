"""Loading published models from several threads at once."""

import threading

import pytest
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging

from moca.foundation.pretrained import quiet


def loudness():
    return logging.get_verbosity(), hub_logging.get_verbosity(), logging.is_progress_bar_enabled()


@pytest.fixture
def loud():
    """Everything is shown, and afterwards as it was."""
    before = loudness()
    logging.set_verbosity_info()
    hub_logging.set_verbosity_info()
    logging.enable_progress_bar()
    yield loudness()
    logging.set_verbosity(before[0])
    hub_logging.set_verbosity(before[1])
    logging.enable_progress_bar() if before[2] else logging.disable_progress_bar()


def test_two_threads_that_load_are_both_quiet_and_leave_everything_as_it_was(loud):
    in_first, leave_first = threading.Event(), threading.Event()
    second_is_quiet = []

    def first():
        with quiet():
            in_first.set()
            leave_first.wait(10)

    def second():
        with quiet():
            leave_first.set()
            first_thread.join(10)  # where both may be in at once, the first is out before the second looks
            second_is_quiet.append(loudness() == silence)

    first_thread, second_thread = threading.Thread(target=first), threading.Thread(target=second)
    first_thread.start()
    assert in_first.wait(10)
    silence = loudness()
    assert silence != loud
    second_thread.start()
    threading.Timer(0.2, leave_first.set).start()  # where one at a time is in, the second waits for the first
    for thread in (first_thread, second_thread):
        thread.join(10)
    assert second_is_quiet == [True]
    assert loudness() == loud


def test_silence_within_silence_ends_with_the_outer_one(loud):
    with quiet():
        silence = loudness()
        with quiet():
            assert loudness() == silence != loud
        assert loudness() == silence
    assert loudness() == loud
