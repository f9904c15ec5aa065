"""The kind of model that an architecture builds: a VAE, or, where it declares so, a conditional one or a control."""

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import torch

from priorgap.core.arguments import show
from priorgap.core.random import isolated
from priorgap.models.conditional import Classes, ConditionalVAE, condition
from priorgap.models.controls import GAN, Adversary, Autoencoder
from priorgap.models.likelihoods import Likelihood
from priorgap.models.networks import MLP, Architecture, Conv
from priorgap.models.series import GRU, TCN, steps_and_channels
from priorgap.models.table_likelihood import TableLikelihood
from priorgap.models.told import ToldVAE, build_told_vae
from priorgap.models.told_part import Columns, Past, listed, told_columns
from priorgap.models.traits import Traits
from priorgap.models.vae import VAE, build_vae
from priorgap.priors.base import PriorSpec
from priorgap.priors.standard_normal import StandardNormal

Model: TypeAlias = VAE | Autoencoder | GAN


@runtime_checkable
class Family(Protocol):
    """The optional capability of an architecture to build another kind of model than a VAE."""

    @property
    def traits(self) -> Traits:
        """What its model offers."""
        ...

    def model(
        self,
        likelihood: Likelihood,
        prior: PriorSpec | None,
        shape: tuple[int, ...],
        classes: Classes | None,
        *,
        generator: torch.Generator,
    ) -> Model:
        """Build the model; arguments as in `build_model`."""
        ...


def traits_of(architecture: Architecture) -> Traits:
    """Return what an architecture's model offers: by default what a VAE does."""
    return architecture.traits if isinstance(architecture, Family) else Traits()


def build_model(
    architecture: Architecture,
    likelihood: Likelihood,
    prior: PriorSpec | None,
    shape: tuple[int, ...],
    *,
    classes: Classes | None = None,
    generator: torch.Generator,
) -> Model:
    """Build a model whose weights are drawn from `generator`; global random state is untouched.

    Args:
        architecture: sizes of the networks, and the family of models that they form.
        likelihood: p(x|z); options that depend on the kind of data are resolved here.
        prior: p(z), of the architecture's latent dimension; None is the standard normal.
        shape: shape of one observation.
        classes: the classes of the training images, None without labels; used by conditional models only.
        generator: draws the initial weights.

    Raises:
        ValueError: the parts do not fit each other or the data; one line.
    """
    if isinstance(architecture, Family):
        return architecture.model(likelihood, prior, shape, classes, generator=generator)
    return build_vae(architecture, likelihood, prior, shape, generator=generator)


def _only_standard(prior: PriorSpec | None, what: str) -> None:
    if not (prior is None or isinstance(prior, StandardNormal)):
        raise ValueError(f"prior={type(prior).__name__}: {what}; expected prior=standard_normal")


class _Conditional:
    """The label is an input of encoder and decoder."""

    @property
    def traits(self) -> Traits:
        """The traits of a VAE that takes labels."""
        return Traits(conditional=True)

    def model(
        self: Architecture,
        likelihood: Likelihood,
        prior: PriorSpec | None,
        shape: tuple[int, ...],
        classes: Classes | None,
        *,
        generator: torch.Generator,
    ) -> ConditionalVAE:
        """Return a conditional VAE.

        Raises:
            ValueError: the data have no labels, or the networks do not fit them.
        """
        if classes is None:
            raise ValueError("model: a conditional model needs labels; the data have no labels")
        plain = build_vae(self, likelihood, prior, shape, generator=generator)
        return condition(plain, classes, generator=generator)


class _ForecastArchitecture(Architecture, Protocol):
    @property
    def n_past(self) -> int | None: ...


class _Forecast:
    """The past of a window is an input of encoder and decoder, and the decoder generates the future."""

    @property
    def traits(self) -> Traits:
        """The traits of a VAE that is given a past."""
        return Traits(told=Past.told)

    def __post_init__(self: _ForecastArchitecture) -> None:
        super().__post_init__()  # type: ignore[misc]
        n = self.n_past
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(
                f"n_past={'null' if n is None else n}: expected an integer >= 1; it is data.n_past where the data "
                "have one (data=windows, data=weather)"
            )

    def model(
        self: _ForecastArchitecture,
        likelihood: Likelihood,
        prior: PriorSpec | None,
        shape: tuple[int, ...],
        classes: Classes | None,
        *,
        generator: torch.Generator,
    ) -> ToldVAE:
        """Return a VAE of futures, whose decoder gives [T - n_past, f].

        Raises:
            ValueError: the data are not series, or have no step after the past.
        """
        assert self.n_past is not None
        n_steps, _ = steps_and_channels("forecast", shape)
        if self.n_past >= n_steps:
            raise ValueError(
                f"model.n_past={self.n_past}: the data's series have {n_steps} steps; expected at most "
                f"{n_steps - 1}, so that there is a future"
            )
        part = Past(self.n_past, tuple(shape))
        return build_told_vae(self, likelihood, prior, shape, part, generator=generator)


class _GivenArchitecture(Architecture, Protocol):
    @property
    def given(self) -> tuple[str, ...]: ...


class _GivenColumns:
    """Some columns of a table are inputs of encoder and decoder, and the decoder generates the others."""

    @property
    def traits(self: _GivenArchitecture) -> Traits:
        """The traits of a VAE that is given columns."""
        return Traits(told=told_columns(self.given))

    def __post_init__(self: _GivenArchitecture) -> None:
        super().__post_init__()  # type: ignore[misc]
        object.__setattr__(self, "given", _names(self.given))

    def model(
        self: _GivenArchitecture,
        likelihood: Likelihood,
        prior: PriorSpec | None,
        shape: tuple[int, ...],
        classes: Classes | None,
        *,
        generator: torch.Generator,
    ) -> ToldVAE:
        """Return a VAE of the other columns.

        Raises:
            ValueError: the data are no table, the likelihood is not one of tables, a column is unknown or constant,
                or no other column is left; one line.
        """
        if not isinstance(likelihood, TableLikelihood) or likelihood.table is None:
            raise ValueError(
                f"model.given={listed(self.given)}: columns of a table, and likelihood={likelihood.name} knows of "
                "none; expected data=table and likelihood=table"
            )
        table = likelihood.table
        part = Columns.of_table(table, self.given)
        others = [name for name in table.names if name not in self.given]
        rest = likelihood.for_table(table.part(others))
        return build_told_vae(self, rest, prior, shape, part, generator=generator)


def _names(given: object) -> tuple[str, ...]:
    """Return the names of columns, checked.

    Raises:
        ValueError: there are no names, or one occurs twice.
    """
    several = given if isinstance(given, list | tuple) else (given,)
    right = all(isinstance(name, str | int) and not isinstance(name, bool) for name in several)
    names = tuple(map(str, several))
    if not right or not all(names) or not names or len(set(names)) < len(names):
        shown = show(list(given) if isinstance(given, tuple) else given)
        raise ValueError(
            f"given={shown}: expected names of columns of the table, each once; unsaid it is data.target, where "
            "there is one"
        )
    return names


class _Deterministic:
    """The encoder gives a code without a variance."""

    @property
    def traits(self) -> Traits:
        """An encoder, but no log-variance and no prior."""
        return Traits(log_var=False, prior=False)

    def model(
        self: Architecture,
        likelihood: Likelihood,
        prior: PriorSpec | None,
        shape: tuple[int, ...],
        classes: Classes | None,
        *,
        generator: torch.Generator,
    ) -> Autoencoder:
        """Return an autoencoder.

        Raises:
            ValueError: a learned prior was asked for, or the networks do not fit the data.
        """
        _only_standard(prior, "an autoencoder has no prior to learn")
        with isolated(generator):
            encoder, decoder = self.encoder(tuple(shape), self.latent_dim), self.decoder(tuple(shape))
        return Autoencoder(encoder, decoder, likelihood.for_shape(tuple(shape)), self.latent_dim, shape)


class _AdversarialArchitecture(Architecture, Protocol):
    @property
    def adversary(self) -> Adversary: ...


class _Adversarial:
    """The decoder is trained against a discriminator: the encoder's layers with one logit."""

    @property
    def traits(self) -> Traits:
        """A prior, but no encoder."""
        return Traits(encoder=False, log_var=False)

    def model(
        self: _AdversarialArchitecture,
        likelihood: Likelihood,
        prior: PriorSpec | None,
        shape: tuple[int, ...],
        classes: Classes | None,
        *,
        generator: torch.Generator,
    ) -> GAN:
        """Return a GAN.

        Raises:
            ValueError: a learned prior was asked for, or the networks do not fit the data.
        """
        _only_standard(prior, "a GAN draws z from N(0, I)")
        if not likelihood.smooth:
            raise ValueError(
                f"model: a GAN is trained through decoded means, and those of likelihood={likelihood.name} have no "
                "gradient; expected model=mlp, or likelihood=gaussian"
            )
        with isolated(generator):
            decoder, discriminator = self.decoder(tuple(shape)), self.encoder(tuple(shape), 1)
        law = likelihood.for_shape(tuple(shape))
        return GAN(decoder, discriminator, law, self.latent_dim, self.adversary, shape)


@dataclass(frozen=True)
class ConditionalMLP(_Conditional, MLP):
    """`MLP` as a conditional model."""


@dataclass(frozen=True)
class ConditionalConv(_Conditional, Conv):
    """`Conv` as a conditional model."""


@dataclass(frozen=True)
class AutoencoderMLP(_Deterministic, MLP):
    """`MLP` as an autoencoder."""


@dataclass(frozen=True)
class AutoencoderConv(_Deterministic, Conv):
    """`Conv` as an autoencoder."""


@dataclass(frozen=True)
class GanMLP(_Adversarial, MLP):
    """`MLP`'s decoder as a GAN; `adversary` configures the training of the discriminator."""

    adversary: Adversary = field(kw_only=True)


@dataclass(frozen=True)
class GanConv(_Adversarial, Conv):
    """`Conv`'s decoder as a GAN; `adversary` configures the training of the discriminator."""

    adversary: Adversary = field(kw_only=True)


@dataclass(frozen=True)
class ForecastMLP(_Forecast, MLP):
    """`MLP`, given the first `n_past` steps of a window."""

    n_past: int | None = field(kw_only=True)


@dataclass(frozen=True)
class ForecastTCN(_Forecast, TCN):
    """`TCN`, given the first `n_past` steps of a window."""

    n_past: int | None = field(kw_only=True)


@dataclass(frozen=True)
class ForecastGRU(_Forecast, GRU):
    """`GRU`, given the first `n_past` steps of a window."""

    n_past: int | None = field(kw_only=True)


@dataclass(frozen=True)
class GivenMLP(_GivenColumns, MLP):
    """`MLP`, given the columns `given` of a table's row."""

    given: tuple[str | int, ...] | str | int | None = field(kw_only=True)
