"""The peer of a sweep: plain Lightning with MLFlowLogger and a DataLoader under @hydra.main, started by Hydra's own
basic sweeper and launcher, as their documentation has them.

python -m benchmarks.sweeps.peer --multirun data=FOLDER uri=URI point=0,1,…: the settings of each point are in the file
that `points` names, the ones that our sweep takes.
"""

import itertools
import json
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig
from pytorch_lightning.loggers import MLFlowLogger
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

SPACE = {"data": "???", "uri": "???", "points": "???", "point": 0, "epochs": 5, "out": "???"}
ConfigStore.instance().store("peer", SPACE)


class Plain(pl.LightningModule):
    def __init__(self, widths: list[int], lr: float, steps: int):
        super().__init__()
        sizes, layers = [784, *widths], [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
        self.lr, self.steps = lr, steps
        self.train_accuracy = MulticlassAccuracy(10, average="micro")
        self.accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch, index):
        logits = self.net(batch[0])
        loss = nn.functional.cross_entropy(logits, batch[1])
        self.train_accuracy(logits, batch[1])
        self.log("train/loss", loss)
        self.log("train/accuracy", self.train_accuracy, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch, index):
        logits = self.net(batch[0])
        self.accuracy(logits, batch[1])
        self.log("val/accuracy", self.accuracy, on_epoch=True)
        self.log("val/loss", nn.functional.cross_entropy(logits, batch[1]), on_epoch=True)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@hydra.main(version_base="1.3", config_path=None, config_name="peer")
def main(config: DictConfig) -> float:
    point = json.loads(Path(config.points).read_text())[config.point]
    pl.seed_everything(0, verbose=False)
    splits = (load_file(Path(config.data) / f"{name}.safetensors") for name in ("train", "val"))
    train, val = (TensorDataset(one["inputs"].float() / 255, one["targets"]) for one in splits)
    loader = DataLoader(train, 64, shuffle=True)
    model = Plain(point["widths"], point["lr"], config.epochs * len(loader))
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        accelerator="cpu",
        logger=MLFlowLogger("peer", tracking_uri=config.uri),
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=config.out,
    )
    trainer.fit(model, loader, DataLoader(val, 64))
    value = trainer.callback_metrics["val/accuracy"].item()
    with (Path(config.out) / "values").open("a") as file:
        file.write(f"{value}\n")
    return value


if __name__ == "__main__":
    main()
