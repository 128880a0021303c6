"""The saved form of a model: weights.safetensors and bundle.json, and nothing that executes.

Imports only what needs torch, safetensors, NumPy and pydantic of Ratchet: it runs wherever the model is served.
"""

import platform
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from pipeline.kinds.encoding import encode
from pipeline.kinds.kind import of
from pipeline.models import description as describing
from pipeline.models.description import DESCRIPTION, FORMAT, WEIGHTS, cure
from pipeline.models.network import Network, build, rows_at_once
from pipeline.project.errors import DataError
from pipeline.project.files import digest, sha256, write_atomically, write_json
from pipeline.tasks import task as tasks

BATCH = 2000  # records at once; bounds memory alone


class Bundle:
    def __init__(self, network: Network, description: dict[str, Any]):
        self.network = network.eval()
        self.description = description
        self.encoder: dict[str, Any] = description["encoder"]
        self.labels: list[str] = self.encoder["labels"]
        self.data_fingerprint: str = description["data_fingerprint"]
        self.digest = digest(description)

    @classmethod
    def load(cls, folder: Path | str) -> "Bundle":
        """The bundle in `folder`; altered, partial, foreign or hostile files are refused with a DataError."""
        folder = Path(folder)
        description, weights = describing.whole(folder), folder / WEIGHTS
        try:
            describing.require_fitting(description, weights)
            network = build(description["net"], description["encoder"], description["loss"])
            network.load_state_dict(load_file(weights))
            made = cls(network, description)
            made.tried()
        except Exception as error:
            given = error if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            raise DataError(
                f"{weights} does not fit the net and the encoder in {DESCRIPTION}: {given}\n{cure(folder)}"
            ) from error
        return made

    @torch.inference_mode()
    def tried(self) -> None:
        """Answers to a record that says nothing; whatever goes wrong raises."""
        blank = of(self.encoder).blank(self.encoder)
        try:
            inputs = torch.from_numpy(encode(self.encoder, blank))
        except DataError:  # an encoder may well refuse it: a table without empty cells
            return
        outputs = self.outputs(inputs)
        describing.require_width(outputs, self.encoder)
        tasks.of(self.encoder).answers(outputs, inputs, self.encoder)

    @torch.inference_mode()
    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, …) tensors as in the store → (N, classes or items) logits, or (N, 1) in a regression; float32."""
        parts = [self.network(part).float() for part in torch.split(inputs, rows_at_once(inputs, max(1, len(inputs))))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def predict(self, records: Any) -> list[dict[str, Any]]:
        """Raw records, as the encoder takes them → for each what pipeline/tasks says of its task."""
        task = tasks.of(self.encoder)
        inputs = torch.from_numpy(encode(self.encoder, records))
        parts = torch.split(inputs, BATCH)
        return [answer for part in parts for answer in task.answers(self.outputs(part), part, self.encoder)]


def save(
    folder: Path,
    state: dict[str, torch.Tensor],
    net: dict[str, Any],
    loss: str,
    encoder: dict[str, Any],
    identity: dict[str, str],
) -> str:
    """Writes a bundle of a network's `state`; `identity` holds data_fingerprint and config_hash. Returns its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(state, temporary))
    description = {
        "format": FORMAT,
        "net": net,
        "loss": loss,
        "encoder": encoder,
        "inputs": {"shape": ["N", *encoder["shape"]], "dtype": encoder["dtype"]},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "weights_sha256": sha256(folder / WEIGHTS),
        **identity,
    }
    write_json(folder / DESCRIPTION, description)
    return digest(description)
