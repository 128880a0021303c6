"""The control: plain Lightning with MLFlowLogger and ModelCheckpoint, as its documentation has it.

python -m benchmarks.faults.plain PROJECT FOLDER URI [--epochs N] [--devices N] [--lr R] [--width N]: trains an MLP with
dropout on PROJECT's data, goes on from FOLDER/last.ckpt where there is one, writes FOLDER/weights.pt at its end.
"""

import argparse
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy


class Plain(pl.LightningModule):
    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 10))
        self.rate = rate
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, index):
        logits = self.net(batch[0])
        self.accuracy(logits, batch[1])
        self.log_dict({"val/loss": nn.functional.cross_entropy(logits, batch[1]), "val/accuracy": self.accuracy})

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.rate)


def main(project: Path, folder: Path, uri: str, epochs: int, devices: int, width: int, lr: float) -> None:
    pl.seed_everything(0)
    torch.set_num_threads(1)
    splits = (load_file(project / f"data/processed/{name}.safetensors") for name in ("train", "val"))
    train, val = (TensorDataset(one["inputs"].float() / 255, one["targets"]) for one in splits)
    saver = ModelCheckpoint(folder, save_last=True, every_n_train_steps=10)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        logger=MLFlowLogger("plain", tracking_uri=uri),
        callbacks=[saver],
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = folder / "last.ckpt"
    model = Plain(width, lr)
    loaders = DataLoader(train, 64, shuffle=True), DataLoader(val, 64)
    trainer.fit(model, *loaders, ckpt_path=last if last.exists() else None)
    torch.save(model.state_dict(), folder / "weights.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.faults.plain", description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("uri")
    for name, default in {"epochs": 5, "devices": 1, "width": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=0.001)
    main(**vars(parser.parse_args()))
