"""What can go wrong, in one small tree.

RatchetError              said in one message and an exit code, without a traceback
├── ConfigError           a setting is unknown, of a wrong type, or impossible
├── DataError             a source, a store or an output is missing, altered or unusable
├── DiskError             a folder can't be written: its disk is full, or it is closed to this user
├── TrainingError         the training can't go on: a loss that is not finite, no best weights, no memory left
├── SweepError            a sweep's database is away, or none of its trials came to an end
├── RegistryError         the tracking server or the registry can't be used
└── StoreError            the database of predictions and labels can't be used
"""


class RatchetError(Exception):
    """A message that says what was given, what is allowed and what to type next."""


class ConfigError(RatchetError):
    pass


class DataError(RatchetError):
    pass


class DiskError(RatchetError):
    pass


class TrainingError(RatchetError):
    pass


class SweepError(RatchetError):
    pass


class RegistryError(RatchetError):
    pass


class StoreError(RatchetError):
    """Nothing was kept of what failed. `reason` names no place: whoever asks over a network may read it."""

    def __init__(self, message: str, reason: str = "it can't be opened"):
        super().__init__(message)
        self.reason = reason
