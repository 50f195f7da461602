"""What a stopped run keeps, and how it is read back."""

import numpy as np
import pytest

from moca.core.step import Proposals, StepResult
from moca.output.unfinished import UnfinishedRun


@pytest.mark.parametrize("size", [(16, 16000), (16000, 16), (1, 5000), (5000, 1), (1, 1), (24, 40)])
def test_a_step_of_any_shape_is_kept_and_read_back(tmp_path, size):
    mask = np.ones(size, bool)
    proposals = Proposals(masks=mask[None], scores=np.ones(1), overlaps=np.ones(1), matched=(0,))
    result = StepResult(
        index=0, start_s=0.0, end_s=1.0, frame_s=0.5, mask=mask, heat=mask.astype(np.float32), score=0.5,
        level_dbfs=-20.0, coarse=mask, proposals=proposals,
    )  # fmt: skip
    UnfinishedRun(tmp_path / "out", {}).add(result)
    (back,) = UnfinishedRun(tmp_path / "out", {}).finished_steps()
    assert np.array_equal(back.mask, mask) and np.array_equal(back.heat, result.heat)
    assert np.array_equal(back.proposals.masks, proposals.masks) and back.proposals.matched == (0,)
