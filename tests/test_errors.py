"""Names that do not exist are answered with the nearest one; errors reach other processes as they are."""

import pickle

import pytest

from redetail import errors
from redetail.errors import UnknownNameError, nearest_name

NAMES = ("euler", "euler_ancestral", "dpmpp_2m", "heun")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("eulr", "euler"),
        ("EULER", "euler"),
        ("euler-ancestral", "euler_ancestral"),
        ("dpmp_2m", "dpmpp_2m"),
        ("lanczos", None),
        ("", None),
        ("2", None),
    ],
)
def test_the_nearest_name(typed: str, meant: str | None) -> None:
    assert nearest_name(typed, NAMES) == meant


def test_of_equal_spellings_the_first_counts() -> None:
    assert nearest_name("a_b", ("a_b", "a-b")) == "a_b"


def test_a_name_that_does_not_exist_says_what_exists() -> None:
    near, far = UnknownNameError("sampler", "huen", NAMES), UnknownNameError("sampler", 7, NAMES)
    assert str(near) == (
        "There is no sampler named 'huen'; did you mean 'heun'? Choose one of: euler, euler_ancestral, dpmpp_2m, heun."
    )
    assert str(far) == "There is no sampler named 7; choose one of: euler, euler_ancestral, dpmpp_2m, heun."


@pytest.mark.parametrize(
    "error",
    [
        errors.UnknownNameError("sampler", "dream", ["euler", "ddim"]),
        errors.DependencyError("av", "standalone"),
        errors.ClusterError("No Ray cluster answers."),
        errors.Cancelled("Stopped on request."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_pickled(error: Exception) -> None:
    same = pickle.loads(pickle.dumps(error))
    assert (type(same), str(same), vars(same)) == (type(error), str(error), vars(error))
