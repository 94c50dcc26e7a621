"""Beta quantiles against cases with a closed form."""

import numpy as np
import pytest

from redetail.sampling.quantiles import symmetric_beta_quantiles

P = np.linspace(0, 1, 101)


@pytest.mark.parametrize(
    ("shape", "distribution"),
    [
        (1.0, lambda x: x),
        (2.0, lambda x: x**2 * (3 - 2 * x)),
        (0.5, lambda x: np.arcsin(np.sqrt(x)) * 2 / np.pi),
    ],
)
def test_quantiles_invert_the_distribution_function(shape, distribution) -> None:  # type: ignore[no-untyped-def]
    x = symmetric_beta_quantiles(P, shape)
    np.testing.assert_allclose(distribution(x), P, rtol=0, atol=1e-12)


def test_the_two_halves_mirror_each_other() -> None:
    x = symmetric_beta_quantiles(P, 0.6)
    np.testing.assert_allclose(x + x[::-1], 1, rtol=0, atol=1e-12)
    assert (np.diff(x) > 0).all()
    assert x[50] == 0.5
