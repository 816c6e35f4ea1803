# SPDX-License-Identifier: Apache-2.0
"""The schedule of the moving average, as the released training has it."""

import pytest
import torch
from torch import nn

from sharpdepth_ros.training.ema import Ema, decay_at


def test_decay_starts_after_a_hundred_updates_and_grows_to_its_limit():
    assert decay_at(100, 0.9999, 100) == 0
    assert decay_at(101, 0.9999, 100) == 0
    assert decay_at(111, 0.9999, 100) == pytest.approx(1 - 11 ** (-2 / 3))
    assert decay_at(10_000_000, 0.9999, 100) == 0.9999


def test_the_copy_is_renewed_every_tenth_update_until_the_averaging_begins():
    network = nn.Linear(1, 1)
    ema = Ema(network, start=100, every=10)
    for update in range(1, 31):
        nn.init.constant_(network.weight, update)
        ema.update(network)
        assert ema.network.weight.item() == 10 * ((update - 1) // 10) + 1


def test_averaging_moves_by_one_minus_the_decay():
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 0.0)
    ema = Ema(network, start=0, every=1)
    ema.update(network)
    nn.init.constant_(network.weight, 1.0)
    ema.update(network)
    assert ema.network.weight.item() == pytest.approx(1 - decay_at(2, 0.9999, 0))


def test_the_average_takes_no_gradient_and_continues_from_its_state():
    network = nn.Linear(2, 2)
    ema = Ema(network)
    for _ in range(15):
        ema.update(network)
    other = Ema(nn.Linear(2, 2))
    other.load_state_dict(ema.state_dict())
    assert other.updates == 15
    torch.testing.assert_close(other.network.weight, network.weight)
    assert not any(p.requires_grad for p in other.network.parameters())
