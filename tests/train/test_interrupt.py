from __future__ import annotations

import os
import signal
import threading

import pytest

from nervure.train.interrupt import stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
    assert signal.getsignal(number) is before


def test_a_second_interrupt_ends_at_once_and_puts_all_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopping() as stop:  # noqa: PT012 (the block ends by a signal)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # asked again, politely
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_elsewhere_than_in_the_main_thread() -> None:
    said: list[bool] = []

    def work() -> None:
        with stopping() as stop:
            said.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [False]
