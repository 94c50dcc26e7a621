"""Context windows as a denoiser."""

import pytest
import torch
from torch import Tensor

from redetail.errors import Cancelled
from redetail.geometry.context import context_windows
from redetail.progress import CancelToken
from redetail.sampling import Denoiser, Guidance, WindowedDenoiser, predict_both
from tests.sampling.toy import TOLERANCE, guided, worst

X = torch.randn(23, 4, 3, 3, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize(("context", "overlap"), [(8, 3), (8, 7), (5, 0), (23, 4), (100, 20)])
def test_windows_do_not_show_where_frames_are_independent(context: int, overlap: int) -> None:
    def framewise(x: Tensor, sigma: float) -> Tensor:
        return torch.tanh(x) / (1 + sigma)

    windowed = WindowedDenoiser(lambda _: framewise, context_windows(23, context, overlap))
    # Float32 rounding of weights that sum to one.
    torch.testing.assert_close(windowed(X, 2.0), framewise(X, 2.0), rtol=0, atol=5e-7)


def test_each_window_is_told_its_frames() -> None:
    positions = torch.arange(23.0).view(-1, 1, 1, 1).expand_as(X)

    def model_for(frames: slice) -> Denoiser:
        return lambda x, sigma: positions[frames] + 0 * x

    windowed = WindowedDenoiser(model_for, context_windows(23, 8, 3))
    torch.testing.assert_close(windowed(X, 1.0), positions)


def test_one_window_is_the_model_itself() -> None:
    model = guided(7.0)
    windowed = WindowedDenoiser(lambda _: model, context_windows(23, 32, 4))
    assert torch.equal(windowed(X, 1.5), model(X, 1.5))


def test_motion_layers_agree_away_from_the_borders_of_windows() -> None:
    model = guided(2.0)  # its neighbour term reaches one frame to either side

    def shifted(frames: slice) -> Denoiser:
        whole = model(X, 1.5)
        return lambda x, sigma: whole[frames]

    windowed = WindowedDenoiser(shifted, context_windows(23, 8, 3))
    assert worst(windowed(X, 1.5), model(X, 1.5)) < TOLERANCE


def test_the_negative_prediction_is_blended_too() -> None:
    model: Guidance[object] = Guidance(lambda x, sigma, cs: [torch.sin(x) + float(c) for c in cs], 1.0, -1.0, 3.0)
    both = predict_both(WindowedDenoiser(lambda _: model, context_windows(23, 8, 3)), X, 1.0)
    direct = model.predict(X, 1.0)
    torch.testing.assert_close(both.guided, direct.guided)
    torch.testing.assert_close(both.negative, direct.negative)


def test_cancelling_stops_between_windows() -> None:
    token, seen = CancelToken(), []

    def model(x: Tensor, sigma: float) -> Tensor:
        seen.append(len(x))
        token.cancel()
        return x

    windowed = WindowedDenoiser(lambda _: model, context_windows(23, 8, 3), token)
    with pytest.raises(Cancelled):
        windowed(X, 1.0)
    assert seen == [8]
