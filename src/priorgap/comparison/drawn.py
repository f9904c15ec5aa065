"""The model and the fitted samplers that a comparison keeps, so that more data can be drawn later."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from priorgap.comparison.decode_rules import DRAW, ONLY_MEANS, DecodeRule
from priorgap.comparison.supplied_context import check_alike, n_rows, values_of
from priorgap.core.arguments import show
from priorgap.core.contexts import Contexts, each
from priorgap.core.latents import Latents
from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.data.exports import Block
from priorgap.data.splits import Split
from priorgap.evaluation.generation import generate
from priorgap.evaluation.measure import latent_space
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.sample import Draws
from priorgap.metrics.evidence import ModelEvidence

if TYPE_CHECKING:
    from priorgap.report import AggregateFigureData
    from priorgap.report.neighbours import Pixels
    from priorgap.report.previews import Preview
    from priorgap.report.studied import Studied


@dataclass(frozen=True, eq=False)
class Drawn:
    """A model with its fitted samplers and their draws.

    Attributes:
        models: the model's functions for each decode rule that was measured; the mean first.
        evidence: the model's posteriors and the real data, by decode rule.
        draws: the draws of each sampler.
        seed: the comparison's seed.
        names: the classes' names in the user's labels; () without labels.
    """

    models: Mapping[DecodeRule, ModelFunctions]
    evidence: Mapping[DecodeRule, ModelEvidence]
    draws: Mapping[str, Draws]
    seed: int
    names: tuple[str, ...] = ()

    @property
    def test(self) -> Split:
        """The held-out rows."""
        reference = next(iter(self.evidence.values())).reference
        assert reference is not None
        return reference.test

    @property
    def _by_mean(self) -> ModelFunctions:
        """The model with decoding by means, even if only draws were measured."""
        own = next(iter(self.models.values()))
        return replace(own, decode=own.expected or own.decode)

    def of(self, name: str) -> Draws:
        """Return the draws of a sampler.

        Raises:
            ValueError: there is no such sampler; one line with the existing ones.
        """
        if name not in self.draws:
            raise ValueError(f"sampler={name!r}: expected one of {', '.join(self.draws) or 'none'}")
        return self.draws[name]

    def rule(self, given: str | None) -> DecodeRule:
        """Return the requested decode rule, or the first that was measured.

        Raises:
            ValueError: the rule was not measured; one line with those that were.
        """
        for rule in self.models:
            if given in (None, rule):
                return rule
        known = " or ".join(repr(rule) for rule in self.models)
        reason = f": {ONLY_MEANS}" if given == DRAW else ""
        raise ValueError(f"decode_rule={show(given)}: expected {known}{reason}")

    def samples(self, name: str, rule: DecodeRule) -> Split:
        """Return the decoded draws by which a sampler was measured, in the stored form of data."""
        draw = self.of(name).draw
        return self.evidence[rule].decoded(draw.z, draw.label, draw.context)

    def contexts(self, given: object, n: int, label: int | None) -> Contexts | None:
        """Return the contexts of n new rows, in their order, or all known ones if none are given.

        Args:
            given: the user's contexts: n rows, or one for all rows; None for none.
            n: the number of rows to draw.
            label: the class of all rows.

        Raises:
            ValueError: the model takes no contexts, or these have another form; one line.
        """
        model = next(iter(self.models.values()))
        if given is None or model.contexts is None:
            if given is not None:
                raise ValueError("context: the model takes none; expected context=None")
            return model.contexts
        if model.conditional and label is None:
            raise ValueError("context: the model takes a label too; expected label= of these contexts")
        rows = 1 if n_rows(given) == 1 else n
        values = values_of(given, "context", rows)
        check_alike(values, model.contexts.values, "context", "that of train")
        everyone = torch.arange(n)
        return Contexts(each(values, lambda one: one.expand(n, *one.shape[1:])), everyone)

    def class_number(self, label: object) -> int:
        """Return the number of a class that is given in the form of the user's labels.

        Raises:
            ValueError: there is no such class; one line with the existing ones.
        """
        if str(label) in self.names and not isinstance(label, bool):
            return self.names.index(str(label))
        known = ", ".join(self.names[:20]) or "none: the data have no labels"
        raise ValueError(f"label={show(label)}: expected one of the classes {known}")

    def as_given(self, number: np.ndarray) -> np.ndarray:
        """Return classes in the form of the user's labels: integers if all of them are, else names."""
        whole = all(re.fullmatch(r"-?\d+", name) for name in self.names)
        known = np.array([int(name) for name in self.names] if whole else self.names)
        found: np.ndarray = known[number]
        return found

    def blocks(
        self,
        name: str,
        n: int,
        *,
        rule: DecodeRule,
        label: int | None,
        seed: int,
        contexts: Contexts | None,
    ) -> Iterator[Block]:
        """Yield n new rows of a sampler; given contexts belong to the rows, in order."""
        model = self.models[rule]
        found = generate(
            self.of(name).fitted,
            model.decode,
            n,
            seed=seed,
            batch=model.decode_batch,
            modality=self.test.modality,
            frequencies=model.class_frequencies,
            label=label,
            contexts=contexts,
            context=None if contexts is model.contexts else torch.arange(n),
        )
        for block in found:
            label_given = None if block.label is None else self.as_given(block.label)
            yield Block(block.x, label_given, block.context)

    def previews(self, rule: DecodeRule) -> "dict[str, Preview]":
        """Return previews of the data, of reconstructions by the mean, and of each sampler; {} for vectors."""
        from priorgap.report.previews import preview_of

        model, test, modality = self.models[rule], self.evidence[rule].test, self.test.modality
        if not modality.n_shown:
            return {}
        found = {REAL: self.test.x[: modality.n_shown]}
        if test is not None:
            found[RECONSTRUCTIONS] = self._by_mean.preview(test, modality)
        for name, one in self.draws.items():
            found[name] = model.preview(one.draw, modality)
        shown = {name: preview_of(x.numpy(), modality) for name, x in found.items()}
        return {name: one for name, one in shown.items() if one is not None}

    def studied(self) -> "Studied":
        """Return the description of what was compared, for the head of a page."""
        from priorgap.report.studied import DataFacts, Studied

        reference = next(iter(self.evidence.values())).reference
        assert reference is not None
        sizes = (len(reference.train), len(reference.validation), len(reference.test))
        modality = self.test.modality
        described = modality.described(tuple(self.test.x.shape[1:]))
        return Studied(modality.noun, (DataFacts("", described, sizes),))

    def training_images(self) -> "Pixels | None":
        """Return the training images in the form that pages show; None where the data are no images."""
        reference = next(iter(self.evidence.values())).reference
        assert reference is not None
        if not self.test.modality.pictures:
            return None
        return reference.train.x.permute(0, 2, 3, 1).numpy()

    def aggregate(self) -> "AggregateFigureData | None":
        """Return the data for the picture of the aggregate posterior; None without an encoder."""
        from priorgap.report import AggregateFigureData

        test: Latents | None = next(iter(self.evidence.values())).test
        if test is None:
            return None
        return AggregateFigureData.of(latent_space(test, self._by_mean, self.test.modality, seed=self.seed))
