"""Speed: nobody waits for the device between two lines of the log, nor for rows; and what is measured is what it says."""

import os
import re
import threading

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from small_training import LLAMA, digests, lines
from trellis import device as devices
from trellis import progress
from trellis.command import execute
from trellis.experiment.models import Llama
from trellis.experiment.pretraining import Pretraining
from trellis.pretrain import speed
from trellis.pretrain.rows import Rows
from trellis.pretrain.speed import Cost, Speedometer, account
from trellis.pretrain.trainer import Trainer

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
# Every way in which Python or an operator makes the host wait for a value.
READS = {
    "item",
    "tolist",
    "numpy",
    "cpu",
    "nonzero",
    "equal",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "__array__",
}
OPERATORS = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2"}


class Reads(TorchDispatchMode):
    """Notes each operator that hands a value to the host."""

    def __init__(self, events):
        super().__init__()
        self.events = events

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        if name in OPERATORS:
            self.events.append(name)
        return function(*args, **kwargs or {})


class Calls(TorchFunctionMode):
    """Notes each call of Python's that does: on a processor, reading a list goes past all operators."""

    def __init__(self, events):
        super().__init__()
        self.events = events

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in READS:
            self.events.append(function.__name__)
        return function(*args, **kwargs or {})


def test_the_counter_sees_every_way_of_waiting():
    for read in (
        float,
        bool,
        torch.Tensor.tolist,
        torch.Tensor.item,
        lambda value: value.numpy(),
        lambda value: value.cpu(),
    ):
        events = []
        with Reads(events), Calls(events):
            read(torch.ones(()))
        assert events, read


@pytest.mark.parametrize("checkpointing", ["none", "selective", "full"])
def test_the_host_waits_once_in_a_log_interval(spec_of, tmp_path, monkeypatch, checkpointing):
    step, events, at = Trainer.step, [], {}

    def counted(self, number, rows):
        at[number] = len(events)
        return step(self, number, rows)

    monkeypatch.setattr(Trainer, "step", counted)
    keys = {"log_interval": 5, "validation_interval": 100, "checkpoint_minutes": 1e6, "micro_batch": 3}
    with Reads(events), Calls(events):
        execute(spec_of(**keys, gradient_checkpointing=checkpointing), tmp_path / "out")
    assert [at[number + 1] - at[number] for number in range(14)] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert events[at[4]] == "tolist"


@cuda
def test_the_gpu_is_never_waited_for_within_a_step(spec_of, tmp_path, monkeypatch):
    """PyTorch itself raises at whatever makes the host wait, after a step in which libraries start."""
    step = Trainer.step

    def strict(self, number, rows):
        torch.cuda.set_sync_debug_mode("error" if number else "default")
        try:
            return step(self, number, rows)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "step", strict)
    machine = {"device": "cuda", "gpu_model": "any"}
    model = {**LLAMA, "hidden_size": 32, "parameters": 22_048}  # heads of 16, which the flash kernel takes
    made = execute(spec_of(model, micro_batch=3).model_copy(update={"machine": machine}), tmp_path / "out")
    assert made.run["peak_gpu_mib"] > 0 and made.run["gpus"] == 1


def test_the_next_rows_are_read_while_these_are_computed(spec_of, tmp_path, monkeypatch):
    read, step, count = Rows.read, Trainer.step, threading.Semaphore(0)

    def reading(self, numbers):
        found = read(self, numbers)
        if threading.current_thread() is not threading.main_thread():
            count.release()
        return found

    def waiting(self, number, rows):
        # Batch n was read before this step; the one after it must come before the step ends.
        assert count.acquire(timeout=10)
        assert number == 14 or count.acquire(timeout=10)
        if number < 14:
            count.release()
        return step(self, number, rows)

    monkeypatch.setattr(Rows, "read", reading)
    monkeypatch.setattr(Trainer, "step", waiting)
    execute(spec_of(), tmp_path / "out")


def test_speed_stands_beside_the_result_and_in_the_runs_account(spec_of, tmp_path):
    made = execute(spec_of(log_interval=4, validation_interval=6), tmp_path / "out")
    written = lines(made.folder / "speed.jsonl")
    assert [(line["step"], line["tokens"]) for line in written] == [(4, 512), (8, 1024), (12, 1536), (15, 1920)]
    keys = {"step", "tokens", "tokens_per_second", "mfu", "hfu", "peak_gpu_mib"}
    assert all(line.keys() == keys and line["tokens_per_second"] > 0 for line in written)
    # This processor's peak is not known.
    assert all(line[key] is None for line in written for key in ("mfu", "hfu", "peak_gpu_mib"))
    assert "speed.jsonl" not in digests(made)
    rates = sorted(line["tokens_per_second"] for line in written)
    assert made.run["tokens_per_second"] == pytest.approx((rates[1] + rates[2]) / 2)
    assert made.run["mfu"] is None and made.run["gpus"] == 0


def test_progress_tells_loss_speed_and_the_time_that_is_left(spec_of, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level("INFO", logger="trellis"):
        execute(spec_of(), tmp_path / "out")
    told = [message for message in caplog.messages if message.startswith("pretraining: ")]
    assert len(told) == 16 and re.fullmatch(
        r"pretraining: 6 of 15 steps, [\d.]+ steps/s, \d+ s left loss 5\.\d{3}, [\d,]+ tokens/s", told[5]
    )


def test_the_clock_stands_still_between(monkeypatch):
    now = iter([10.0, 12.0, 50.0, 51.0, 100.0, 104.0])
    monkeypatch.setattr(speed.time, "monotonic", lambda: next(now))
    meter = Speedometer(Cost(needed=3 * 10**9, done=4 * 10**9, peak=3e12), torch.device("cpu"))
    for tokens in (600, 300):  # two seconds, then one; what lies between was validation
        meter.start()
        meter.stop(tokens)
    assert meter.reading() == {"tokens_per_second": 300.0, "mfu": 0.3, "hfu": 0.4, "peak_gpu_mib": None}
    meter.start()
    meter.stop(100)
    assert meter.reading()["tokens_per_second"] == 25.0


def test_the_account_is_of_medians_and_the_highest_memory():
    rates = [(1.0, 0.1, 5.0), (9.0, 0.5, 7.0), (8.0, 0.4, 6.0)]
    written = [{"tokens_per_second": r, "mfu": m, "hfu": m, "peak_gpu_mib": g} for r, m, g in rates]
    assert account(written) == {"tokens_per_second": 8.0, "mfu": 0.4, "hfu": 0.4, "peak_gpu_mib": 7.0}


def test_utilisation_is_of_all_gpus_and_counts_recomputation_only_as_hfu(monkeypatch):
    """The study's model on two A100s, by the figures of its facts: 3.029 GFLOP a token, 3.910 with full checkpointing."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-80GB")
    study = Llama.model_validate(
        {**LLAMA, "hidden_size": 1280, "intermediate_size": 2816, "layers": 24, "heads": 20, "kv_heads": 10}
        | {"parameters": 506_328_320, "tie_embeddings": False}
    )
    recipe = {"context": 2048, "batch_tokens": 131_072, "max_lr": 3e-4, "min_lr": 3e-5, "warmup_steps": 2000}
    for mode, done in {"none": 3.029e9, "full": 3.910e9}.items():
        checked = Pretraining.model_validate({**recipe, "gradient_checkpointing": mode})
        cost = Cost.of(study, 50_304, checked, torch.device("cuda"), devices=2)
        assert cost.needed == pytest.approx(3.029e9, rel=1e-3) and cost.done == pytest.approx(done, rel=1e-2)
        assert cost.peak == 2 * 312e12


# Streaming multiprocessors, FLOPs that one's tensor cores do in a cycle (dense bfloat16 products, float32 sums), boost GHz:
# from the architectures' white papers, not from the data sheets that the table is from.
CHIPS = {
    "NVIDIA B200": (148, 8192, 1.85),
    "NVIDIA H200": (132, 4096, 1.83),
    "NVIDIA GH200 480GB": (132, 4096, 1.83),
    "NVIDIA H100 80GB HBM3": (132, 4096, 1.83),
    "NVIDIA H100 NVL": (132, 4096, 1.545),
    "NVIDIA H200 NVL": (132, 4096, 1.545),
    "NVIDIA H100 PCIe": (114, 4096, 1.62),
    "NVIDIA A100-SXM4-40GB": (108, 2048, 1.41),
    "NVIDIA A100 80GB PCIe": (108, 2048, 1.41),
    "NVIDIA A40": (84, 1024, 1.74),
    "NVIDIA A10": (72, 1024, 1.695),
    "NVIDIA L40S": (142, 1024, 2.49),
    "NVIDIA L4": (58, 1024, 2.04),
    "NVIDIA RTX A6000": (84, 1024, 1.80),
    "NVIDIA RTX 6000 Ada Generation": (142, 1024, 2.505),
    "NVIDIA GeForce RTX 5090": (170, 512, 2.407),
    "NVIDIA GeForce RTX 4090": (128, 512, 2.52),
    "NVIDIA GeForce RTX 3090": (82, 512, 1.695),
}


@pytest.mark.parametrize("name", CHIPS)
def test_a_peak_is_what_the_chip_can_do_in_a_second(name):
    """A figure "with sparsity", or of half-precision sums, would be off by two."""
    processors, in_a_cycle, gigahertz = CHIPS[name]
    assert devices.peak_flops(name) == pytest.approx(processors * in_a_cycle * gigahertz * 1e9, rel=0.01)


def test_every_peak_of_the_table_is_checked():
    found = {devices.peak_flops(name) for name in CHIPS}
    assert found == {value * 1e12 for value in devices.PEAK_TFLOPS.values()}


@pytest.mark.parametrize(
    "name",
    [
        "Tesla T4", "NVIDIA A10G", "NVIDIA GB200", "NVIDIA H20", "NVIDIA L40", "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 3090 Ti", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA A100X",
    ],
)  # fmt: skip
def test_a_gpu_that_is_not_in_the_table_has_no_peak(name):
    assert devices.peak_flops(name) is None


def test_deterministic_mode_is_on_while_it_is_wanted(spec_of, tmp_path, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    step, seen = Trainer.step, []

    def looking(self, number, rows):
        seen.append((torch.are_deterministic_algorithms_enabled(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")))
        return step(self, number, rows)

    monkeypatch.setattr(Trainer, "step", looking)
    plain = execute(spec_of(), tmp_path / "plain")
    assert set(seen) == {(False, None)}
    seen.clear()
    strict = execute(spec_of(deterministic=True), tmp_path / "strict")
    assert set(seen) == {(True, ":4096:8")} and not torch.are_deterministic_algorithms_enabled()
    assert digests(strict) == digests(plain)


@cuda
def test_deterministic_mode_gives_the_same_bytes_again_on_a_gpu(spec_of, tmp_path):
    model = {**LLAMA, "hidden_size": 32, "parameters": 22_048}
    spec = spec_of(model, deterministic=True).model_copy(update={"machine": {"device": "cuda", "gpu_model": "any"}})
    assert digests(execute(spec, tmp_path / "one")) == digests(execute(spec, tmp_path / "two"))
