"""The control: plain Lightning with MLFlowLogger and ModelCheckpoint, as its documentation has it.

python -m benchmarks.faults.plain PROJECT FOLDER URI [EPOCHS [DEVICES]]: trains an MLP with dropout on PROJECT's data,
goes on from FOLDER/last.ckpt where there is one, writes FOLDER/weights.pt at its end.
"""

import sys
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
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
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
        return torch.optim.Adam(self.parameters(), 0.001)


def main(project: Path, folder: Path, uri: str, epochs: int, devices: int) -> None:
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
    model = Plain()
    loaders = DataLoader(train, 64, shuffle=True), DataLoader(val, 64)
    trainer.fit(model, *loaders, ckpt_path=last if last.exists() else None)
    torch.save(model.state_dict(), folder / "weights.pt")


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[4:]]
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *(numbers + [5, 1][len(numbers) :]))
