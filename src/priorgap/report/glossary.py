"""The page's terms, each explained once: where it is used, and in the glossary at the end of the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from priorgap.core.measures import Measure


@dataclass(frozen=True)
class Term:
    """A term of the page.

    Attributes:
        name: the name in the glossary.
        meaning: one or two sentences; `{one}` and `{many}` are replaced by the words for observations.
    """

    name: str
    meaning: str

    @property
    def id(self) -> str:
        """The id of its entry in the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


TERMS = (
    Term("prior", "p(z), usually N(0, I): the distribution that a VAE is told to sample codes z from."),
    Term(
        "aggregate posterior",
        "q(z), the mixture of the posteriors of all {many}: the codes that the decoder was trained on.",
    ),
    Term("posterior", "q(z|x), the distribution of codes that the encoder gives for one {one}."),
    Term(
        "sampler",
        "A way to choose codes z: from the prior, from posteriors, or from a density fitted to them. The decoder "
        "is the same for all.",
    ),
    Term("candidate", "A sampler that competes: the verdict ranks candidates only."),
    Term("control", "A sampler that bounds what can be reached, such as posteriors of held-out {many}; not ranked."),
    Term("specimen", "A formula that circulates in code, shown for what it does and never ranked."),
    Term("cell", "One combination of the settings that vary in the study, over all its seeds."),
    Term("seed", "The number that fixes a training's random draws; models that differ only in it show its chance."),
    Term("winner", "The candidate that every other one is shown to be worse than, by intervals that hold together."),
    Term("recommended", "What to use: the best candidate that neither reconstructs nor copies training {many}."),
    Term(
        "reconstructive",
        "Its codes are those of training {many}, so that its samples are noisy reconstructions of these; it is "
        "not recommended.",
    ),
    Term("copies", "Its samples lie nearer to single training {many} than honest draws do: it is not recommended."),
    Term(
        "the decoder memorises",
        "Samples lie nearer to training {many} than to as many unseen ones, whatever the codes are.",
    ),
    Term("floor", "What real {many} score against real {many}: the best that any sampler can be expected to reach."),
    Term("feature space", "The numbers that {many} are turned into before distances between them are measured."),
    Term("FID", "Fréchet distance between samples and test {many} in a feature space; 0 where moments agree."),
    Term("rate", "KL(q(z|x)‖p(z)), the mean over {many}: how much a code tells of its {one}. No mismatch."),
    Term("mismatch", "KL(q(z)‖p(z)): how far the aggregate posterior lies from the prior."),
    Term("marginal KL", "KL(q(z_j)‖p(z_j)): the mismatch of a single latent unit j."),
    Term("latent unit", "One coordinate z_j of the code z."),
    Term("hole", "Where the prior samples and q(z) hardly reaches: the decoder was not trained there."),
    Term(
        "bracket",
        "A lower and an upper end of the mismatch, with 97.5 % limits, from {many} that the encoder was not "
        "trained on.",
    ),
    Term(
        "calibration",
        "A shift and a scale for each latent unit, written into the encoder's last layer and the decoder's first: "
        "reconstructions stay, and each unit of q(z) gets mean 0 and variance 1.",
    ),
    Term(
        "not converged",
        "The mismatch of means and variances, on posteriors of training {many}, is above 0.05 nat: a fully trained "
        "model has less.",
    ),
    Term("ex-post density", "A density fitted to codes after training: a Gaussian, a mixture, a flow."),
    Term("provisional", "Fewer than five seeds: what training again would change is hardly known."),
    Term("s.d.", "Standard deviation over the models of a cell, which differ in their seed."),
    Term("s.e.", "Standard error of one model's number."),
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """The words for one observation and for several.

    Attributes:
        one: "image", "window", "row".
        many: its plural.
    """

    one: str = "observation"
    many: str = "observations"

    @classmethod
    def of(cls, noun: str) -> "Words":
        """Return a noun with its plural."""
        return cls(noun, f"{noun}s")

    def said(self, text: str) -> str:
        """Return a sentence of the catalogue, which speaks of images, with these words instead."""
        if self.one == "image":
            return text
        a = "an" if self.one[0] in "aeiou" else "a"
        text = re.sub(
            r"\b([Aa])n (?=image\b)", lambda found: ("A" if found[1] == "A" else "a") + a[1:] + " ", text
        )
        return re.sub(r"\bimages\b", self.many, re.sub(r"\bimage\b", self.one, text))


class Glossary:
    """Links terms of one page to their explanations, and records which were used."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._terms = {term.name: term for term in TERMS}
        self._used: set[str] = set()
        self._measures: dict[str, Measure] = {}

    def term(self, name: str, text: str = "") -> Markup:
        """Return a term as a link to its entry, which a script shows next to the term.

        Raises:
            KeyError: there is no such term.
        """
        term = self._terms[name]
        self._used.add(name)
        return _link(term.id, text or name, self._meaning(term))

    def use(self, word: str) -> None:
        """Record a word that is on the page without a link, so that the glossary explains it if it can."""
        self._used |= {word} & set(self._terms)

    def tip(self, word: str) -> Markup:
        """Return the attribute that shows a word's explanation on hovering; "" where there is no such term."""
        self.use(word)
        term = self._terms.get(word)
        return Markup("") if term is None else Markup(' data-tip="{}"').format(self._meaning(term))

    def measure(self, measure: Measure, text: str) -> Markup:
        """Return a measure's heading with its explanation."""
        self._measures[measure.name] = measure
        return _link(f"measure-{measure.name}", self._words.said(text), self.explained(measure))

    def explained(self, measure: Measure) -> str:
        """Return a measure's explanation, its unit, and which way is better."""
        said = [self._words.said(measure.sentence)]
        said += [f"In {measure.unit}s."] if measure.unit else []
        said += [f"{_BETTER[measure.direction]}"] if measure.direction in _BETTER else []
        said += [f"{measure.null:g} where nothing is wrong."] if measure.null is not None else []
        return " ".join(said)

    def entries(self) -> Sequence[tuple[str, str, str]]:
        """Return id, name and meaning of each term and measure that the page has used, in alphabetical order."""
        terms = [
            (term.id, term.name, self._meaning(term))
            for name, term in self._terms.items()
            if name in self._used
        ]
        measures = [
            (f"measure-{one.name}", self._words.said(one.title), self.explained(one))
            for one in self._measures.values()
        ]
        found = [(id_, name[:1].upper() + name[1:], meaning) for id_, name, meaning in [*terms, *measures]]
        return sorted(found, key=lambda entry: (entry[1].lower(), entry[0]))

    def _meaning(self, term: Term) -> str:
        return term.meaning.format(one=self._words.one, many=self._words.many)


_BETTER = {"lower": "Smaller is better.", "higher": "Larger is better."}


def _link(target: str, text: str, meaning: str) -> Markup:
    return Markup('<a class="term" href="#{}" data-tip="{}">{}</a>').format(target, meaning, escape(text))
