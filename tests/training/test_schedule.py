"""Learning rates in closed form."""

import pytest
import torch

from hsi.training.schedule import learning_rate


def test_wave_is_what_the_released_scheduler_amounts_to():
    # Stepping a cosine scheduler (T_max 15) to epoch - 1 in closed form gives its rate in that epoch.
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=15, eta_min=0)
    for epoch in range(80):
        scheduler.last_epoch = max(epoch - 1, 0)
        expected = scheduler._get_closed_form_lr()[0]
        assert learning_rate("wave", 5e-4, epoch, 80) == pytest.approx(expected, abs=1e-15)


def test_wave_is_zero_at_16_46_76_and_full_at_0_1_31_61():
    for epoch in (16, 46, 76):
        assert learning_rate("wave", 1.0, epoch, 80) == pytest.approx(0, abs=1e-12)
    for epoch in (0, 1, 31, 61):
        assert learning_rate("wave", 1.0, epoch, 80) == pytest.approx(1)


def test_cosine_falls_from_peak_to_almost_zero():
    rates = [learning_rate("cosine", 2.0, epoch, 10) for epoch in range(10)]
    assert rates[0] == 2.0
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.1


def test_constant():
    assert {learning_rate("constant", 0.3, epoch, 5) for epoch in range(5)} == {0.3}
