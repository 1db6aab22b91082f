"""Images that a LoadData table lists, as CellProfiler reads it and the gallery publishes it."""

from collections.abc import Callable, Iterator

import pandas as pd

from morphoclip.columns import BATCH, PLATE, SOURCE
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.file_names import channel_key
from morphoclip.imaging.sites import FoundImage
from morphoclip.table_checks import require_rows, wells_of
from morphoclip.well_names import plate_name

_FILE = "the LoadData table (ingestion.source.images)"
_PLATE, _WELL, _SITE = "Metadata_Plate", "Metadata_Well", "Metadata_Site"


class TablePerPlate:
    """The images of plates that have a LoadData table each.

    Args:
        place: Path of the tables with ``{plate}``, and maybe ``{batch}`` and ``{source}``.
        read: Reads a table, all text.
        plates: Barcode, batch and source of the plates whose wells are known.

    Raises:
        InputError: The path names a part that is not known of a plate.
    """

    def __init__(
        self, place: str, read: Callable[[str], pd.DataFrame], plates: pd.DataFrame
    ) -> None:
        self._read = read
        self._place_of: dict[str, str] = {}
        for barcode, batch, source in plates[[PLATE, BATCH, SOURCE]].itertuples(index=False):
            known = {"plate": barcode, "batch": batch, "source": source}
            given = {name: value for name, value in known.items() if isinstance(value, str)}
            try:
                self._place_of[barcode] = place.format(**given)
            except (KeyError, IndexError, ValueError) as error:
                raise InputError(
                    f"ingestion.source.images, {place}, has a part in braces that is not known of "
                    f"plate {barcode} ({error}); there are {', '.join(given)}: see the columns "
                    "batch and source of the wells table"
                ) from error
        self.others: list[str] = []
        """Files that have no name of an image: none here."""

    @property
    def plates(self) -> list[str]:
        """Barcodes, sorted."""
        return sorted(self._place_of)

    def of(self, plate: str) -> list[FoundImage]:
        """All images of a plate.

        Raises:
            InputError: It has no table, or one of other plates.
        """
        place = self._place_of[plate]
        try:
            table = self._read(place)
        except FileNotFoundError as error:
            raise InputError(
                f"plate {plate} has no LoadData table at {place}; check ingestion.source.images, "
                "or leave the plate out with ingestion.plates"
            ) from error
        listed = ListedImages(table)
        if plate not in listed.plates:
            raise InputError(
                f"the LoadData table of plate {plate} lists images of {example_of(listed.plates)}"
            )
        return listed.of(plate)


class ListedImages:
    """The images of each plate that a LoadData table lists.

    Channels are called as its columns call them: ``FileName_OrigDNA`` and ``PathName_OrigDNA``, or
    ``URL_OrigDNA``, are of DNA.

    Args:
        table: All text.

    Raises:
        InputError: A column is missing, or a row has no plate, well or site.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        missing = sorted({_PLATE, _WELL, _SITE} - set(table.columns))
        names = [str(column) for column in table.columns]
        found = _channels_of(names)
        if missing or not found:
            lacking = missing or [
                "FileName_Orig<channel> and PathName_Orig<channel>, or URL_Orig<channel>"
            ]
            raise InputError(
                f"{_FILE} lacks the column(s) {', '.join(lacking)}; it has "
                f"{example_of(names, limit=8)}"
            )
        require_rows(table, set(), _FILE)
        blank = table[(table[[_PLATE, _WELL, _SITE]] == "").any(axis=1)]
        numbered = table[_SITE].str.fullmatch(r"\d+")
        if len(blank) or not numbered.all():
            line = (blank if len(blank) else table[~numbered]).index[0] + 2
            raise InputError(
                f"{_FILE} has {max(len(blank), int((~numbered).sum()))} row(s) without a plate, a "
                f"well or the number of a site, e.g. line {line}"
            )
        self._columns = found
        self._illumination = {
            channel: (f"PathName_Illum{channel}", f"FileName_Illum{channel}") for channel in found
        }
        named = table[_PLATE].map(plate_name)
        self._of_plate = {str(plate): rows for plate, rows in table.groupby(named)}
        self.others: list[str] = []
        """Files that have no name of an image: none here."""

    @property
    def plates(self) -> list[str]:
        """Barcodes, sorted."""
        return sorted(self._of_plate)

    def of(self, plate: str) -> list[FoundImage]:
        """All images of a plate; a blank name is no image."""
        return list(self._images(plate, self._of_plate[plate]))

    def _images(self, plate: str, rows: pd.DataFrame) -> Iterator[FoundImage]:
        wells = dict(zip(rows[_WELL], wells_of(rows[_WELL], _FILE), strict=True))
        for channel, columns in self._columns.items():
            places = _places(rows, *columns)
            functions = _places(rows, *self._illumination[channel])
            key = channel_key(channel)
            for well, site, path, function in zip(
                rows[_WELL], rows[_SITE], places, functions, strict=True
            ):
                if path:
                    yield FoundImage(
                        plate, wells[well], int(site), key, path, illumination=function or None
                    )


def _places(rows: pd.DataFrame, folder: str | None, name: str) -> list[str]:
    """Path of each row's file; "" where it names none."""
    blank = [""] * len(rows)
    names, folders = rows.get(name, blank), rows.get(folder, blank)
    return [
        f"{at.rstrip('/')}/{file}" if at and file else file
        for at, file in zip(folders, names, strict=True)
    ]


def _channels_of(columns: list[str]) -> dict[str, tuple[str | None, str]]:
    """Channel -> its columns of folders and of names, or of URLs."""
    found: dict[str, tuple[str | None, str]] = {}
    for column in columns:
        kind, _, rest = column.partition("_")
        if rest.startswith("Illum"):
            continue
        channel = rest.removeprefix("Orig")
        match kind:
            case "URL":
                found[channel] = (None, column)
            case "FileName" if channel not in found:
                folder = f"PathName_{rest}"
                found[channel] = (folder if folder in columns else None, column)
    return found
