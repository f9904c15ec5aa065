"""The quick steps are the optimiser's own, bit for bit, and leave its state as it would be."""

import pytest
import torch
from torch import nn

from priorgap.core.random import isolated, stream
from priorgap.fused_steps import FusedSteps, fused_steps

RATES = {"one group": [1e-2], "equal rates": [1e-2, 1e-2, 1e-2], "other rates": [1e-2, 3e-3, 1e-2]}
KINDS = {
    "adam": (torch.optim.Adam, {}),
    "decayed": (torch.optim.Adam, {"weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1, "betas": (0.5, 0.99), "eps": 1e-6}),
    "upwards": (torch.optim.Adam, {"maximize": True}),
}


def networks(n: int) -> list[nn.Sequential]:
    with isolated(stream(0, "networks")):
        return [nn.Sequential(nn.Linear(7, 13), nn.ReLU(), nn.Linear(13, 3)) for _ in range(n)]


def made(kind: str, rates: list[float]) -> tuple[list[nn.Sequential], torch.optim.Adam]:
    cls, settings = KINDS[kind]
    found = networks(len(rates))
    groups = [{"params": list(n.parameters()), "lr": r} for n, r in zip(found, rates, strict=True)]
    return found, cls(groups, fused=True, **settings)


def losses(found: list[nn.Sequential], n_steps: int, name: str = "x"):
    generator = stream(0, name)
    for _ in range(n_steps):
        x = torch.randn(11, 7, generator=generator)
        yield torch.stack([network(x).square().mean() for network in found]).sum()


def plainly(optimizer: torch.optim.Adam, found: list[nn.Sequential], n_steps: int, name: str = "x") -> None:
    for loss in losses(found, n_steps, name):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def quickly(optimizer: torch.optim.Adam, found: list[nn.Sequential], n_steps: int, name: str = "x") -> None:
    with fused_steps(optimizer) as steps:
        for loss in losses(found, n_steps, name):
            steps.zero_grad()
            loss.backward()
            steps.step()


def assert_equal(
    a: tuple[list[nn.Sequential], torch.optim.Adam], b: tuple[list[nn.Sequential], torch.optim.Adam]
):
    for one, other in zip(a[0], b[0], strict=True):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(p, q)
            assert a[1].state[p].keys() == b[1].state[q].keys() >= {"step", "exp_avg", "exp_avg_sq"}
            assert all(torch.equal(v, b[1].state[q][k]) for k, v in a[1].state[p].items())


@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_and_the_state_are_the_optimisers_own(kind, rates):
    plain, quick = made(kind, RATES[rates]), made(kind, RATES[rates])
    plainly(plain[1], plain[0], 9)
    quickly(quick[1], quick[0], 4)
    # in blocks, and after a step that somebody else took
    generator = stream(0, "x")
    for _ in range(4):
        torch.randn(11, 7, generator=generator)
    with fused_steps(quick[1]) as steps:
        for k in range(5):
            x = torch.randn(11, 7, generator=generator)
            steps.zero_grad()
            torch.stack([network(x).square().mean() for network in quick[0]]).sum().backward()
            if k == 2:
                steps.close()
                quick[1].step()
            else:
                steps.step()
    assert_equal(plain, quick)
    assert float(next(iter(quick[1].state.values()))["step"]) == 9


def test_another_beta_is_told_apart():
    """A negative control: the comparison above rejects steps that differ in the last setting."""
    plain, quick = made("adam", [1e-2]), made("adam", [1e-2])
    quick[1].param_groups[0]["betas"] = (0.9, 0.9990001)
    plainly(plain[1], plain[0], 3)
    quickly(quick[1], quick[0], 3)
    with pytest.raises(AssertionError):
        assert_equal(plain, quick)


def test_groups_of_equal_settings_are_one_call(monkeypatch):
    calls = []
    kernel = torch._fused_adam_

    def counted(params, *rest, **settings):
        calls.append(len(params))
        return kernel(params, *rest, **settings)

    monkeypatch.setattr(torch, "_fused_adam_", counted)
    for rates, expected in (("equal rates", [12]), ("other rates", [8, 4])):
        found, optimizer = made("adam", RATES[rates])
        quickly(optimizer, found, 1)
        calls.clear()
        with fused_steps(optimizer) as steps:
            for loss in losses(found, 2):
                steps.zero_grad()
                loss.backward()
                steps.step()
        # the first step is the optimiser's own: it calls the kernel for each group
        assert calls == [4] * 3 + expected, rates


def test_a_rate_may_change_at_any_step():
    plain, quick = made("adam", [1e-2]), made("adam", [1e-2])
    for optimizer, found, take in ((plain[1], plain[0], None), (quick[1], quick[0], FusedSteps(quick[1]))):
        for k, loss in enumerate(losses(found, 6)):
            optimizer.param_groups[0]["lr"] = 1e-2 / (k + 1)
            optimizer.zero_grad()
            loss.backward()
            (take or optimizer).step()
        if take is not None:
            take.close()
    assert_equal(plain, quick)


def test_parameters_that_come_and_go():
    """One network has gradients in some steps only: its parameters have counts of their own."""
    plain, quick = made("adam", [1e-2, 1e-2]), made("adam", [1e-2, 1e-2])
    steps = FusedSteps(quick[1])
    x = torch.randn(11, 7, generator=stream(0, "come and go"))
    for (found, optimizer), take in ((plain, plain[1]), (quick, steps)):
        for k in range(8):
            optimizer.zero_grad()
            used = found if k in (1, 2, 5, 6, 7) else found[:1]
            torch.stack([network(x).square().mean() for network in used]).sum().backward()
            take.step()
    steps.close()
    assert_equal(plain, quick)
    ages = [float(quick[1].state[next(network.parameters())]["step"]) for network in quick[0]]
    assert ages == [8, 5]


@pytest.mark.parametrize("settings", [{"fused": False}, {"fused": True, "amsgrad": True}])
def test_another_optimiser_is_refused(settings):
    optimizer = torch.optim.Adam(networks(1)[0].parameters(), **settings)
    with pytest.raises(ValueError, match=r"Adam: (fused=False: expected True|amsgrad=True: expected False)"):
        FusedSteps(optimizer)


def test_elsewhere_than_on_a_cpu_steps_are_the_optimisers_own(monkeypatch):
    """Looking at the counts would wait for a GPU in every step."""

    def nobody(steps):
        raise AssertionError("the state was looked at")

    plain, other = made("adam", RATES["other rates"]), made("adam", RATES["other rates"])
    plainly(plain[1], plain[0], 3)
    monkeypatch.setattr(FusedSteps, "_collect", nobody)
    steps = FusedSteps(other[1])
    steps._on_cpu = False
    for loss in losses(other[0], 3):
        steps.zero_grad()
        loss.backward()
        steps.step()
    steps.close()
    assert_equal(plain, other)
