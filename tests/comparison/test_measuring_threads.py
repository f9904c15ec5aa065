"""Measures of several samplers at once: the same numbers, and the user's functions on the user's thread."""

import threading
import time
from functools import partial

import pytest
import torch

from priorgap import compare
from priorgap.comparison.threads import CallerThread, Stopped, n_threads_for
from priorgap.core.devices import computing_on
from priorgap.core.random import alone, isolated, stream
from priorgap.features.classifier import ClassifierSpec, build_classifier


@pytest.fixture
def threads():
    """As many threads as a test asks for, the process's own afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_results_keep_the_order_of_the_tasks():
    caller = CallerThread(3)

    def task(i):
        time.sleep(0.02 * (4 - i))
        return i, threading.get_ident() != caller._owner, torch.get_num_threads()

    before = torch.get_num_threads()
    assert caller.run([partial(task, i) for i in range(4)]) == [(i, True, 1) for i in range(4)]
    assert torch.get_num_threads() == before


def test_one_thread_is_the_callers_own():
    caller = CallerThread(1)
    assert caller.run([threading.get_ident] * 2) == [threading.get_ident()] * 2


def test_what_was_brought_runs_on_the_callers_thread_and_under_its_settings():
    caller, seen = CallerThread(2), []

    def decode(z):
        seen.append((threading.get_ident(), torch.is_autocast_enabled("cpu")))
        return z + 1

    with torch.autocast("cpu", torch.bfloat16):
        found = caller.run([lambda i=i: caller.here(decode)(i) for i in range(5)])
    assert found == [1, 2, 3, 4, 5]
    assert set(seen) == {(threading.get_ident(), True)}


def test_the_mode_without_gradients_is_the_callers():
    for wanted in (True, False):
        with torch.set_grad_enabled(wanted):
            assert CallerThread(2).run([torch.is_grad_enabled] * 2) == [wanted] * 2


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_task_that_fails_ends_all_with_its_own_error(n_threads):
    caller, ran = CallerThread(n_threads), []

    def task(i):
        if i == 0:
            raise ValueError("latent_dim=0: expected an integer >= 1")
        time.sleep(0.05)
        ran.append(i)

    with pytest.raises(ValueError, match="latent_dim=0"):
        caller.run([partial(task, i) for i in range(20)])
    assert len(ran) < 19


def test_an_error_of_what_was_brought_reaches_the_task_that_called():
    caller = CallerThread(2)

    def broken():
        raise KeyError("no such layer")

    def task():
        try:
            caller.here(broken)()
        except KeyError as error:
            return str(error)
        return "nothing"

    assert caller.run([task, task]) == ["'no such layer'"] * 2


def test_an_interruption_leaves_no_thread_that_waits():
    caller, told = CallerThread(2), []

    def interrupted():
        raise KeyboardInterrupt

    def task():
        try:
            caller.here(interrupted)()
        except Stopped as reason:
            told.append(str(reason))
            raise

    with pytest.raises(KeyboardInterrupt):
        caller.run([task] * 4)
    assert told
    assert not [one for one in threading.enumerate() if one.name.startswith("priorgap-measure")]
    with pytest.raises(Stopped):
        # a call that comes too late does not wait for ever
        CallerThread.run(CallerThread(2), [lambda: caller.here(interrupted)()] * 2)


def test_initial_weights_do_not_depend_on_what_runs_beside():
    spec = ClassifierSpec((1, 16, 16), 10)

    def weights(i):
        found = build_classifier(spec, generator=stream(i, "w")).state_dict()
        return torch.cat([one.flatten() for one in found.values()])

    state = torch.get_rng_state()
    found = CallerThread(4).run([partial(weights, i) for i in range(24)])
    assert torch.equal(torch.get_rng_state(), state)
    for i, own in enumerate(found):
        assert torch.equal(own, weights(i))


def test_global_state_is_taken_by_one_thread_at_a_time():
    order = []

    def holds():
        with alone():
            order.append("in")
            time.sleep(0.05)
            order.append("out")

    def draws():
        with isolated(stream(0, "x")):
            order.append("in")
            torch.rand(3)
            order.append("out")

    CallerThread(2).run([holds, draws, holds, draws])
    assert order == ["in", "out"] * 4


def test_the_number_of_threads_follows_torchs(threads):
    threads(1)
    assert n_threads_for(9) == 1
    threads(3)
    assert (n_threads_for(9), n_threads_for(2), n_threads_for(0)) == (3, 2, 1)
    with computing_on("meta"):
        assert n_threads_for(9) == 1


@pytest.mark.e2e
def test_compare_has_the_same_numbers_whatever_the_number_of_threads(threads):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(700, 3, generator=generator)
    there = torch.linalg.qr(torch.randn(9, 9, generator=generator))[0][:, :3]
    x, label = z @ there.T + 0.1 * torch.randn(700, 9, generator=generator), (z[:, 0] > 0).long()
    asked, owner = [], threading.get_ident()

    def encode(rows):
        return 0.9 * rows @ there, torch.full((len(rows), 3), -3.0)

    def decode(rows):
        asked.append(threading.get_ident())
        return rows @ there.T

    tables = []
    for n_threads in (1, 3):
        threads(n_threads)
        found = compare(
            encode, decode, (x[:500], label[:500]), (x[500:], label[500:]), seed=1, progress=False,
            samplers=["prior", "posterior", "gaussian_full", "gmm", "per_class_gmm"],
            metrics=["fid", "kid", "prdc", "copying", "memorisation", "accuracy_synthetic_to_real"],
        )  # fmt: skip
        tables.append(found.table)
    assert set(asked) == {owner}
    assert len(tables[0]) > 40
    # what is measured of a sampler has the same bits; the features and floors of the model's own threads may round
    keys = ["sampler", "measure", "space", "unit", "label_source"]
    one, several = (t[t["sampler"] != ""].set_index(keys)["value"] for t in tables)
    assert list(one.index) == list(several.index)
    assert several.to_numpy() == pytest.approx(one.to_numpy(), rel=1e-5, nan_ok=True)
