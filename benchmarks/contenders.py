"""Other ways to train on MNIST, one epoch after another; each prints its seconds for each epoch.

python -m benchmarks.contenders NAME NET EPOCHS PRECISION, in a project whose data/processed is MNIST; NET is mlp or
cnn, PRECISION is 32 or bf16, which is slow where the processor has to emulate it. Where there is a CUDA GPU, plain
Lightning uses it; `resident` needs one.
"""

import json
import sys
import time
from collections.abc import Callable

BATCH, WIDTHS, RATE = 64, (1024, 512), 0.001


def data(split: str, kind: str):
    """Pixels as floats in [0, 1], (N, 784) or (N, 1, 28, 28), and labels (N,)."""
    from pipeline.store import processed

    tensors = processed.load_split(split)
    inputs = tensors["inputs"].float() / 255
    return inputs.flatten(1) if kind == "mlp" else inputs, tensors["targets"]


def net(kind: str):
    import torch
    from torch import nn

    torch.manual_seed(0)
    if kind == "cnn":
        convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU()]
        convolutions += [nn.MaxPool2d(2), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten()]
        dense = [nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)]
        return nn.Sequential(*convolutions, *dense).to(memory_format=torch.channels_last)
    first, second = WIDTHS
    layers = [nn.Linear(784, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 10)]
    return nn.Sequential(*layers)


def handwritten(kind: str, epochs: int, precision: str) -> list[float]:
    """The least that can be written: batches by indexing, fused Adam, no validation, no metrics, no journal.

    The CNN in channels-last. Freed memory is kept, as ours is.
    """
    from pipeline.training.fit import keep_freed_memory

    keep_freed_memory()
    import torch
    from torch.nn.functional import cross_entropy

    inputs, targets = data("train", kind)
    model = net(kind)
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        for rows in torch.randperm(len(targets)).split(BATCH):
            optimizer.zero_grad()
            batch = inputs[rows]
            if kind == "cnn":
                batch = batch.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                logits = model(batch)
            cross_entropy(logits.float(), targets[rows]).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds


def resident(kind: str, epochs: int, precision: str) -> list[float]:
    """Handwritten for a GPU: data and batches on it, fused Adam, channels-last; no validation."""
    import torch
    from torch.nn.functional import cross_entropy

    inputs, targets = (tensor.cuda() for tensor in data("train", kind))
    model = net(kind).cuda()
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    seconds = []
    for _ in range(epochs):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for rows in torch.randperm(len(targets), device="cuda").split(BATCH):
            optimizer.zero_grad()
            batch = inputs[rows]
            if kind == "cnn":
                batch = batch.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
                logits = model(batch)
            cross_entropy(logits.float(), targets[rows]).backward()
            optimizer.step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds


def lightning(kind: str, epochs: int, precision: str) -> list[float]:
    """Lightning as its tutorials have it: DataLoader, torchmetrics in the step, MLFlowLogger on SQLite."""
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.loggers import MLFlowLogger
    from torch.utils.data import DataLoader, TensorDataset
    from torchmetrics.classification import MulticlassAccuracy

    class Plain(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net(kind)
            self.train_accuracy, self.val_accuracy = MulticlassAccuracy(10), MulticlassAccuracy(10)
            self.seconds: list[float] = []

        def training_step(self, batch, index):
            logits = self.net(batch[0])
            loss = torch.nn.functional.cross_entropy(logits, batch[1])
            self.train_accuracy(logits, batch[1])
            self.log_dict({"train/loss": loss, "train/accuracy": self.train_accuracy})
            return loss

        def validation_step(self, batch, index):
            logits = self.net(batch[0])
            self.val_accuracy(logits, batch[1])
            loss = torch.nn.functional.cross_entropy(logits, batch[1])
            self.log_dict({"val/loss": loss, "val/accuracy": self.val_accuracy})

        def on_train_epoch_start(self):
            self.began = time.perf_counter()

        def on_train_epoch_end(self):
            self.seconds.append(time.perf_counter() - self.began)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), RATE)

    module = Plain()
    logger = MLFlowLogger("peer", tracking_uri="sqlite:///peer.db")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    quiet |= {"precision": "bf16-mixed" if precision == "bf16" else "32-true"}
    trainer = pl.Trainer(max_epochs=epochs, accelerator="auto", devices=1, logger=logger, log_every_n_steps=10, **quiet)
    train, val = (TensorDataset(*data(split, kind)) for split in ("train", "val"))
    trainer.fit(module, DataLoader(train, BATCH, shuffle=True), DataLoader(val, BATCH))
    return module.seconds


def keras(kind: str, epochs: int, precision: str) -> list[float]:
    """Keras on TensorFlow, as its MNIST example has it: fit() on arrays, with validation data."""
    train, val = ([tensor.numpy() for tensor in data(split, kind)] for split in ("train", "val"))
    if kind == "cnn":  # pixels last but for the channel: (N, 28, 28, 1)
        train[0], val[0] = (part[0].transpose(0, 2, 3, 1) for part in (train, val))
    import keras as k

    k.config.set_dtype_policy("mixed_bfloat16" if precision == "bf16" else "float32")

    class Clock(k.callbacks.Callback):
        seconds: list[float] = []  # noqa: RUF012

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.began)

    dense, convolution, pool = k.layers.Dense, k.layers.Conv2D, k.layers.MaxPooling2D
    if kind == "cnn":
        layers = [convolution(32, 3, activation="relu"), pool(), convolution(64, 3, activation="relu"), pool()]
        layers += [convolution(64, 3, activation="relu"), k.layers.Flatten(), dense(64, activation="relu")]
    else:
        layers = [dense(width, activation="relu") for width in WIDTHS]
    model = k.Sequential([*layers, dense(10, dtype="float32")])
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(RATE), loss, metrics=["accuracy"])
    model.fit(*train, BATCH, epochs, verbose=0, validation_data=val, callbacks=[Clock()])
    return Clock.seconds


CONTENDERS: dict[str, Callable[[str, int, str], list[float]]] = {
    "handwritten": handwritten,
    "resident": resident,
    "lightning": lightning,
    "keras": keras,
}

if __name__ == "__main__":
    print(json.dumps(CONTENDERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4])))
