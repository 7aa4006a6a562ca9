"""How often the intervals of `evaluate compare` cover, its tests reject, and its minimum detectable effect is found.

    python benchmarks/intervals.py [--studies 2000]

Studies are simulated (`tests/simulated_studies.py`), so that the truth is known: two fine-tuned models, items in clusters
of one schema, seeds. The peer is the paired bootstrap over items, the usual way to compare two models on a benchmark
(Koehn 2004; Dror et al. 2018): it draws items as if they were independent, and takes a model's mean over seeds for the
model. Where there are no seeds to add, Student's intervals are compared with the percentile and BCa ones (Efron and
Tibshirani 1993) of the same draws.

The last table is the time of the whole comparison at the study's size, and of one contrast beside scipy's bootstrap.
"""

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import stats  # noqa: E402

from publishing import publish  # noqa: E402
from simulated_studies import BATCH, LIVE_MULTIPLE, Setting, simulate  # noqa: E402
from trellis.command import execute  # noqa: E402
from trellis.evaluate import METRICS  # noqa: E402
from trellis.evaluate.bootstrap import resampled_means  # noqa: E402
from trellis.evaluate.estimate import Estimate, estimates  # noqa: E402
from trellis.evaluate.significance import holm  # noqa: E402
from trellis.experiment.evaluation import Statistics  # noqa: E402
from trellis.experiment.section import complete  # noqa: E402
from trellis.experiment.whole import load_experiment  # noqa: E402
from trellis.spec import Spec  # noqa: E402

ALPHA, CONFIDENCE, POWER, EFFECT = 0.05, 0.95, 0.8, 0.4
EVEN = np.full(500, 4)
SIZES = {"500 schemas of 4 items": EVEN, "351 schemas of 1 to 27 items (live_multiple's)": LIVE_MULTIPLE}
# Items and schemas of the study's suites, about.
STUDY = {"schema": (3000, 1500), "function-calling": (3200, 1900), "json-schema": (1500, 1200)}
STUDY |= dict.fromkeys(("extraction", "text-to-sql", "format"), (500, 500))
WITHOUT_SCHEMA = ["text-to-sql", "format"]
CONSERVATIVE = (
    "With several seeds, and no luck of schemas or seeds, intervals are conservative (they cover 97 to 98 %, above the 93 to "
    "97 % of the other rows): the variance of the items is then the whole variance, and covers 95 % in the half of the "
    "studies in which it is taken; in the others the seeds' is larger by chance and is taken, with its few degrees of "
    "freedom, and covers 99 to 100 %."
)


def main() -> None:
    """Prints one Markdown report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"# Statistics over simulated studies, {datetime.date.today()}\n")
    print(
        f"{processor()}, one core, Python {platform.python_version()}, numpy {version('numpy')}, scipy {version('scipy')}"
    )
    print(
        f"{studies:,} studies a row; standard error of a share of 95 %: {100 * (0.95 * 0.05 / studies) ** 0.5:.1f} points."
    )
    print("Standard deviations of luck are in logits: of a model with a schema, of a seed.\n")
    compared(studies)
    powers(studies)
    single_seeds(studies)
    families(studies)
    rates(studies)
    times()


def compared(studies: int) -> None:
    """95 % intervals of a true difference, tests of a null, against the peer's."""
    print("## Intervals and tests\n")
    print(
        f"Coverage of a treatment that is better by {EFFECT} logits; rejections, at 5 %, of one that is not better.\n"
    )
    print(
        "| schemas | seeds | schema luck | seed luck | covers | peer covers | rejects | peer rejects | peer / Trellis |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, sizes in SIZES.items():
        for seeds, schema_sd, seed_sd in [(1, 0.0, 0.0), (1, 0.6, 0.0), (1, 1.2, 0.0)] + [
            (seeds, schema_sd, seed_sd)
            for seeds in (3, 5)
            for schema_sd in (0.0, 0.6, 1.2)
            for seed_sd in (0.0, 0.1, 0.3)
        ]:
            better = Setting(sizes, seeds, schema_sd=schema_sd, seed_sd=seed_sd, effect=EFFECT)
            covers, peer_covers = [], []
            for found, draws in with_peer(better, studies, 1):
                covers.append(covered(found.interval(CONFIDENCE), better.truth))
                peer_covers.append(covered(interval(draws, CONFIDENCE), better.truth))
            null = Setting(sizes, seeds, schema_sd=schema_sd, seed_sd=seed_sd)
            rejects = [(found.p < ALPHA, p_value(draws) < ALPHA) for found, draws in with_peer(null, studies, 2)]
            ours, peer = np.mean(rejects, axis=0)
            print(
                f"| {name} | {seeds} | {schema_sd} | {seed_sd} | {percent(covers)} | {percent(peer_covers)} "
                f"| {100 * ours:.1f} % | {100 * peer:.1f} % | {peer / ours:.1f} |",
                flush=True,
            )
    print(f"\n{CONSERVATIVE}")


def with_peer(setting: Setting, studies: int, seed: int) -> Iterator[tuple[Estimate, np.ndarray]]:
    """(the estimate, the peer's draws of the difference), study by study."""
    rng, batch = np.random.default_rng(seed), []
    for found, scores in simulate(setting, studies, seed):
        batch.append((found, scores[0].mean(0) - scores[1].mean(0)))
        if len(batch) == BATCH:
            columns = np.stack([paired for _, paired in batch], axis=1)
            draws = resampled_means(columns, np.arange(len(columns)), 1000, rng)
            yield from ((estimate, draws[:, at]) for at, (estimate, _) in enumerate(batch))
            batch = []


def powers(studies: int) -> None:
    """How often an effect of the stated minimum size is found."""
    print(
        f"\n## An effect of the minimum detectable size\n\nFound by how many studies; stated for {100 * POWER:.0f} %.\n"
    )
    print("| schemas | seeds | seed luck | stated | found |\n|---|---|---|---|---|")
    for name, sizes in SIZES.items():
        for seeds, seed_sd in ((1, 0.0), (3, 0.0), (3, 0.1), (3, 0.3), (5, 0.1), (5, 0.3)):
            setting = Setting(sizes, seeds, seed_sd=seed_sd)
            stated = np.mean([found.detectable(CONFIDENCE, POWER) for found, _ in simulate(setting, studies // 4, 3)])
            planted = simulate(setting.with_difference(float(stated)), studies, 4)
            found = percent([estimate.p < ALPHA for estimate, _ in planted])
            print(f"| {name} | {seeds} | {seed_sd} | {100 * stated:.1f} points | {found} |", flush=True)


def single_seeds(studies: int) -> None:
    """Which bootstrap interval."""
    print(
        "\n## Student's, percentile or BCa\n\nCoverage where each model has one seed, of a treatment that is better.\n"
    )
    print("| schemas | Student's (Trellis) | percentile | BCa |\n|---|---|---|---|")
    rng, few = np.random.default_rng(5), {f"{count} schemas of 3 items": np.full(count, 3) for count in (12, 20, 60)}
    for name, sizes in {**few, **SIZES}.items():
        setting = Setting(sizes, 1, effect=1.0)
        paired = np.diff(setting.draw(studies, rng)[::-1, 0], axis=0)[0]
        draws = resampled_means(paired, setting.clusters, 2000, rng)
        half = stats.t.ppf((1 + CONFIDENCE) / 2, len(sizes) - 1) * draws.std(0) * (len(sizes) / (len(sizes) - 1)) ** 0.5
        student = abs(paired.mean(0) - setting.truth) <= half
        percentile = [covered(interval(column, CONFIDENCE), setting.truth) for column in draws.T]
        accelerated = [
            covered(bca(column, draws[:, at], setting.clusters), setting.truth) for at, column in enumerate(paired.T)
        ]
        print(f"| {name} | {percent(student)} | {percent(percentile)} | {percent(accelerated)} |", flush=True)


def bca(paired: np.ndarray, draws: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """The bias-corrected and accelerated interval, with the jackknife over clusters (Efron and Tibshirani 1993, 14.3)."""
    sums, counts = np.bincount(clusters, paired), np.bincount(clusters)
    left_out = (paired.sum() - sums) / (len(paired) - counts)
    away = left_out.mean() - left_out
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    below = (draws < paired.mean()).mean() + (draws == paired.mean()).mean() / 2
    bias = stats.norm.ppf(below) + stats.norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = np.quantile(draws, stats.norm.cdf(stats.norm.ppf(below) + bias / (1 - acceleration * bias)))
    return low, high


def families(studies: int) -> None:
    """Holm's correction and the test of equivalence."""
    print("\n## Families and equivalence\n")
    setting = Setting(np.full(100, 4), schema_sd=0.6, seed_sd=0.1)
    p_values = np.reshape([found.p for found, _ in simulate(setting, 9 * studies, 6)], (studies, 9))
    corrected = percent([min(holm(list(family))) < ALPHA for family in p_values])
    print(
        f"Any false rejection among nine true nulls: {corrected} with Holm, {percent(p_values.min(1) < ALPHA)} without."
    )
    for margin in (0.03, 0.06):
        setting = Setting(EVEN, seed_sd=0.05).with_difference(margin)
        wrong = percent([found.equivalent(CONFIDENCE, margin) for found, _ in simulate(setting, studies, 7)])
        print(
            f"Called equivalent although the difference is the margin, {100 * margin:.0f} points: {wrong}.", flush=True
        )


def rates(studies: int) -> None:
    """One model's rate, near the end of the scale and not."""
    print("\n## A rate that stands alone\n\nCoverage; one seed, a schema's luck of 1 logit.\n")
    print("| items | rate | Wilson's with the effective number | percentile bootstrap |\n|---|---|---|---|")
    rng = np.random.default_rng(8)
    for name, sizes in {"40 of their own schemas": np.full(40, 1), "120 in 30 schemas": np.full(30, 4)}.items():
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        for logit in (-4, -2, 0, 3):
            truth = np.mean(1 / (1 + np.exp(-(logit + rng.normal(0, 1, 1_000_000)))))
            chance = 1 / (1 + np.exp(-(logit + rng.normal(0, 1, (len(sizes), studies))[clusters])))
            drawn = (rng.random(chance.shape) < chance).astype(float)
            found = estimates([((1, column[None]),) for column in drawn.T], clusters, Statistics(resamples=1000))
            wilson = percent([covered(each.rate_interval(CONFIDENCE), truth) for each in found if each])
            draws = resampled_means(drawn, clusters, 1000, rng)
            percentile = percent([covered(interval(column, CONFIDENCE), truth) for column in draws.T])
            print(f"| {name} | {truth:.3f} | {wilson} | {percentile} |", flush=True)


def times() -> None:
    """Processor seconds of `evaluate compare`, and of one contrast."""
    print("\n## Time\n")
    with tempfile.TemporaryDirectory() as folder:
        spec = fabricated(Path(folder))
        begin = time.process_time()
        execute(spec, Path(folder) / "out")
        seconds = time.process_time() - begin
    items = sum(count for count, _ in STUDY.values())
    print(
        f"`evaluate compare` of {items:,} items in 6 suites, 2 modes, 3 models with 3 seeds and base, 10,000 draws: ",
        end="",
    )
    print(f"{seconds:.1f} s of processor time.\n")
    setting, rng = Setting(LIVE_MULTIPLE, 1), np.random.default_rng(9)
    first, second = setting.draw(1, rng)[:, 0, :, 0]
    pair = ((1, first[None]), (-1, second[None]))
    own = best(lambda: estimates([pair], setting.clusters, Statistics()))
    peer = best(
        lambda: stats.bootstrap((first - second,), np.mean, n_resamples=10_000, method="percentile", batch=250, rng=9)
    )
    print(
        f"One contrast of {len(first):,} items, 10,000 draws: {own:.2f} s over clusters; scipy.stats.bootstrap, over items, ",
        end="",
    )
    print(f"{peer:.2f} s ({peer / own:.1f} times as long).")


def fabricated(folder: Path) -> Spec:
    """The study's comparison, of answers that are right by chance."""
    study, rng = load_experiment(ROOT / "config/experiments/trellis-506m.yaml"), np.random.default_rng(0)
    rows = [
        (f"{suite}-{i}", suite, "seen" if suite == "schema" and i < 1000 else "unseen", "", f"{rng.integers(clusters)}")
        for suite, (items, clusters) in STUDY.items()
        for i in range(items)
    ]
    items = pd.DataFrame(rows, columns=["id", "suite", "split", "stratum", "cluster"])
    items["cluster"] += items["split"]
    near = items[~items["suite"].isin(WITHOUT_SCHEMA)]
    buckets = np.where(near["split"] == "seen", "seen", rng.choice(["near", "far", "held_out_feature"], len(near)))
    (folder / "distance").mkdir()
    near = near[["id", "suite"]].assign(bucket=buckets, similarity=rng.random(len(near)))
    near.to_parquet(folder / "distance/nearest.parquet")
    scores = []
    for model in study.models:
        for seed in (None, 0, 1, 2):
            made = folder / f"{model}-{seed}"
            made.mkdir()
            table = pd.concat(
                [items.assign(mode="free"), items[~items["suite"].isin(WITHOUT_SCHEMA)].assign(mode="constrained")]
            )
            table = table.assign(**{metric: (rng.random(len(table)) < 0.4).astype(float) for metric in METRICS})
            table.to_parquet(made / "scores.parquet")
            scores.append(str(publish(made, metrics={"model": model, "seed": seed})))
    return Spec(
        experiment="study",
        stage="evaluate",
        command="compare",
        name="compare",
        fingerprint="0" * 64,
        components={},
        config=complete({"statistics": study.evaluation.statistics, "prereg": study.prereg}),
        inputs={"scores": scores, "distance": [str(publish(folder / "distance"))]},
        machine={},
    )


def interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """The percentile interval."""
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return low, high


def p_value(draws: np.ndarray) -> float:
    """Two-sided: how far into the tail of the drawn differences zero lies."""
    return min(1.0, 2 * (min((draws <= 0).sum(), (draws >= 0).sum()) + 1) / (len(draws) + 1))


def covered(found: tuple[float, float], truth: float) -> bool:
    return found[0] <= truth <= found[1]


def percent(shares) -> str:
    return f"{100 * np.mean(shares):.1f} %"


def best(work) -> float:
    """Processor seconds, the best of three."""
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
