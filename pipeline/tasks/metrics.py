"""Which way a metric is better, wherever metrics are compared."""

LOWER = ("loss", "mae", "rmse", "error", "_ms", "seconds", "parameters")  # how the names end of those of which less is


def lower_is_better(metric: str) -> bool:
    """Of val/NAME, test/NAME, test/NAME/CLASS, baseline/BASELINE/NAME or NAME; a class may be called loss."""
    parts = metric.removesuffix("/mean").split("/", 2)
    return (parts[1] if parts[0] == "test" and len(parts) > 1 else parts[-1]).endswith(LOWER)


def sign(metric: str) -> int:
    """By which a difference is multiplied so that more is better."""
    return -1 if lower_is_better(metric) else 1
