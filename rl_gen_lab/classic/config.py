"""Settings of classic features and classifiers; reading them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import NotNegative, Ranged, Share

LINEAR = ("svm", "softmax")
GRADIENTS = ("hog", "hog-opencv")  # and words, whose patches are blocks of hog
Side = Annotated[int, Interval(ge=1, le=256)]


@dataclass(frozen=True)
class ClassicConfig(Ranged):
    """Classic features, and a classifier or a sliding window over them."""

    # Settings that belong to a choice of `features`, not of `model`.
    CHOSEN_BY: ClassVar = dict.fromkeys(
        ("bins", "orientations", "cell", "block", "norm", "words", "grid", "components", "side"), "features"
    )
    USED_BY: ClassVar = {
        "bins": ("colors",),
        "orientations": (*GRADIENTS, "words"),
        "cell": (*GRADIENTS, "words"),
        "block": (*GRADIENTS, "words"),
        "norm": ("hog", "words"),
        "words": ("words",),
        "grid": ("words",),
        "components": ("pca",),
        "side": ("pixels", "pca"),
        "neighbors": ("knn",),
        "hinge": ("svm",),
        "regularization": (*LINEAR, "sliding-window"),
        "context": ("sliding-window",),
        "color": ("sliding-window",),
        "nms_iou": ("sliding-window",),
        "score": ("sliding-window",),
        "least_score": ("sliding-window",),
        "most": ("sliding-window",),
    }

    # svm: multiclass hinge loss; softmax: cross-entropy; knn: the nearest training images vote; sliding-window: a
    # linear SVM at every position of the image, which detects objects.
    model: Literal["svm", "softmax", "knn", "sliding-window"] = "svm"
    # pixels; colors: histogram of colors; hog: histograms of oriented gradients as scikit-image has them; hog-opencv:
    # as Dalal and Triggs and OpenCV have them; words: bag of visual words; pca: principal components of the pixels.
    features: Literal["pixels", "colors", "hog", "hog-opencv", "words", "pca"] = "hog"
    # Factor by which images are enlarged first (not for pixels and pca); 0: until the shorter side has 32 pixels.
    enlarge: Annotated[int, Interval(ge=0, le=16)] = 0
    # Longer side [px] to which larger images are reduced for pixels and pca.
    side: Side = 64
    # Bins of each of red, green and blue; a histogram has their cube.
    bins: Annotated[int, Interval(ge=1, le=32)] = 4
    # Bins of the gradient's direction over half a turn.
    orientations: Annotated[int, Interval(ge=1, le=64)] = 9
    # Side of a cell [px], after enlarging; 0: 8, for sliding windows 2.
    cell: Annotated[int, Interval(ge=0, le=64)] = 0
    # Side of a block, whose cells are normalized together [cells].
    block: Annotated[int, Interval(ge=1, le=8)] = 2
    # Normalization of a block.
    norm: Literal["L1", "L1-sqrt", "L2", "L2-Hys"] = "L2-Hys"
    # Visual words, the means of k-means.
    words: Annotated[int, Interval(ge=2, le=4_096)] = 64
    # Parts a side of the image, each with its own bag of words; 1: the whole image.
    grid: Annotated[int, Interval(ge=1, le=8)] = 1
    # Principal components that are kept.
    components: Annotated[int, Interval(ge=1, le=4_096)] = 16
    # Training images that vote.
    neighbors: Annotated[int, Interval(ge=1, le=1_000)] = 3
    # sum: every wrong class that comes too near adds to the loss; max: only the nearest one (Crammer and Singer).
    hinge: Literal["sum", "max"] = "sum"
    # Weight of half the squared norm of the weights in the loss.
    regularization: NotNegative = 0.03
    # Pixels around an object that its window shows as well.
    context: Annotated[int, Interval(ge=0, le=64)] = 4
    # Windows also see the mean color of each cell: gradients cannot tell two paddles of one shape apart.
    color: bool = True
    # Non-maximum suppression: windows of a category with a larger overlap are one object.
    nms_iou: Share = 0.1
    # Lowest score of a reported detection (0.5: the SVM's own boundary), and of one on the precision-recall curve.
    score: Share = 0.5
    least_score: Share = 0.02
    # Objects of an image, at most.
    most: Annotated[int, Interval(ge=1, le=2_000)] = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "sliding-window" and self.features not in GRADIENTS:
            raise ConfigError(
                f"classic.model sliding-window needs --classic.features {' or '.join(GRADIENTS)}, not {self.features}"
            )

    @property
    def cell_side(self) -> int:
        """Side of a cell [px]."""
        return self.cell or (2 if self.model == "sliding-window" else 8)
