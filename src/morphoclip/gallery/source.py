"""``params:ingestion``: where plates are, and which of them to work on."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from morphoclip.config import ColumnNames, Config, Names
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.file_names import NamePattern
from morphoclip.imaging.sites import FoundImage
from morphoclip.well_names import well_name, well_position


def _all_or_names(value: Any) -> Any:
    if value is None or value == "":
        raise ValueError("write all, or names as in BR00117010+BR00117011")
    return None if value == "all" else value


class SourceConfig(Config):
    """Where the gallery is; the catalog builds its paths from the same globals."""

    root: str = Field(description="Folder or bucket that holds images/ and workspace/.")
    batch: str = Field(description="The batch to read: a folder below images/ and workspace/.")
    wells: str | None = Field(None, description="One table of all wells, optional.")
    jump: str | None = Field(None, description="Folder of JUMP's production metadata, optional.")
    profiles: str | None = Field(None, description="Profiles made elsewhere, for `profiles`.")
    images: str | None = Field(None, description="Folder of images, where not the gallery's.")
    experiment_metadata: str | None = Field(None, description="experiment-metadata.tsv, optional.")
    annotations: str | None = Field(None, description="Compound table with moa_list, optional.")
    gene_annotations: str | None = Field(None, description="gene_annotations.tsv, optional.")
    official_splits: str | None = Field(None, description="cpjump1_metadata.csv, optional.")
    description: str | None = Field(None, description="Said about the data at the top of a report.")
    endpoint_url: str | None = Field(None, description="Of an S3 store that is not Amazon's.")
    checksums: bool = Field(
        True, description="Compare what is read of a bucket with ETags that look like an MD5."
    )


class IngestionConfig(Config):
    """``params:ingestion``."""

    source: SourceConfig
    experiment: Literal["cpjump1", "other"] = Field(
        "cpjump1", description="cpjump1 asserts its published counts; other asserts none."
    )
    well_columns: ColumnNames = Field(
        {}, description="What the wells table calls our columns, where not by our names."
    )
    image_names: str = Field(
        "opera_phenix", description="How images are named: a preset, or a pattern with groups."
    )
    plates: Annotated[Names | None, BeforeValidator(_all_or_names)] = Field(
        None, description="Barcodes or, of JUMP, selections; `all` takes every plate there is."
    )

    wells: Annotated[Names | None, BeforeValidator(_all_or_names)] = Field(
        None, description="Wells whose images are read; `all` takes every well."
    )
    sites: Annotated[Names | None, BeforeValidator(_all_or_names)] = Field(
        None, description="Sites of each well whose images are read; `all` takes every site."
    )

    @property
    def barcodes(self) -> Names | None:
        """The plates to work on, where they are named one by one; None takes what was ingested."""
        selects = any("/" in entry for entry in self.plates or ())
        return None if selects else self.plates

    @model_validator(mode="after")
    def _selections_are_of_jump(self) -> Self:
        selections = [entry for entry in self.plates or () if "/" in entry]
        if selections and self.source.jump is None:
            raise ValueError(
                f"plates names {selections[0]}, a selection by JUMP's metadata, and "
                "ingestion.source.jump names no folder of these; give barcodes, or that folder"
            )
        if self.source.jump is not None and self.source.wells is not None:
            raise ValueError("source.wells and source.jump both describe wells; name one of them")
        return self

    @field_validator("wells")
    @classmethod
    def _are_wells(cls, given: Names | None) -> Names | None:
        return None if given is None else tuple(well_name(*well_position(well)) for well in given)

    @field_validator("sites")
    @classmethod
    def _are_numbers(cls, given: Names | None) -> Names | None:
        if odd := [site for site in given or () if not site.isdecimal()]:
            raise ValueError(f"{odd[0]!r} is no number of a site: write all, or 1+2")
        return given

    @field_validator("image_names")
    @classmethod
    def _is_a_pattern(cls, given: str) -> str:
        NamePattern(given)
        return given


def redact_path(place: str) -> str:
    """A place as others may see it: no path of somebody's disk, no key of somebody's bucket."""
    scheme, separator, rest = place.rpartition("://")
    if separator and scheme != "file":
        return f"{scheme}://{rest.rpartition('@')[2]}"
    path = PurePath(rest)
    return f".../{path.name}" if path.is_absolute() else place


def choose_plates(
    available: list[str], listed: list[str], wanted: Names | None, listing: str
) -> list[str]:
    """The barcodes to work on, in order.

    Args:
        available: Barcodes that have images or profiles.
        listed: Barcodes whose wells are known.
        wanted: `ingestion.plates`; None takes all available ones.
        listing: The table that says so.

    Raises:
        InputError: A wanted plate is not there, or a plate is there that no barcode map knows.
    """
    if wanted is not None:
        absent = sorted(set(wanted) - set(available))
        if absent:
            raise InputError(
                f"ingestion.plates names {len(absent)} plate(s) that are not there: "
                f"{example_of(absent)}; there are {len(available)}: {example_of(sorted(available))}"
            )
    chosen = sorted(available if wanted is None else set(wanted))
    if not chosen:
        raise InputError(
            "no plate is there: the folder of images holds none; check ingestion.source.images, or "
            "ingestion.source.root and ingestion.source.batch"
        )
    strangers = [barcode for barcode in chosen if barcode not in set(listed)]
    if strangers:
        raise InputError(
            f"{len(strangers)} plate(s) have images and are not in {listing}: "
            f"{example_of(strangers)} (there: {example_of(sorted(listed))}); add them there, or "
            "name the plates to work on in ingestion.plates"
        )
    return chosen


def selected_images(
    plate: str, images: Iterable[FoundImage], ingestion: IngestionConfig
) -> list[FoundImage]:
    """The images of a plate's wells and sites that `ingestion.wells` and `sites` name.

    Raises:
        InputError: A plate has none of these.
    """
    found = list(images)
    wells, sites = ingestion.wells, ingestion.sites
    chosen = [
        image
        for image in found
        if (wells is None or image.well in wells) and (sites is None or str(image.site) in sites)
    ]
    if found and not chosen:
        raise InputError(
            f"plate {plate} has no image of wells {'+'.join(wells or ['all'])}, sites "
            f"{'+'.join(sites or ['all'])}: it has wells "
            f"{example_of(sorted({image.well for image in found}))} and sites "
            f"{example_of(map(str, sorted({image.site for image in found})))}; check "
            "ingestion.wells and ingestion.sites"
        )
    return chosen
