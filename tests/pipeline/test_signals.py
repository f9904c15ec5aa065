"""SIGTERM and SIGHUP raise what Ctrl-C raises, once; under nohup they do nothing."""

import os
import signal
import threading

import pytest

from priorgap.pipeline.signals import as_interrupts


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP], ids=str)
def test_a_signal_is_an_interrupt_once(sign):
    # the tests themselves may run under nohup
    before = signal.signal(sign, signal.SIG_DFL)
    tidied = False
    try:
        with as_interrupts() as received:
            with pytest.raises(KeyboardInterrupt):
                try:
                    os.kill(os.getpid(), sign)
                    signal.pause()
                finally:
                    # a terminal that closes may say so twice
                    os.kill(os.getpid(), sign)
                    tidied = True
            assert tidied and received.status == 128 + sign
        assert signal.getsignal(sign) == signal.SIG_DFL
    finally:
        signal.signal(sign, before)


def test_ctrl_c_is_what_it_was():
    # a job in the background ignores it
    before = signal.getsignal(signal.SIGINT)
    with as_interrupts() as received:
        assert signal.getsignal(signal.SIGINT) == before
        assert received.status == 130


def test_an_ignored_hangup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_are_left_alone():
    found = []

    def inside() -> None:
        with as_interrupts():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]
