"""The images of plates that are told apart by names of files and folders."""

from collections.abc import Iterable, Mapping

from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.imaging.file_names import Channel, ImageKey, NamePattern
from morphoclip.imaging.sites import FoundImage
from morphoclip.imaging.tiff import UnusablePlane, channels_of


class NamedImages:
    """The images of each plate of a folder, told apart by their names.

    Args:
        files: The folder.
        pattern: How images are named.
        channels: Channel names to what names (or, of files that hold several, numbers and OME
            metadata) call them.
        wanted: Barcodes; folders that are known to hold other plates are not listed.

    Raises:
        InputError: Two folders are of one plate.
    """

    def __init__(
        self,
        files: ImageFiles,
        pattern: NamePattern,
        channels: Mapping[str, Channel],
        wanted: Names | None = None,
    ) -> None:
        self._files, self._pattern, self._channels = files, pattern, channels
        self._wanted = wanted
        self._folder_of: dict[str, str] = {}
        self._keys: dict[str, dict[str, ImageKey]] = {}
        self._seen: set[str] = set()
        self.others: list[str] = []
        """Files that have no name of an image."""
        for folder in files.folders():
            plate = pattern.plate_of_folder(folder)
            if plate is None:
                self._sort(files.files(folder))
            elif plate in self._folder_of:
                raise InputError(
                    f"plate {plate} has two folders, {self._folder_of[plate]} and {folder}; move "
                    "the one that is not wanted out of the batch"
                )
            else:
                self._folder_of[plate] = folder
        self._sort(files.files())

    @property
    def plates(self) -> list[str]:
        """Barcodes, sorted.

        Raises:
            InputError: There are files, and not one has the name of an image.
        """
        found = sorted(set(self._folder_of) | self._seen)
        if not found and self.others:
            raise InputError(self._not_named(f"the folder {self._files.name}", self.others))
        return found

    def of(self, plate: str) -> list[FoundImage]:
        """All images of a plate.

        Raises:
            InputError: Its folder holds none.
        """
        if plate in self._folder_of:
            folder = self._folder_of[plate]
            paths = self._files.files(folder)
            if not paths:
                raise InputError(
                    f"plate folder {folder} is empty: download its images again, or leave the "
                    "plate out with ingestion.plates"
                )
            self._sort(paths, plate)
            if plate not in self._keys:
                raise InputError(self._not_named(f"plate folder {folder}", paths))
        found = self._keys[plate]
        if self._pattern.names_channel:
            return [_found(plate, path, key, key.channel, 0) for path, key in found.items()]
        called = self._channels_in(plate, next(iter(found)))
        return [
            _found(plate, path, key, channel, number)
            for path, key in found.items()
            for number, channel in enumerate(called, start=1)
        ]

    def _sort(self, paths: Iterable[str], plate: str | None = None) -> None:
        """Sort paths by plate: the one given, or what each says."""
        for path in paths:
            key = self._pattern.read(path)
            if key is None:
                self.others.append(path)
                continue
            own = plate or key.plate or self._files.name.split("__", 1)[0]
            self._seen.add(own)
            if self._wanted is None or own in self._wanted:
                self._keys.setdefault(own, {})[path] = key

    def _channels_in(self, plate: str, path: str) -> list[Channel]:
        """What the channels of a plate's files are called: as its first file says."""
        try:
            names = channels_of(self._files.read(path))
        except UnusablePlane as finding:
            raise InputError(
                f"the first image of plate {plate}, {path}, cannot be read ({finding}); the "
                "pattern ingestion.image_names has no group channel, so that each file should "
                "hold all channels of its site"
            ) from finding
        if any(isinstance(called, int) for called in self._channels.values()):
            return list(range(1, len(names) + 1))
        return [name or number for number, name in enumerate(names, start=1)]

    def _not_named(self, where: str, paths: list[str]) -> str:
        names = [path.split("/", 1)[-1] for path in paths]
        return (
            f"{where} holds {len(paths)} file(s), none of them named as ingestion.image_names "
            f"({self._pattern.given}) says: {example_of(names)}; it describes names such as "
            f"{self._pattern.example}"
        )


def _found(plate: str, path: str, key: ImageKey, channel: Channel, number: int) -> FoundImage:
    return FoundImage(plate, key.well, key.site, channel, path, number, key.plane, key.time)
