"""Training: the same bytes after any kill, in the same run; every setting reaches Lightning."""

import json
import random
import signal

import pytest
import torch

from pipeline.project.files import sha256
from pipeline.training.loader import BatchLoader
from tests.support import runs

WEIGHTS = "models/bundle/weights.safetensors"


@pytest.mark.parametrize("seed", [0])
def test_killed_at_random_and_run_again_it_ends_with_the_same_bytes_in_the_same_run(prepared, seed):
    whole, settings = runs.copied(prepared, "whole"), [*runs.TINY, "tracking.log_every_steps=1"]
    assert runs.called(whole, "train", *settings).returncode == 0
    chance = random.Random(seed)
    first, second = sorted(chance.sample(range(2, runs.EPOCHS // 2), 2))
    assert runs.stopped(prepared, settings, f"epoch {first}/", signal.SIGKILL) == -signal.SIGKILL
    assert runs.stopped(prepared, settings, f"epoch {second}/", signal.SIGTERM) == 128 + signal.SIGTERM
    done = runs.train(prepared, *settings)
    assert done.returncode == 0, done.stderr
    assert "resuming at step" in done.stdout
    assert sha256(prepared / WEIGHTS) == sha256(whole / WEIGHTS)
    assert sha256(prepared / "models/bundle/bundle.json") == sha256(whole / "models/bundle/bundle.json")

    (run_id,) = runs.run_ids(prepared)
    (whole_id,) = runs.run_ids(whole)

    def trained(project, run):
        return sorted(point for point in runs.points(project, run) if point[0].startswith(("train/", "val/")))

    assert trained(prepared, run_id) == trained(whole, whole_id)  # every point once, with the same value
    assert runs.sync(prepared).returncode == 0
    (run,) = runs.shipped_runs(runs.store(prepared))
    assert (run.info.status, run.data.tags["ratchet.run_id"]) == ("FINISHED", run_id)
    assert sorted(runs.shipped_points(runs.store(prepared), run.info.run_id)) == sorted(runs.points(prepared, run_id))


def test_the_same_settings_on_the_same_data_are_not_trained_twice(prepared):
    settings = ["model.widths=[16]"]
    runs.called(prepared, "train", *settings)
    before = sha256(prepared / WEIGHTS)
    again = runs.called(prepared, "train", *settings)
    assert "its result is reused" in again.stdout
    assert sha256(prepared / WEIGHTS) == before
    assert len(runs.run_ids(prepared)) == 1
    fresh = runs.train(prepared, "--fresh", *settings)
    assert "reused" not in fresh.stdout
    assert len(runs.run_ids(prepared)) == 2
    assert sha256(prepared / WEIGHTS) == before  # the same bytes from a new process


def test_settings_reach_lightning(prepared):
    """Clipping, accumulation, bf16, a schedule, another optimiser and early stopping in one training."""
    settings = ["optimizer=sgd", "schedule=cosine", "training.gradient_clip=1.0", "training.accumulate=2"]
    settings += ["training.precision=bf16", "training.early_stopping.patience=1", "training.max_epochs=30"]
    settings += ["training.early_stopping.min_delta=0.5", "training.monitor=val/loss", "model.widths=[16]"]
    done = runs.called(prepared, "train", *settings)
    assert done.returncode == 0, done.stderr
    assert "epoch 30/30" not in done.stdout
    (run_id,) = runs.run_ids(prepared)
    rates = [value for name, _, value in runs.points(prepared, run_id) if name == "train/lr"]
    assert max(rates) <= 0.1
    assert len(set(rates)) == len(rates) > 1


def test_a_gpu_that_is_not_there_is_refused(prepared):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    done = runs.called(prepared, "train", "trainer=gpu")
    assert done.returncode == 1
    assert "torch sees no CUDA GPU" in done.stderr
    assert runs.run_ids(prepared) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_learns_what_the_cpu_does_and_the_same_bytes_again(prepared):
    small = ["model.widths=[32]", "training.max_epochs=3"]
    losses, sums = [], []
    for trainer in ("cpu", "gpu", "gpu"):
        assert runs.train(prepared, "--fresh", *small, f"trainer={trainer}").returncode == 0
        run_id = json.loads((prepared / "models/run.json").read_text())["run_id"]
        losses.append([value for name, _, value in runs.points(prepared, run_id) if name == "val/loss"])
        sums.append(sha256(prepared / WEIGHTS))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert sums[1] == sums[2]


@pytest.mark.parametrize("rows", [1, 20, 21])
def test_each_sample_comes_once_an_epoch_in_an_order_of_seed_and_epoch(rows):
    tensors = {"inputs": torch.arange(rows), "targets": torch.arange(rows)}
    loader = BatchLoader(tensors, 4, seed=3)
    epochs = []
    for loader.epoch in range(2):
        epochs.append([sample for inputs, _ in loader for sample in inputs.tolist()])
    assert [sorted(epoch) for epoch in epochs] == [list(range(rows))] * 2
    assert rows == 1 or epochs[0] != epochs[1]
    again = BatchLoader(tensors, 4, seed=3)
    again.load_state_dict({"epoch": 1, "position": len(again) // 2})
    assert [sample for inputs, _ in again for sample in inputs.tolist()] == epochs[1][len(again) // 2 * 4 :]
