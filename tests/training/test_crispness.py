"""What the inventive end is trained for: amount and place of structure, overshoot, colour."""

import pytest
import torch


def texture(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_nothing_is_lost_between_equal_pictures(script) -> None:
    losses = script("crispness").picture_losses(texture(), texture())
    assert all(float(value) == pytest.approx(0, abs=1e-5) for value in losses.values())


def test_energy_and_structure_are_told_apart(script) -> None:
    crispness = script("crispness")
    weak = crispness.structure(texture() / 2, texture())
    other = crispness.structure(texture(1), texture())
    assert weak["energy"] == pytest.approx(0.69, abs=0.07)  # the logarithm of two, less what is nobody's detail
    assert weak["amplitude"] == pytest.approx(0.5, abs=0.03)
    assert weak["structure"] < 0.05
    assert other["energy"] < 0.25
    assert other["structure"] > 0.5


def test_only_what_lies_outside_the_range_overshoots(script) -> None:
    crispness = script("crispness")
    clean = texture()
    assert crispness.overshoot(clean * 0.9, clean) == 0
    assert crispness.overshoot(clean * 2, clean) > 0.02


def test_colour_is_a_matter_of_local_means(script) -> None:
    crispness = script("crispness")
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 - 0.5
    assert crispness.colour(texture() + board, texture()) < 1e-6
    assert crispness.colour(texture() + 0.1, texture()) == pytest.approx(0.1, rel=1e-4)


def test_the_discriminator_learns_to_tell_what_flickers(script) -> None:
    torch.manual_seed(0)
    crispness, adversary = script("crispness"), script("adversary")
    features = crispness.Features(torch.device("cpu"))
    game = adversary.Adversary(features, 1e-3, torch.device("cpu"))
    clean = texture().repeat(2, 1, 1, 1)[None]
    false = clean * 0.5
    rows = torch.linspace(-1, 1, 32)
    still = torch.stack(torch.meshgrid(rows, rows, indexing="xy"), dim=-1).expand(1, 3, 32, 32, 2)
    flows = still, torch.ones(1, 3, 1, 32, 32)
    seen, wanted = features.of(false.flatten(0, 1)), features.of(clean.flatten(0, 1))
    told = [float(game.learn(clean, clean, false, flows, seen, wanted)) for _ in range(25)]
    assert told[-1] < 0.5 * told[0]
    assert game.loss(clean, clean, false, flows, seen, wanted) > 1
