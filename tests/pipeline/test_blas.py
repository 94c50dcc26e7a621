from threadpoolctl import threadpool_info, threadpool_limits

from redetail.pipeline.blas import SharedLimit


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_runs_that_overlap_give_back_what_the_first_one_found() -> None:
    limit = SharedLimit()
    with threadpool_limits(2, "blas"):
        first, second = limit.held(), limit.held()
        first.__enter__()
        second.__enter__()
        assert threads() == {1}
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}
        with limit.held():
            assert threads() == {1}
        assert threads() == {2}
