"""The first two tiers of a verdict: what to do, and how sure that is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from priorgap.core.measurement import OF_DATA
from priorgap.core.measures import Measure
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.labels import COPIES, RECONSTRUCTIVE
from priorgap.verdict.readings import CALIBRATED, describe

if TYPE_CHECKING:
    from priorgap.verdict.advice import Advice
    from priorgap.verdict.decision import Verdict


_KEEPS = ("keep", "keep_for_now")
_NONE_USABLE = "no sampler that may be used"
_ADD_A_DENSITY = "Add a sampler that is fitted to the posteriors, such as gmm."


def measure_name(measure: Measure, space: str = "") -> str:
    """Return a measure's name in prose, with its space: "FID (classifier)"."""
    return f"{measure.title} ({space})" if space not in ("", OF_DATA) else measure.title


def number(value: float) -> str:
    """Return a value with three significant digits, without an exponent where possible."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1000:
        text = f"{value:.3g}"
        return text if "e" not in text else f"{value:.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2g}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return "[low, high]", or words where there is no interval."""
    return "[no interval]" if interval is None else f"[{number(interval[0])}, {number(interval[1])}]"


def join(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def either(names: Sequence[str]) -> str:
    """Return "a, b or c"."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def spoken(sampler: str) -> str:
    """Return a sampler's name in prose: "the prior"; for a calibrated model with the calibration that it needs."""
    if sampler == "prior":
        return "the prior"
    if sampler == f"prior{CALIBRATED}":
        return "the prior of the calibrated model"
    return sampler


def headline(verdict: "Verdict") -> str:
    """Return the advice for a cell, in words."""
    if verdict.stopped:
        return verdict.health[0].sentence
    if verdict.advice is None:
        return f"No verdict: {verdict.reason}."
    return _of_advice(verdict, verdict.advice)


def _of_advice(verdict: "Verdict", advice: "Advice") -> str:
    base, name = spoken(verdict.baseline), measure_name(verdict.measure)
    if advice.kind == "none":
        return (
            f"No sampler can be recommended: {join([_what_it_is(verdict, s) for s in _names(verdict)])}. "
            f"{_remedy(verdict)}"
        )
    use = spoken(str(advice.recommended))
    contrast = advice.against
    if advice.kind == "keep":
        percent = f"{100 * (verdict.smallest_ratio - 1):.3g} %"
        if contrast is not None and contrast.shown and _is_better(verdict, contrast):
            other = spoken(contrast.sampler)
            text = f"{_capital(base)} will do: {other} is better, but by less than the {percent} that count"
            text += f" ({_effect(contrast, name)})."
        else:
            other = _NONE_USABLE if advice.barred else "nothing else"
            text = f"{_capital(base)} will do: {other} is more than {percent} better."
    elif advice.kind == "keep_for_now":
        other = _NONE_USABLE if advice.barred else "no other sampler"
        text = f"{_capital(base)} will do for now: {other} is shown to be better."
    elif advice.kind == "open":
        seeds = _seeds(verdict.n_seeds) if verdict.n_seeds > 1 else "one model"
        does = "do" if verdict.n_seeds > 1 else "does"
        assert contrast is not None
        text = f"Use {use} or {base}: {seeds} {does} not tell them apart. {_capital(_effect(contrast, name))}"
        text += _beside(verdict, advice)
    elif advice.kind == "replace":
        assert contrast is not None
        text = f"Do not sample {base}: use {use}. Its {_effect(contrast, name, its=True)}{_beside(verdict, advice)}"
    else:
        best = "the best" if verdict.n_seeds > 1 else "this model's best"
        text = f"Use {use}: it has {best} {name} of the samplers that may be used"
        text += f"; its {_effect(contrast, name, its=True)}" if contrast is not None else ""
        text += _beside(verdict, advice)
    return text + _memorising(verdict, str(advice.recommended)) + _barred_from_keeping(verdict, advice)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _remedy(verdict: "Verdict") -> str:
    """Return the advice where no sampler may be used; if the decoder returns only copies, no sampler helps."""
    copiers = [
        name
        for name in _names(verdict)
        if COPIES in verdict.labels.get(name, ()) and not verdict.facts[name].needs_training_data
    ]
    if verdict.baseline in copiers or len(copiers) > 1:
        return (
            "Train the model again, with more data, a smaller decoder or a larger weight of the rate: its decoder "
            "returns training images whatever z it is given, and no other sampler would help."
        )
    return _ADD_A_DENSITY


def _names(verdict: "Verdict") -> list[str]:
    return [summary.sampler for summary in verdict.candidates]


def _is_better(verdict: "Verdict", contrast: Contrast) -> bool:
    above = contrast.effect > (1 if contrast.scale == "log" else 0)
    return above == (verdict.measure.sign > 0)


def _effect(contrast: Contrast, name: str, *, its: bool = False) -> str:
    """Return "FID is 0.23 times the prior's [0.11, 0.51]"."""
    whose = f"{name} is" if its else f"the {name} of {contrast.sampler} is"
    of = f"{spoken(contrast.against)}'s"
    if contrast.scale == "log":
        return f"{whose} {number(contrast.effect)} times {of} {interval_text(contrast.interval)}"
    side = "above" if contrast.effect >= 0 else "below"
    size = number(abs(contrast.effect))
    return f"{whose} {size} {side} {of} (difference {interval_text(contrast.interval)})"


def _what_it_is(verdict: "Verdict", sampler: str) -> str:
    labels = set(verdict.labels.get(sampler, ()))
    if RECONSTRUCTIVE in labels:
        return f"{sampler} reconstructs training images"
    if COPIES in labels:
        return f"{sampler} copies training images"
    return f"{sampler} needs the training data"


def _beside(verdict: "Verdict", advice: "Advice") -> str:
    """Return the end of a sentence: which samplers are as good, and which are better but may not be used."""
    parts = []
    if advice.ties:
        verb = "is" if len(advice.ties) == 1 else "are"
        parts.append(f"{join([spoken(name) for name in advice.ties])} {verb} not shown to differ from it")
    if advice.barred:
        parts.append(_better_but_barred([verdict]))
    return "".join(f"; {part}" for part in parts) + "."


def _better_but_barred(cells: "Sequence[Verdict]") -> str:
    """Return "posterior is better still, but it reconstructs training images"; "still": than what is better."""
    known = [(cell, cell.advice) for cell in cells if cell.advice is not None]
    why = {name: _what_it_is(cell, name) for cell, advice in known for name in advice.barred}
    better = "better" if known[0][1].kind in _KEEPS else "better still"
    if len(why) == 1:
        ((name, what),) = why.items()
        return f"{name} is {better}, but it{what.removeprefix(name)}"
    return f"{join(list(why))} are {better}, but {join(list(why.values()))}"


def _barred_from_keeping(verdict: "Verdict", advice: "Advice") -> str:
    if advice.kind not in _KEEPS or not advice.barred:
        return ""
    usable = [name for name in _names(verdict) if name not in advice.barred and name != verdict.baseline]
    text = f" {_capital(_better_but_barred([verdict]))}."
    return text if usable else f"{text} {_ADD_A_DENSITY}"


def _memorising(verdict: "Verdict", sampler: str) -> str:
    share = verdict.train_share.get(sampler)
    return (
        ""
        if share is None
        else f" With it the decoder memorises (train share {number(share)}, ½ where it does not)."
    )


def _seeds(n: int) -> str:
    return f"{n} {'seed' if n == 1 else 'seeds'}"


def basis(verdict: "Verdict") -> str:
    """Return the basis of a conclusion: a number of seeds, or one model."""
    if verdict.n_seeds == 1:
        return "For this trained model only (how much training again would change is unknown)"
    if verdict.provisional:
        return f"Provisional ({_seeds(verdict.n_seeds)})"
    return f"Over {_seeds(verdict.n_seeds)}"


def sure(verdict: "Verdict") -> str:
    """Return how sure the headline is; "" where nothing was ranked."""
    warned = [finding.sentence for finding in verdict.health if finding.severity == "warn"]
    if verdict.stopped or verdict.advice is None:
        return ""
    cells = f" over all {verdict.n_cells} cells" if verdict.n_cells > 1 else ""
    count = f"{len(verdict.candidates)} candidates"
    how = f"{count} were compared by intervals that hold together at {verdict.level:.0%}{cells}."
    rests = basis(verdict)
    text = f"{rests}{', ' if rests.startswith('Over') else '. '}{how}"
    return " ".join([text, _condition(verdict), *_disagreement(verdict), *warned])


def _condition(verdict: "Verdict") -> str:
    rows = f"{verdict.n_rows:,} test observations" if verdict.n_rows else "these test observations"
    space = f", the feature space {verdict.space}" if verdict.space not in ("", OF_DATA) else ""
    split = "splits of the data that each seed draws anew" if verdict.redrawn else "this split of the data"
    return f"It holds for {rows}{space} and {split}."


def _disagreement(verdict: "Verdict") -> list[str]:
    if not verdict.disagree:
        return []
    contrast = verdict.second_opinions[verdict.disagree[0]]
    parts = [
        f"{opinion_name(verdict, name)} (difference {number(c.effect)} {interval_text(c.interval)})"
        for name, c in verdict.second_opinions.items()
        if name in verdict.disagree
    ]
    return [f"Measures disagree: {contrast.against} is better than {contrast.sampler} on {join(parts)}."]


def opinion_name(verdict: "Verdict", name: str) -> str:
    """Return a second opinion's name in prose."""
    measure, _, space = name.partition(" (")
    return measure_name(verdict.catalogue[measure], space.removesuffix(")"))


def study_headline(cells: "Sequence[Verdict]") -> str:
    """Return the advice over several cells: the same for all, or how many cells recommend which sampler."""
    parts = [
        *_stops(cells),
        *_replacements(cells),
        *_keeps(cells),
        *_opens(cells),
        *_uses(cells),
        *_nothing(cells),
    ]
    return " ".join(parts)


def place(cell: "Verdict") -> str:
    """Return a cell's varying keys in prose: classes by their names, unset keys left out."""
    named = {
        key.removesuffix("._target_"): value.rpartition(".")[2] if key.endswith("._target_") else value
        for key, value in cell.keys.items()
        if value is not None
    }
    return describe(named)


def _of_kind(cells: "Sequence[Verdict]", *kinds: str) -> "list[Verdict]":
    return [cell for cell in cells if cell.advice is not None and cell.advice.kind in kinds]


def _share(some: "Sequence[Verdict]", cells: "Sequence[Verdict]") -> str:
    if len(some) == len(cells):
        return "in both cells" if len(cells) == 2 else f"in all {len(cells)} cells"
    if len(some) <= 2:
        return f"for {join([place(cell) for cell in some])}"
    return f"in {len(some)} of {len(cells)} cells"


def _stops(cells: "Sequence[Verdict]") -> list[str]:
    stopped = [cell for cell in cells if cell.stopped]
    if not stopped:
        return []
    first = stopped[0].health[0].sentence
    if len(stopped) == len(cells):
        return [f"No sampler can be recommended in any of {len(cells)} cells. {first}"]
    return [f"{_capital(_share(stopped, cells))} no sampler can be recommended. {first}"]


def _counted(cells: "Sequence[Verdict]") -> str:
    counts: dict[str, int] = {}
    for cell in cells:
        counts[str(cell.recommended)] = counts.get(str(cell.recommended), 0) + 1
    named = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(named) == 1:
        return spoken(named[0][0])
    return either([f"{spoken(name)} ({count} {'cell' if count == 1 else 'cells'})" for name, count in named])


def _replacements(cells: "Sequence[Verdict]") -> list[str]:
    some = _of_kind(cells, "replace")
    if not some:
        return []
    effects = [cell.advice.against.effect for cell in some if cell.advice and cell.advice.against]
    text = f"Do not sample {spoken(some[0].baseline)} {_share(some, cells)}: use {_counted(some)}."
    if all(cell.scale == "log" for cell in some) and effects:
        name = measure_name(some[0].measure)
        # Ends that look the same after rounding are shown once.
        ends = dict.fromkeys(number(end) for end in (min(effects), max(effects)))
        text += f" Its {name} is {' to '.join(ends)} times {spoken(some[0].baseline)}'s."
    return [text]


def _keeps(cells: "Sequence[Verdict]") -> list[str]:
    some = _of_kind(cells, *_KEEPS)
    if not some:
        return []
    barred = any(cell.advice.barred for cell in some if cell.advice is not None)
    other = _NONE_USABLE if barred else "nothing else"
    text = (
        f"{_capital(spoken(some[0].baseline))} will do {_share(some, cells)}: {other} is shown to be better."
    )
    return [text, *([f"{_capital(_better_but_barred(some))}."] if barred else [])]


def _opens(cells: "Sequence[Verdict]") -> list[str]:
    some = _of_kind(cells, "open")
    if not some:
        return []
    base = spoken(some[0].baseline)
    ahead = f"{_counted(some)} has the better mean, but is not shown to differ from {base}"
    return [f"It is open {_share(some, cells)}: {ahead}."]


def _uses(cells: "Sequence[Verdict]") -> list[str]:
    some = _of_kind(cells, "use")
    return [f"Use {_counted(some)} {_share(some, cells)}."] if some else []


def _nothing(cells: "Sequence[Verdict]") -> list[str]:
    none = _of_kind(cells, "none")
    absent = [cell for cell in cells if cell.advice is None and not cell.stopped]
    found = []
    if none:
        found.append(f"All samplers reconstruct, copy or need the training data {_share(none, cells)}.")
    if absent:
        found.append(f"There is no verdict {_share(absent, cells)}: {absent[0].reason}.")
    return found


def study_sure(cells: "Sequence[Verdict]") -> str:
    """Return how sure the headline of several cells is."""
    ranked = [cell for cell in cells if cell.advice is not None]
    if not ranked:
        return ""
    fewest = min(cell.n_seeds for cell in ranked)
    seeds = f"{_seeds(fewest)} a cell"
    start = f"Provisional ({seeds})" if any(cell.provisional for cell in ranked) else f"Over {seeds}"
    first = ranked[0]
    text = f"{start}. Intervals hold together at {first.level:.0%} over all {first.n_cells} cells."
    warned = sorted({finding.name for cell in cells for finding in cell.health if finding.severity == "warn"})
    more = [f"Health warnings: {', '.join(name.replace('_', ' ') for name in warned)}."] if warned else []
    disagree = [place(cell) for cell in ranked if cell.disagree]
    if disagree:
        more.append(
            f"Measures disagree for {join(disagree) if len(disagree) < 4 else f'{len(disagree)} cells'}."
        )
    return " ".join([text, _condition(first), *more])
