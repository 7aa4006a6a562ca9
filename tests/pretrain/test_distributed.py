"""How the rows of a batch are divided among the processes of a training."""

import numpy as np
import pytest

from trellis.pretrain.distributed import World


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 5, 8, 24])
def test_the_shares_of_all_processes_are_the_batch_and_no_row_is_in_two(monkeypatch, size, rows):
    batch = np.random.default_rng(0).permutation(100)[:rows]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", str(size))
    shares = []
    for rank in range(size):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(World().share(batch))
    assert sorted(np.concatenate(shares)) == sorted(batch)  # no row is twice in the batch
    # They are as even as can be, and the first process has the largest.
    lengths = [len(share) for share in shares]
    assert lengths[0] == max(lengths) <= min(lengths) + 1
