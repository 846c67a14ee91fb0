"""What the studies train: each arm is a recipe, and arms of one study differ in one thing."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ecgnat.masked import MaskConfig
from ecgnat.model import ModelConfig, NetworkConfig, named_config
from training.labels import NAMES

SEEDS = (1, 2, 3)
TINY = named_config("tiny", len(NAMES))


@dataclass(frozen=True)
class Pretraining:
    """How an encoder is pretrained; arms that say the same share one."""

    name: str
    steps: int
    shape: ModelConfig = TINY
    masking: MaskConfig = field(default_factory=MaskConfig)
    sets: tuple[str, ...] = ("ptb-xl", "cinc2017", "mitdb")


@dataclass(frozen=True)
class Arm:
    """One training on PTB-XL: what it starts from, how many labels it has, and how it goes on."""

    group: str  # arms of one group differ in their seed alone
    seed: int
    steps: int
    labels: float = 1.0
    pretraining: Pretraining | None = None
    network: NetworkConfig = TINY
    probe_share: float = 0.0
    learning_rate: float = 1e-3
    contrastive_weight: float = 0.0
    batch_size: int = 64

    @property
    def name(self) -> str:
        """Folder of the arm."""
        return f"{self.group}-{self.seed}"


def few_labels() -> Iterator[Arm]:
    """Pretrained against random, linear probe and whole network, at 1% and 10% of the labels."""
    pretraining = Pretraining("pretrained", steps=2000)
    for seed in SEEDS:
        for labels, steps in ((0.01, 400), (0.1, 800)):
            for origin, start in (("random", None), ("pretrained", pretraining)):
                arm = Arm("", seed, steps, labels, start)
                text = f"{labels:.0%}".rstrip("%")
                yield replace(arm, group=f"probe-{origin}-{text}", probe_share=1.0, learning_rate=3e-3)
                yield replace(arm, group=f"whole-{origin}-{text}", probe_share=0.1 if start else 0.0)


def ablations() -> Iterator[Arm]:
    """One change at a time to pretraining and fine-tuning with 10% of the labels."""
    usual = Pretraining("usual", steps=900)
    base = Arm("usual", 1, steps=600, labels=0.1, pretraining=usual, probe_share=0.1)
    yield base
    yield replace(base, group="no-pretraining", pretraining=None, probe_share=0.0)
    yield replace(base, group="contrast-0.25", contrastive_weight=0.25)
    for ratio in (0.3, 0.7):
        changed = replace(usual, name=f"ratio-{ratio}", masking=MaskConfig(ratio=ratio))
        yield replace(base, group=f"mask-ratio-{ratio}", pretraining=changed)
    changed = replace(usual, name="leads", masking=MaskConfig(style="leads"))
    yield replace(base, group="mask-leads", pretraining=changed)
    changed = replace(usual, name="ptb-xl", sets=("ptb-xl",))
    yield replace(base, group="pretrained-on-ptb-xl", pretraining=changed)
    shapes = {
        "kernels-7": replace(TINY, kernels=(7, 7, 7)),
        "dilations-1-2-1": replace(TINY, dilations=(1, 2, 1)),
        "last-stage-global": replace(TINY, kernels=(13, 13, 32)),
    }
    for name, shape in shapes.items():
        changed = replace(usual, name=name, shape=shape)
        yield replace(base, group=name, pretraining=changed, network=shape)


STUDIES = {"few-labels": few_labels, "ablations": ablations}
