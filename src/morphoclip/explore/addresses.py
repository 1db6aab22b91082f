"""Addresses of pages and pictures."""

from urllib.parse import quote

from morphoclip.explore.data import ExploreData


def site_address(key: str) -> dict[str, str]:
    """A site's name and the address of its picture."""
    plate_name, _, name = key.rpartition("/")
    return {"name": name, "url": f"/picture/{_part(plate_name)}/{_part(name)}.webp"}


def picture_of(data: ExploreData, plate_name: str, name: str) -> str | None:
    """Address of the first site's picture of a well."""
    keys = data.cells.of(plate_name, name)
    return site_address(keys[0])["url"] if keys else None


def control_of(data: ExploreData, plate_name: str, name: str) -> str | None:
    """Address of the picture of a control of the same plate."""
    control = data.cells.control_beside(plate_name, name)
    return picture_of(data, plate_name, control) if control else None


def plate_url(name: str) -> str:
    """Address of a plate."""
    return f"/plate/{_part(name)}"


def well_url(plate_name: str, name: str) -> str:
    """Address of a well."""
    return f"/well/{_part(plate_name)}/{_part(name)}"


def treatment_url(modality: str, sample: str) -> str:
    """Address of a treatment."""
    return f"/treatment/{_part(modality)}/{_part(sample)}"


def _part(text: str) -> str:
    return quote(str(text), safe="")
