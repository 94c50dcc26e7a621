"""What the network is built of: motion layers, features of the noise level, the basis of a cell."""

import torch

from redetail.engines.restoration.layers import MotionLayer, ResidualBlock, Stage, cell_basis, dense, sigma_features


@torch.no_grad()
def test_a_new_motion_layer_is_the_identity() -> None:
    x = torch.randn(6, 16, 5, 7)
    assert torch.equal(MotionLayer(16, 8, 2)(x, 3), x)


@torch.no_grad()
def test_a_limit_bounds_what_leaves_a_stage_and_changes_nothing_within() -> None:
    torch.manual_seed(0)
    free, bound = Stage(16, 8, 8, 2), Stage(16, 8, 8, 2, limit=3.0)
    bound.load_state_dict(free.state_dict())
    x, embedding = torch.randn(6, 16, 5, 7) / 2, torch.randn(6, 8)
    assert torch.equal(bound(x.clone(), embedding, 3), free(x.clone(), embedding, 3))
    assert free(20 * x, embedding, 3).abs().max() > 3
    assert bound(20 * x, embedding, 3).abs().max() == 3


def test_a_block_computes_the_same_whether_it_is_trained_or_not() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(16, 16, 8, rank=4)
    x, embedding = torch.randn(3, 16, 5, 7), torch.randn(3, 8)
    trained = block(x, embedding).detach()
    with torch.no_grad():
        torch.testing.assert_close(block(x.clone(), embedding), trained)


def test_a_convolution_of_a_rank_puts_out_a_subspace() -> None:
    torch.manual_seed(0)
    output = dense(6, 12, rank=3)(torch.randn(2, 6, 9, 9)).detach()
    values = output.movedim(1, -1).reshape(-1, 12)
    assert torch.linalg.matrix_rank(values - values.mean(dim=0), rtol=1e-4) == 3
    assert dense(6, 12)(torch.randn(2, 6, 9, 9)).shape == output.shape


def test_noise_levels_have_distinct_features() -> None:
    features = sigma_features(torch.tensor([0.0292, 0.1, 0.5, 1.0, 2.0, 14.6]), 64)
    distances = torch.cdist(features, features) + 10 * torch.eye(6)
    assert features.shape == (6, 64)
    assert distances.min() > 0.5


def test_cell_basis_is_orthonormal_and_starts_with_the_mean_grey() -> None:
    basis = cell_basis(4)
    torch.testing.assert_close(basis @ basis.T, torch.eye(48), atol=1e-6, rtol=0)
    torch.testing.assert_close(basis[0], torch.full((48,), 48**-0.5))
