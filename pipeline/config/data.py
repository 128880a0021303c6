"""The settings of data: where the raw files come from, and how each kind is prepared."""

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from pipeline.config.section import Name, Positive, Rate, Section, Sha256, Share, Unhashed
from pipeline.project.secrets import IN_URL

Data = TypeVar("Data", bound=Section)

NUMBERS = (
    "1,234.5",
    "1.234,5",
    "1 234,5",
    "1 234.5",
    "1'234.5",
    "1'234,5",
)  # as kinds/table/numerals.py reads

# How a member or a file is turned into the bytes whose sum is known
Unpack = Literal["none", "gzip", "mnist_pickle", "without_first_line"]
Scaling = Literal["unit", "symmetric", "standard"]  # [0, 1] · [-1, 1] · mean 0, deviation 1; fitted on train


def without_secret(url: str) -> str:
    if IN_URL.search(url):
        raise ValueError("a URL must not hold a password or token; write ${oc.env:NAME} and set the variable NAME")
    return url


class FileSum(Section):
    bytes: Positive
    sha256: Sha256


class Member(Section):
    path: str  # in the archive; `outer.tar.gz!inner.txt` is a file of an archive in it
    unpack: Unpack


class UrlMirror(Section):
    url: Annotated[str, Field(pattern=r"^(https?|file):"), AfterValidator(without_secret)]  # {file} is the name
    unpack: Literal["none", "gzip"]


class ArchiveMirror(Section):
    archive: Annotated[str, Field(pattern=r"^(https?|file):"), AfterValidator(without_secret)]  # a zip or tar
    members: dict[Name, Member]


class PackageMirror(Section):
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+$")]
    sha256: Sha256  # of the wheel, or of the sdist
    members: dict[Name, Member]


class InstalledMirror(Section):
    installed: Name  # a package of this environment
    members: dict[Name, Member]


def kind_of_mirror(mirror: Any) -> str | None:
    keys = mirror if isinstance(mirror, dict) else dir(mirror)
    kind = next((key for key in ("package", "archive", "installed", "url") if key in keys), "url")
    return f"{kind} mirror"  # no key of it, so that the place of a mistake says which parts are keys


Mirror = Annotated[
    Annotated[UrlMirror, Tag("url mirror")]
    | Annotated[ArchiveMirror, Tag("archive mirror")]
    | Annotated[PackageMirror, Tag("package mirror")]
    | Annotated[InstalledMirror, Tag("installed mirror")],
    Discriminator(kind_of_mirror),
]


class Source(Section):
    files: dict[Name, FileSum]
    mirrors: Annotated[list[Mirror], Field(min_length=1), Unhashed()]


class Folder(Section):
    """A folder on this machine, as it was when `ratchet init` looked at it."""

    folder: Annotated[str, Unhashed()]
    files: Positive
    sha256: Sha256  # of the sorted list of [relative path, SHA-256 of the file]


class Pretrained(Section):
    """A pretrained text encoder with known sums: config.json, tokenizer.json, model.safetensors."""

    name: Name
    source: Source


class Hub(Section):
    """Any encoder of Hugging Face, by its name or by a local folder."""

    name: Literal["hub"]
    path: str


class NoEncoder(Section):
    name: Literal["none"]


def kind_of_encoder(encoder: Any) -> str:
    name = encoder.get("name") if isinstance(encoder, dict) else getattr(encoder, "name", None)
    return name if name in ("none", "hub") else "pretrained"


AnyEncoder = Annotated[
    Annotated[NoEncoder, Tag("none")] | Annotated[Hub, Tag("hub")] | Annotated[Pretrained, Tag("pretrained")],
    Discriminator(kind_of_encoder),
]


class FileFormat(Section):
    """How a table lies in its file, packed or not; separator is of CSV alone, header and skip_lines of sheets too."""

    name: Literal["csv", "parquet", "jsonl", "json", "excel"]
    separator: Annotated[str, Field(min_length=1, max_length=1)]  # a blank: any number of blanks and tabs
    encoding: str  # as Python names it: utf-8, latin-1, utf-16
    header: bool  # whether the first line names the columns; if not, prepare.columns and then the target do, in order
    skip_lines: Annotated[int, Field(ge=0)]  # before the header


class Column(Section):
    name: str
    type: Literal["number", "category", "date", "ignore"]
    format: str | None = None  # of numbers how they write 1234.5, of dates as strptime has it; null: plainly, or ISO

    @model_validator(mode="after")
    def has_a_known_format(self) -> "Column":
        if self.type == "number" and self.format is not None:
            known_numbers(self.format)
        return self


def known_numbers(form: str) -> str:
    if form not in NUMBERS:
        raise ValueError(f"the format of numbers is one of {', '.join(map(repr, NUMBERS))}, or null: plain ones")
    return form


NumberFormat = Annotated[str, AfterValidator(known_numbers)]


def each_once(columns: list[Column]) -> list[Column]:
    names = [column.name for column in columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"each column has one entry; there are more of {', '.join(twice)}")
    return columns


class SplitRule(Section):
    validation: Annotated[float, Field(gt=0, lt=1)]  # share of the rows
    test: Annotated[float, Field(gt=0, lt=1)]
    group: str | None  # column: rows of one value stay on one side
    time: str | None  # column: the latest rows are test, those before validation


class PrepareMnist(Section):
    validation: Positive  # rows, the last of the published train split
    scaling: Scaling
    max_quarantined: Annotated[Share, Unhashed()]


class PrepareImages(Section):
    validation: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    size: Annotated[list[Positive], Field(min_length=2, max_length=2)]  # height, width in pixels
    channels: Literal[1, 3]
    background: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]  # R, G, B
    scaling: Scaling
    max_quarantined: Annotated[Share, Unhashed()]


class PrepareReviews(Section):
    validation: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    max_length: Positive  # tokens; longer texts are cut
    max_quarantined: Annotated[Share, Unhashed()]


class PrepareText(Section):
    format: FileFormat
    text: str  # column
    target: str  # column
    target_format: NumberFormat | None
    target_marks: list[str]
    missing_marks: list[str]
    task: Literal["classification", "regression"]
    split: SplitRule
    max_length: Positive
    max_quarantined: Annotated[Share, Unhashed()]


class PrepareBehaviour(Section):
    window: Positive  # items of a user's past that the net sees, the latest
    ties: Literal["item", "file"]  # ratings of one second, in order of the items' or of the ratings' lines
    max_quarantined: Annotated[Share, Unhashed()]


class PrepareTable(Section):
    format: FileFormat
    target: str
    target_format: NumberFormat | None  # of numbers, as in Column
    target_marks: list[str]  # the same for the target, whose classes may be called so
    missing_marks: list[str]  # a cell of one of these words, in lower, upper or title case, is missing
    task: Literal["classification", "regression"]
    # All but the target; in a file without a header the target may stand among them, of type ignore, to mark its place
    columns: Annotated[list[Column], AfterValidator(each_once)]
    split: SplitRule
    scaling: Scaling
    missing: Literal["fill", "drop"]  # fill: a number's median on train and a flag; a category of its own
    # Numbers further than outlier_iqr × IQR from train's quartiles: clip everywhere, or drop such rows of train
    outliers: Literal["keep", "clip", "drop"]
    outlier_iqr: Rate
    duplicates: Literal["keep", "drop"]  # rows that are equal in every column; those that are kept stay on one side
    max_categories: Positive  # of a column, the most frequent on train; the rest share one
    max_quarantined: Annotated[Share, Unhashed()]
    slices: Annotated[list[str], Unhashed()]  # columns by whose values the report scores the test rows


class MnistData(Section):
    records: ClassVar[str] = "image"  # the kind of what it prepares
    task: ClassVar[str] = "classification"
    name: Annotated[Name, Unhashed()]
    kind: Literal["mnist"]
    source: Source
    prepare: PrepareMnist


class ImagesData(Section):
    records: ClassVar[str] = "image"  # the kind of what it prepares
    task: ClassVar[str] = "classification"
    name: Annotated[Name, Unhashed()]
    kind: Literal["images"]
    source: Folder
    prepare: PrepareImages


class ReviewsData(Section):
    records: ClassVar[str] = "text"  # the kind of what it prepares
    task: ClassVar[str] = "classification"
    name: Annotated[Name, Unhashed()]
    kind: Literal["reviews"]
    source: Source
    prepare: PrepareReviews


class TextData(Section):
    records: ClassVar[str] = "text"  # the kind of what it prepares
    task: ClassVar[None] = None  # data.prepare.task
    name: Annotated[Name, Unhashed()]
    kind: Literal["text"]
    source: Source
    prepare: PrepareText


class MovielensData(Section):
    records: ClassVar[str] = "behaviour"  # the kind of what it prepares
    task: ClassVar[str] = "ranking"
    name: Annotated[Name, Unhashed()]
    kind: Literal["movielens"]
    source: Source
    prepare: PrepareBehaviour


class TableData(Section):
    records: ClassVar[str] = "table"  # the kind of what it prepares
    task: ClassVar[None] = None  # data.prepare.task
    name: Annotated[Name, Unhashed()]
    kind: Literal["table"]
    source: Source
    prepare: PrepareTable


AnyData = Annotated[
    MnistData | ImagesData | ReviewsData | TextData | MovielensData | TableData, Field(discriminator="kind")
]


def of_kind(data: Section, kind: type[Data]) -> Data:
    """The settings of data, of the class that whoever asks was written for."""
    if not isinstance(data, kind):
        raise TypeError(f"the settings of data are {type(data).__name__}, not {kind.__name__}")
    return data
