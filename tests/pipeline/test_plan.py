import numpy as np

from redetail.pipeline.plan import crop_plans
from redetail.region import Region, Size
from redetail.settings import Settings


def test_the_largest_box_of_a_track_decides_its_scale():
    boxes = np.array([[10, 10, 26, 30], [10, 10, 42, 50]], float)
    region = Region("face 1", 0.9, 0, Size(60, 50), np.zeros((2, 2)), boxes)
    (plan,) = crop_plans([region], Settings(guide_size=64), 16)
    assert plan.working == Size(120, 100)  # 64 / 32 = 2
    assert plan.padding == (4, 6, 4, 6)
    assert plan.scale == 2


def test_max_size_holds_for_a_window_that_is_larger():
    """In all that the engine and the temporary files take, this is an eighth of what the window's own size would be."""
    boxes = np.array([[200, 200, 1200, 1200]], float)
    region = Region("face 1", 0.9, 0, Size(1400, 1400), np.zeros((1, 2)), boxes)
    (plan,) = crop_plans([region], Settings(guide_size=384, max_size=512), 8)
    assert plan.working == Size(512, 512)
    assert plan.padding == (0, 0, 0, 0)
