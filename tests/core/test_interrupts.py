"""Interrupts are put off while safetensors runs, and are not lost."""

import signal
import threading

import pytest
import torch

from priorgap.core import artifacts
from priorgap.core.interrupts import put_off

SIGNS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Ended(BaseException):
    pass


@pytest.fixture(autouse=True)
def handlers():
    """Handlers that raise, as a command has them."""

    def end(number, frame):
        raise Ended(number)

    before = {sign: signal.signal(sign, end) for sign in SIGNS}
    yield end
    for sign, found in before.items():
        signal.signal(sign, found)


def swallowing(sign, answer):
    """A library that takes an interrupt for an answer."""

    def call(*_):
        try:
            signal.raise_signal(sign)
        except Ended:
            return {"swallowed": torch.zeros(1)}
        return answer

    return call


@pytest.mark.parametrize("sign", SIGNS, ids=str)
def test_a_signal_is_raised_after_the_block(sign, handlers):
    done = []
    with pytest.raises(Ended) as found, put_off():
        signal.raise_signal(sign)
        done.append("inside")
    assert done == ["inside"] and found.value.args == (sign,)
    assert signal.getsignal(sign) is handlers


def test_without_it_an_interrupt_is_lost():
    assert list(swallowing(signal.SIGTERM, {})()) == ["swallowed"]


@pytest.mark.parametrize("sign", SIGNS, ids=str)
def test_reading_and_writing_tensors_loses_no_interrupt(sign, tmp_path, monkeypatch):
    path, tensors = tmp_path / "x.safetensors", {"a": torch.arange(3)}
    artifacts.save_tensors(path, tensors)
    content = path.read_bytes()
    for name, call in (
        ("load_file", lambda: artifacts.load_tensors(path)),
        ("load", lambda: artifacts.tensors_of(content)),
        ("save", lambda: artifacts.tensor_bytes(tensors)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"safetensors.torch.{name}", swallowing(sign, tensors))
            with pytest.raises(Ended):
                call()
    assert torch.equal(artifacts.load_tensors(path)["a"], torch.arange(3))


def test_an_error_inside_is_not_hidden_and_an_ignored_signal_stays_ignored():
    with pytest.raises(ValueError, match="broken"), put_off():
        raise ValueError("broken")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with put_off():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_threads_have_no_handlers_to_put_off():
    seen = []

    def work():
        with put_off():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
