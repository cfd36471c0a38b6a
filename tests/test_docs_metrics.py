"""docs/metrics.md against the code: every metric that is logged stands there, and nothing that is not."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from latent_runs import dream_run

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.classic.config import ClassicConfig
from rl_gen_lab.data import dataset as data
from rl_gen_lab.distributed.parted import reported
from rl_gen_lab.generators.config import GenerateConfig
from rl_gen_lab.training import tasks
from rl_gen_lab.training.config import Config
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.recognition.config import ClassifyConfig, LocalizeConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
IMAGES = ROOT / "tests" / "recorded" / "pong"
NAMESPACES = (
    "charts|losses|eval|final|videos|val|test|pictures|compare|score|variance|explain|attack|sweep|ranks|rollouts"
)
# Names that are made when they are logged: how the code begins them, and what the page calls the rest (None: see
# `vision_metrics`).
MADE = {"losses/": None, "val/": None, "test/": None, "pictures/": "FILE", "score/": "AGENT", "sweep/best/": "SETTING"}
MADE["ranks/"] = "NUMBER/forward_images_per_second"
OLD_NAMES = {"losses/kl_nats", "losses/clipped_share"}
SMALL = BackboneConfig(width=4, stages=2, depth=1, norm="batch")
TO_32_PIXELS = BackboneConfig(width=4, stages=4, depth=1, first_stride=4)
MODELS = {
    "segment": SegmentConfig(model="fcn", width=4, levels=1),
    "detect ssd": DetectConfig(model="ssd", choices=SMALL, shapes=2),
    "detect rcnn": DetectConfig(model="rcnn", choices=SMALL, shapes=2),
    "detect mask-rcnn": DetectConfig(model="mask-rcnn", choices=SMALL, shapes=2, proposals=8),
    "classic": ClassicConfig(features="pixels", side=16),
    "classic windows": ClassicConfig("sliding-window"),
    "classify": ClassifyConfig(choices=SMALL),
    "localize": LocalizeConfig(choices=SMALL),
    "caption": CaptionConfig(choices=SMALL, units=8),
    "generate vae": GenerateConfig(choices=SMALL, width=8, latents=4),
    "generate vae by density": GenerateConfig(choices=SMALL, width=8, latents=4, likelihood="gaussian"),
    "generate autoencoder": GenerateConfig("autoencoder", choices=SMALL, width=8, latents=4),
    "generate autoencoder by density": GenerateConfig("autoencoder", "bernoulli", choices=SMALL, width=8, latents=4),
    "generate vq-vae": GenerateConfig("vq-vae", choices=TO_32_PIXELS, width=8),
}


def strings(tree: ast.AST) -> Iterator[str]:
    """Texts of a syntax tree; an f-string as what stands before its first value, and a brace."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
            yield f"{node.values[0].value}{{"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


@functools.cache
def texts_of_the_code() -> set[str]:
    readers = (ROOT / "agents" / "reports", ROOT / "rl_gen_lab" / "tracking")  # they log nothing of their own
    files = [file for package in ("agents", "rl_gen_lab") for file in (ROOT / package).rglob("*.py")]
    files = [file for file in files if not any(folder in file.parents for folder in readers)]
    return {text for file in files for text in strings(ast.parse(file.read_text(encoding="utf-8")))}


def plain_metrics() -> set[str]:
    """Names that stand in the code as they are logged."""
    return {text for text in texts_of_the_code() if re.fullmatch(rf"(?:{NAMESPACES})/\w+", text)}


@functools.cache
def vision_metrics() -> frozenset[str]:
    """Losses and metrics of every task, from an untrained model of a few recorded frames."""
    dataset, names = data.load(IMAGES), {"val/ms_per_image", "test/ms_per_image"}
    for model, settings in MODELS.items():
        torch.manual_seed(0)
        name = model.partition(" ")[0]
        config = Config(task=name, **{name: settings})  # type: ignore[arg-type]
        task = tasks.make_task(config, dataset, torch.device("cpu"))
        names |= {f"losses/{key}" for key in task.loss(dataset.splits["train"], torch.arange(4))}
        task.network.eval()
        with torch.no_grad():
            metrics = task.evaluate(dataset.splits["val"], lambda done: None)
        names |= {f"{split}/{key}" for key in metrics for split in ("val", "test")}
    for world in ("pixels", "vae", "vq-vae"):
        names |= {
            name for row in dream_run(world).read_metrics() for name in row if name.startswith(("losses/", "val/"))
        }
    names |= {name.replace("val/", "test/") for name in names if name.startswith("val/")}
    names |= {
        f"{split}/{name}"
        for split in ("val", "test")
        for name in ("rewards_found", "ends_found", "wrong_pixels/5", "top1")
    }
    names = {re.sub(r"/wrong_pixels/\d+$", "/wrong_pixels/STEPS", name) for name in names} - plain_metrics()
    categories = "|".join(dataset.categories)
    return frozenset(re.sub(rf"/(?:{categories})$", "/CATEGORY", name) for name in names)


@functools.cache
def on_the_page() -> frozenset[str]:
    """Names in the first column of the page's tables."""
    rows = re.findall(r"^\| (`[^|]*`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(name for row in rows for name in re.findall(r"`([^`]+)`", row))


def logged() -> set[str]:
    made = {f"{start}{rest}" for start, rest in MADE.items() if rest is not None}
    held = reported(torch.nn.Linear(1, 1), torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]))
    made |= {f"ranks/NUMBER/{name}" for name in (*held, "peak_memory_mb")}
    return plain_metrics() | vision_metrics() | made


def test_every_metric_is_on_the_page() -> None:
    missing = logged() - on_the_page()
    assert not missing, f"docs/metrics.md lacks {sorted(missing)}"


def test_every_metric_of_the_page_is_logged() -> None:
    # The average precision of an untrained model that finds nothing has no categories.
    optional = {name for name in on_the_page() if re.search(r"/(?:mask_)?ap50/CATEGORY$", name)}
    invented = on_the_page() - logged() - optional
    assert not invented, f"docs/metrics.md names {sorted(invented)}, which nothing logs"


def test_names_made_while_logging_are_known_here() -> None:
    made = {text[:-1] for text in texts_of_the_code() if re.fullmatch(rf"(?:{NAMESPACES})/.*{{", text)}
    assert made == set(MADE)


@pytest.mark.parametrize("name", sorted(OLD_NAMES))
def test_older_names_are_mentioned_but_no_metric_of_today(name: str) -> None:
    assert name in PAGE.read_text(encoding="utf-8")
    assert name not in on_the_page()


def test_a_metric_in_a_loop_or_a_condition_is_seen() -> None:
    code = 'def f():\n    log({"losses/a": 1} | {n: 2 for n in ("charts/b",)})\n    log(f"val/{x}")\n'
    assert {"losses/a", "charts/b", "val/{"} <= set(strings(ast.parse(code)))
