"""A training epoch, and loading features: ours beside the spec's text."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from benchmarks.harness import Timing, Way, interleave
from morphoclip.columns import (
    CONDITION,
    GENE,
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT_DIGEST,
    ROLE,
    SUBSET,
    TARGET_LIST,
    WELL,
)
from morphoclip.datasets.torch_file import TorchFileDataset
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.imaging.sites import site_name
from morphoclip.models.config import ModelConfig
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData, training_data
from morphoclip.training.epoch import epoch_rows, train_one_epoch
from morphoclip.training.optim import build_optimizer, warmup_then_cosine
from morphoclip.training.trainer import initial_state
from morphoclip.well_names import well_name
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch

CHANNELS, WIDTH, TEXT = 5, 1024, 768
MODEL = ModelConfig(proj_dropout=0.0)


@dataclass(frozen=True)
class LiteralData:
    """The reference's cache: one tensor a well in a dictionary, labels as text."""

    features: dict[str, Tensor]
    text: dict[str, Tensor]
    perturbation: dict[str, str]


def synthetic_wells(n_wells: int, *, share_with_16: float) -> Wells:
    """Wells of two plates, two of each prompt, with 9 or 16 sites of random features."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.full((n_wells,), 9)
    counts[: round(share_with_16 * n_wells)] = 16
    counts = counts[torch.randperm(n_wells, generator=generator)]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    tokens = torch.randn(int(counts.sum()), CHANNELS, WIDTH, generator=generator).half()
    n_prompts = n_wells // 2
    codes = torch.arange(n_wells) % n_prompts
    table = pd.DataFrame(
        {
            PLATE: [f"P{n // n_prompts}" for n in range(n_wells)],
            WELL: [well_name(n % 384 // 24 + 1, n % 24 + 1) for n in range(n_wells)],
            MODALITY: "compound",
            CONDITION: None,
            ROLE: "trt",
            N_SITES: counts.tolist(),
            PROMPT_DIGEST: [f"{int(code):04d}" for code in codes],
            GENE: [f"G{int(code)}" for code in codes],
            TARGET_LIST: None,
        }
    )
    digests = tuple(f"{n:04d}" for n in range(n_prompts))
    text = torch.randn(n_prompts, TEXT, generator=generator)
    return Wells(table, WellBatch(tokens, offsets), codes, text, digests, {"a": "1"}, {"b": "2"})


class LiteralTrainer:
    """The spec's loop: padded wells, every row of the encoder, labels compared as text."""

    def __init__(self, data: TrainingData, config: TrainingConfig) -> None:
        self.config = config
        self.model = initial_state(data, MODEL, config, "cpu").model
        groups = build_optimizer(
            self.model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
        ).param_groups
        self.optimizer = torch.optim.AdamW(
            [{key: group[key] for key in ("params", "weight_decay")} for group in groups],
            lr=config.learning_rate,
        )
        self.schedule = warmup_then_cosine(
            self.optimizer, warmup_steps=config.warmup_steps, total_steps=10**6
        )
        wells = data.wells
        sites = wells.sites.tokens.float().split(wells.sites.n_sites.tolist())
        prompts = wells.prompt_of_well.tolist()
        self.data = LiteralData(
            {str(n): own.clone() for n, own in enumerate(sites)},
            {str(n): wells.text[code].clone() for n, code in enumerate(prompts)},
            {str(n): f"perturbation {code}" for n, code in enumerate(prompts)},
        )

    def collate(self, keys: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Features ``(B, max_sites, C, D)``, ``site_mask``, text ``(B, D_text)``."""
        most = max(len(self.data.features[key]) for key in keys)
        features = torch.zeros(len(keys), most, CHANNELS, WIDTH)
        mask = torch.zeros(len(keys), most, dtype=torch.bool)
        for row, key in enumerate(keys):
            own = self.data.features[key]
            features[row, : len(own)] = own
            mask[row, : len(own)] = True
        return features, mask, torch.stack([self.data.text[key] for key in keys])

    def loss(self, keys: list[str]) -> Tensor:
        """One batch's loss."""
        features, mask, text = self.collate(keys)
        image = literal_image(self.model, features, mask)
        words = normalize(self.model.text_head(text), dim=-1)
        names = [self.data.perturbation[key] for key in keys]
        labels = torch.zeros(len(keys), len(keys))
        for i, one in enumerate(names):
            for j, other in enumerate(names):
                labels[i, j] = 1.0 if one == other else 0.0
        logits = self.model.logit_scale.exp() * image @ words.T
        rows = labels / labels.sum(1, keepdim=True)
        columns = labels.T / labels.T.sum(1, keepdim=True)
        image_to_text = -(rows * log_softmax(logits, dim=1)).sum(1).mean()
        text_to_image = -(columns * log_softmax(logits.T, dim=1)).sum(1).mean()
        return (image_to_text + text_to_image) / 2

    def epoch(self, batches: list[Tensor]) -> list[float]:
        """Losses of all steps."""
        self.model.train()
        losses = []
        for rows in batches:
            self.optimizer.zero_grad()
            loss = self.loss([str(row) for row in rows.tolist()])
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip_norm)
            self.optimizer.step()
            self.schedule.step()
            with torch.no_grad():
                self.model.logit_scale.clamp_(0, self.config.max_logit_scale)
            losses.append(float(loss.detach()))
        return losses


def literal_image(model: MorphoCLIP, features: Tensor, mask: Tensor) -> Tensor:
    """The spec's lines: all rows of all sites, padded ones too, then a masked mean."""
    former = model.channels
    wells, sites = features.shape[:2]
    x = normalize(features.view(wells * sites, CHANNELS, WIDTH), dim=-1)
    x = torch.cat([former.cls_query.expand(len(x), -1, -1), x + former.channel_embedding], dim=1)
    x = former.norm_out(former.encoder(former.norm_in(x)))[:, 0].view(wells, sites, -1)
    weights = mask.unsqueeze(-1).float()
    return normalize(model.image_head((x * weights).sum(1) / weights.sum(1)), dim=-1)


def training_epoch(
    n_wells: int, *, share_with_16: float, rounds: int, steps: int = 2
) -> list[Timing]:
    """One epoch, one thread, full-size model; losses are compared before times are."""
    torch.set_num_threads(1)
    wells = synthetic_wells(n_wells, share_with_16=share_with_16)
    subsets = ["validation" if n < 2 else "train" for n in range(n_wells)]
    manifest = wells.table[[PLATE, WELL]].assign(**{SUBSET: subsets})
    config = TrainingConfig(batch_size=n_wells // steps, warmup_steps=0, device="cpu", epochs=10**6)
    data = training_data(wells, manifest, config, "cpu")
    batches = epoch_rows(data, config, epoch=0)
    literal, state = LiteralTrainer(data, config), initial_state(data, MODEL, config, "cpu")
    theirs = literal.epoch(batches)
    ours = train_one_epoch(state, data, config, "cpu")["train_loss"]
    difference = abs(sum(theirs) / len(theirs) - ours)
    if difference > 1e-5:
        raise AssertionError(f"losses differ by {difference}")
    return interleave(
        [
            Way("literal spec", lambda: literal.epoch(batches)),
            Way("ours", lambda: train_one_epoch(state, data, config, "cpu")),
        ],
        rounds=rounds,
    )


def loading_features(n_wells: int, *, rounds: int) -> tuple[list[Timing], dict[str, float]]:
    """A plate's features from per-site files, sliced and cloned, and from one packed file."""
    torch.set_num_threads(1)
    n_sites = 9 * n_wells
    tokens = torch.randn(n_sites, CHANNELS, WIDTH)
    places = [(well_name(n // 24 + 1, n % 24 + 1), s) for n in range(n_wells) for s in range(1, 10)]
    with tempfile.TemporaryDirectory() as folder:
        sliced, cloned = Path(folder, "sliced"), Path(folder, "cloned")
        for place in (sliced, cloned):
            place.mkdir()
        for start in range(0, n_sites, 32):
            batch = tokens[start : start + 32].clone()
            for row, (well, site) in enumerate(places[start : start + 32]):
                torch.save(batch[row], sliced / f"{site_name(well, site)}.pt")
                torch.save(batch[row].clone(), cloned / f"{site_name(well, site)}.pt")
        packed = Path(folder, "plate.pt")
        dataset = TorchFileDataset(
            filepath=str(packed),
            codec="morphoclip.features.plate_features.PlateFeatures",
            mmap=True,
        )
        dataset.save(PlateFeatures.pack("P", places, tokens, {"a": "1"}))

        def from_sites(place: Path) -> Tensor:
            files = sorted(place.iterdir())
            return torch.stack([TorchFileDataset(filepath=str(file)).load() for file in files])

        def from_packed() -> Tensor:
            features: PlateFeatures = dataset.load()
            return features.tokens.clone()

        if (from_sites(sliced) - from_packed().float()).abs().max() > 2e-3:
            raise AssertionError("packed features differ by more than half precision")
        megabytes = {
            "per-site files, slices": _size(sliced),
            "per-site files, cloned": _size(cloned),
            "one packed file": packed.stat().st_size / 1e6,
        }
        timings = interleave(
            [
                Way("per-site files, slices (the reference)", lambda: from_sites(sliced)),
                Way("per-site files, cloned", lambda: from_sites(cloned)),
                Way("ours: one packed file", from_packed),
            ],
            rounds=rounds,
        )
    return timings, megabytes


def _size(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6
