"""``make bench``: a table on the screen and a JSON in data/08_reporting/bench."""

import argparse
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.bucket import extracting, fetching
from benchmarks.cuda import Precision, epoch, extraction
from benchmarks.evaluation import retrieval
from benchmarks.growth import PATHS, growth
from benchmarks.harness import Timing
from benchmarks.images import overlap, synthetic_plane, tiff_bytes, tiff_to_input
from benchmarks.lora import lora_step
from benchmarks.peaks import JOBS, peak
from benchmarks.scale import EPOCHS, SIZES, Measured, epochs, exponent, measured
from benchmarks.text import text_features
from benchmarks.training import loading_features, training_epoch

RESULTS = Path("data/08_reporting/bench/bench.json")


def main() -> None:
    """Run all benchmarks and show them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under two minutes")
    quick = parser.parse_args().quick
    rounds, sites = (5, 24) if quick else (25, 96)
    console = Console()
    results: dict[str, object] = {"cores": os.cpu_count(), "machine": platform.machine()}
    for name, content in _images():
        title = f"{name} TIFF to model input, one image, one thread"
        timings = tiff_to_input(content, rounds=rounds)
        console.print(_table(title, timings))
        results[title] = [asdict(timing) for timing in timings]
    words, timings = text_features(rounds=2 if quick else 3)
    title = f"{words} to text features, a small ModernBERT"
    console.print(_table(title, timings))
    results[title] = [asdict(timing) for timing in timings]
    n_wells = 32 if quick else 256
    for share in (0.0, 0.1):
        title = f"training epoch, {n_wells} wells, {share:.0%} with 16 sites"
        timings = training_epoch(n_wells, share_with_16=share, rounds=2 if quick else 3)
        console.print(_table(title, timings))
        results[title] = [asdict(timing) for timing in timings]
    timings, megabytes = loading_features(32 if quick else 192, rounds=rounds // 5 + 2)
    console.print(", ".join(f"{name} {size:.0f} MB" for name, size in megabytes.items()))
    title = "features from disk"
    console.print(_table(title, timings))
    results[title] = [asdict(timing) for timing in timings]
    n_wells = 16 if quick else 64
    title = f"LoRA step, {n_wells} wells, a small backbone"
    timings = lora_step(n_wells, micro_batch=8, rounds=2 if quick else 5)
    console.print(_table(title, timings))
    results[title] = [asdict(timing) for timing in timings]
    n_wells, n_texts = (4000, 200) if quick else (19_000, 816)
    title = f"retrieval, {n_wells:,} wells x {n_texts} texts, both directions"
    timings = retrieval(n_wells, n_texts, rounds=3)
    console.print(_table(title, timings))
    results[title] = [asdict(timing) for timing in timings]
    table = Table(title=f"Decoding beside a backbone, {sites} sites, two reader threads")
    for column in ("backbone costs", "decoding s", "backbone s", "both s", "both / larger"):
        table.add_column(column, justify="right")
    rows = []
    for cost in (0.5, 1.0, 2.0):
        decoding, backbone, both = overlap(cost, sites=sites)
        share = both / max(decoding, backbone)
        rows.append({"cost": cost, "decoding": decoding, "backbone": backbone, "both": both})
        table.add_row(f"{cost} x", *(f"{s:.2f}" for s in (decoding, backbone, both, share)))
    console.print(table)
    results["overlap"] = rows
    for pause in (0.0, 0.03):
        for n_files, size in ((3000, 64_000), (200, 2_000_000), (60, 10_000_000)):
            n_files = n_files // 10 if quick else n_files
            title = f"{n_files:,} files of {size / 1e6:g} MB of a bucket that waits {pause:g} s"
            timings = fetching(n_files, size, rounds=2 if quick else 5, pause=pause)
            console.print(_table(title, timings))
            results[title] = [asdict(timing) for timing in timings]
    n_sites = 9 if quick else 90
    title = f"{n_sites} sites to features, a small backbone"
    timings = extracting(n_sites, rounds=2 if quick else 5)
    console.print(_table(title, timings))
    results[title] = [asdict(timing) for timing in timings]
    if not quick:
        _sizes(console, results)
    if torch.cuda.is_available():
        _on_device("cuda", console, results, sites=96 if quick else 480)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2))
    console.print(f"written to {RESULTS}")


def _sizes(console: Console, results: dict[str, object]) -> None:
    table = Table(title="growth with the work: 1, 4 and 16 times as much")
    for column in ("path, smallest size", "seconds", "more MB", "exponent of time"):
        table.add_column(column, justify="left" if column.startswith("path") else "right")
    grown = [growth(path) for path in PATHS]
    for own in grown:
        table.add_row(
            own.path,
            " / ".join(f"{s:.3f}" for s in own.seconds),
            " / ".join(f"{m:.0f}" for m in own.megabytes),
            f"{own.exponent:.2f}",
        )
    console.print(table)
    results["growth"] = [asdict(own) for own in grown]
    table = Table(title="memory of the largest plates and tables")
    for column in ("job", "seconds", "MB before", "MB at most"):
        table.add_column(column, justify="left" if column == "job" else "right")
    peaks = [peak(job) for job in JOBS]
    for job in peaks:
        table.add_row(job.job, f"{job.seconds:.0f}", f"{job.held:.0f}", f"{job.peak:.0f}")
    console.print(table)
    results["peaks"] = [asdict(job) for job in peaks]
    table = Table(title="growth towards JUMP's size (all of it: make bench-scale)")
    for column in ("job, size in", "sizes", "seconds", "MB at most", "exponents"):
        table.add_column(column, justify="left" if column.startswith("job") else "right")
    towards = list(_towards_jump())
    for name, of_job in pd.DataFrame(map(asdict, towards)).groupby("job", sort=False):
        grown = [exponent(list(of_job["size"]), list(of_job[c])) for c in ("seconds", "megabytes")]
        table.add_row(
            str(name),
            " / ".join(f"{size:,}" for size in of_job["size"]),
            " / ".join(f"{seconds:.1f}" for seconds in of_job["seconds"]),
            " / ".join(f"{megabytes:.0f}" for megabytes in of_job["megabytes"]),
            f"{grown[0]:.2f}, {grown[1]:.2f}",
        )
    console.print(table)
    results["scale"] = [asdict(own) for own in towards]


def _towards_jump() -> Iterator[Measured]:
    """Every job of JUMP's size at its smallest size, and at a quarter of that."""
    for n_plates in (EPOCHS[0] // 4, EPOCHS[0]):
        yield from epochs(n_plates)
    for job, sizes in SIZES.items():
        for size in (sizes[0] // 4, sizes[0]):
            yield measured(job, size)


def _on_device(device: str, console: Console, results: dict[str, object], *, sites: int) -> None:
    name = torch.cuda.get_device_name(device)
    table = Table(title=f"{sites} sites to features of a ViT-L on one {name}")
    for column in ("precision", "images/s", "of the model's own", "peak GB"):
        table.add_column(column, justify="left" if column == "precision" else "right")
    precisions: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
    extracted = [extraction(device, precision, sites=sites) for precision in precisions]
    for own in extracted:
        table.add_row(
            own.precision,
            f"{own.images_per_second:.0f}",
            f"{own.share:.0%}",
            f"{own.gigabytes:.1f}",
        )
    console.print(table)
    trained = epoch(device, n_wells=10 * sites)
    console.print(
        f"training epoch, {trained.n_wells:,} wells of 9 sites on the device: "
        f"{trained.seconds:.2f} s, peak {trained.gigabytes:.1f} GB"
    )
    results[name] = [asdict(own) for own in (*extracted, trained)]


def _images() -> Iterator[tuple[str, bytes]]:
    """Synthetic planes; a real one where ``MORPHOCLIP_TEST_DATA`` has some."""
    plane = synthetic_plane()
    yield "LZW", tiff_bytes(plane, compression="lzw")
    yield "uncompressed", tiff_bytes(plane, compression=None)
    place = os.environ.get("MORPHOCLIP_TEST_DATA")
    if place:
        paths = sorted(Path(place).glob("gallery/**/*.tiff"))
        yield "real CPJUMP1 LZW", paths[0].read_bytes()


def _table(title: str, timings: list[Timing]) -> Table:
    table = Table(title=title)
    for column in ("way", "ms", "times faster", "range"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for timing in timings:
        table.add_row(
            timing.name,
            f"{1000 * timing.seconds:.2f}",
            f"{timing.times_faster:.2f}",
            f"{timing.lowest:.2f} - {timing.highest:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
