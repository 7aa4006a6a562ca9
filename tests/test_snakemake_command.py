"""`snakemake --cores 16 --resources gpu=1 results/report.html`, word for word, is a command that Snakemake can read."""

import pytest
from snakemake_command import targets_first


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--cores 16 --resources gpu=1 results/report.html", "results/report.html --cores 16 --resources gpu=1"),
        ("--res gpu=1 net=4 a b -n", "a b --res gpu=1 net=4 -n"),
        ("a --resources gpu=1", "a --resources gpu=1"),
        ("--cores 2 a", "--cores 2 a"),
        ("--resources gpu=1 --config experiment=smoke", "--resources gpu=1 --config experiment=smoke"),
        ("--resources=gpu=1 a", "--resources=gpu=1 a"),
        ("--resources gpu=1 -- a", "--resources gpu=1 -- a"),
    ],
)
def test_targets_among_resources_come_first(written, read):
    assert targets_first(written.split()) == read.split()
