"""What can be compared of a table's rows."""

import numpy as np

from pipeline.kinds.kind import Columns, Encoder


def features(encoder: Encoder, inputs: np.ndarray) -> Columns:
    """Columns by their names: numbers in their unit, dates in days since the first of train, categories as texts."""
    found, place = {}, 0
    for column in encoder["columns"]:
        if column["type"] != "category":
            part = column["parts"][-1]  # the value, or the seconds
            at = place + len(column["parts"]) - 1
            values = inputs[:, at].astype(np.float64) / (part["multiply"] or np.inf) + part["subtract"]
            place = at + 1 + column["flag"]
            if column["flag"]:
                values[inputs[:, place - 1] == 1] = np.nan
            found[column["name"]] = values / (86_400 if column["type"] == "date" else 1)
    for column in encoder["columns"]:
        if column["type"] == "category":
            names = np.array(["(another)", *("(none)" if value is None else value for value in column["values"])])
            found[column["name"]] = names[inputs[:, place].astype(np.int64)]
            place += 1
    return found
