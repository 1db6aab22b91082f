"""``kedro init-plates``: the command; what it does is in `plate_setup`, which imports more."""

import click


@click.command("init-plates")
@click.option("--images", required=True, help="Folder of images, OME-Zarr plates, or LoadData.")
@click.option("--wells", default=None, help="Table of wells: CSV, TSV, Parquet or .xlsx.")
@click.option("--names", default=None, help="Preset or pattern of file names; guessed by default.")
@click.option("--channels", default=None, help="As in DNA=1+ER=2: our name=the images' name.")
@click.option("--columns", default=None, help="As in plate=Barcode+perturbation=Compound ID.")
@click.option("--name", default=None, help="Folder of the results below data/; the images' own.")
@click.option("--env", "-e", default="local", show_default=True, help="Folder of conf/ to write.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--replace", is_flag=True, help="Replace files that are there.")
def init_plates(**options: str | bool | None) -> None:
    """Look at plates of your own, and write how they are read.

    Says which images and wells were found and what could not be placed, then writes globals.yml and
    parameters.yml below conf/<env>, after asking. Without --wells it writes a table of the imaged
    wells to fill in.
    """
    from morphoclip.cli.plate_setup import PlateSetup, set_up_plates

    set_up_plates(PlateSetup(**options))  # type: ignore[arg-type]
