"""Pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.kinds.kind import Columns, Encoder, Kind

if TYPE_CHECKING:
    import numpy as np

    from pipeline.kinds.bodies import Limits
    from pipeline.kinds.input import Input


class Image(Kind):
    """A record is uint8 (C, H, W), or the content of a picture file."""

    name = "image"
    sides = 3
    packages = ("pillow",)
    augmented = True
    in_files = True
    scrubbed = False

    def decode(self, encoder: Encoder, inputs: np.ndarray) -> list[str]:
        """A picture has no line of text: an empty one for each."""
        return [""] * len(inputs)

    def blank(self, encoder: Encoder) -> Any:
        import numpy as np

        return np.zeros((1, *encoder["shape"]), np.uint8)

    def held_out(self, encoder: Encoder, inputs: np.ndarray) -> Any:
        return inputs

    def input(self, encoder: Encoder, examples: list[Any], limits: Limits) -> Input:
        from pipeline.kinds.image.input import Pictures

        return Pictures(encoder, examples, limits)

    def stored(self, encoder: Encoder, record: bytes) -> Any:
        """Of a PNG."""
        from pipeline.kinds.image import picture

        return picture.read(record, encoder)

    def features(self, encoder: Encoder, inputs: np.ndarray, popularity: np.ndarray) -> Columns:
        from pipeline.kinds.image.features import features

        return features(inputs)

    def example(self, records: Any) -> np.ndarray:
        import numpy as np

        return np.array(records, dtype=np.uint8)

    def columns(self, encoder: Encoder) -> list[Any]:
        import numpy as np
        from mlflow.types import TensorSpec

        return [TensorSpec(np.dtype(np.uint8), (-1, *encoder["shape"]))]

    def of_example(self, given: Any) -> list[Any]:
        return given

    def drawn(self, encoder: Encoder, count: int, length: int, random: np.random.Generator) -> np.ndarray:
        import numpy as np

        return random.integers(0, 256, (count, *encoder["shape"]), np.uint8)


KIND = Image()
