"""The console script: commands and exit codes; heavy imports happen only where a command needs them."""

import errno
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from priorgap.core.errors import BadInput, refusing
from priorgap.pipeline import extras
from priorgap.pipeline.commands import flags
from priorgap.pipeline.signals import as_interrupts
from priorgap.pipeline.terminal import LINE, say

USAGE = """\
priorgap: sample a VAE from its prior, its posterior or a fitted density? Evidence, with uncertainty.

usage: priorgap COMMAND [-m] [--config-dir DIR] [HYDRA FLAG ...] [OVERRIDE ...]
       priorgap COMMAND --help

commands:
  run         every stage for one model, or for each model of a sweep (-m), then the study's report
  prepare     get the data set, verify it, store it as tensors
  reference   what is known of the real data alone: classifiers, features, real/real floors
  train       train the models
  calibrate   fold the moments of the training posteriors into head and first layer
  encode      posteriors of the training, validation and test images
  sample      fit each sampler and draw its latents
  measure     the mismatch per model; quality, copying and accuracy per sampler
  report      verdict.json, results.csv, figures and report.html of a study
  plan        what a command would make, and what is there of it; nothing is trained
  publish     a committed study's results, figures and provenance, beside its experiments/ID/config.yaml
  audit       a model of your own, by a function or two ONNX files: what to sample it from, and a report
  schema      what the columns of a table are taken to be, as a file to edit
  generate    a synthetic data set from a finished study, as .npz, .parquet, .csv or PNGs
  ls          the studies of a store, or a study's models: what is complete, what is missing
  verify      every checksum of a study, and what a rerun would make again
  gc          what nothing needs any more: shown, and removed with --yes
  merge       bring what other machines made of a study into this store
  completion  the function by which bash, zsh or fish completes what is typed

options:
  -m, --multirun            sweep: comma-separated values in overrides make a grid
  -cd, --config-dir DIR     one more folder of configuration files, before ./conf and the package's
  -c, --cfg [WHAT]          print the composed configuration of the first cell and stop; WHAT is job, hydra or all;
                            without it job, resolved, as priorgap reads it
  -r, --resolve             with --cfg: references resolved
  -p, --package KEY         with --cfg: that part alone
  -i, --info [WHAT]         how it came about: all, config, defaults, defaults-tree, plugins, searchpath
  -q, --quiet               results, warnings and errors only
  -v, --verbose             a line for each step, in place of one live line on a terminal
  -sc, --shell-completion   install=SHELL or uninstall=SHELL prints what the shell evaluates: bash, zsh or fish
  --version                 print the version

exit status: 0 done, 1 some cells failed, 2 bad input, 130 interrupted (143, 129: told to end)
"""

_OVERRIDES = """\
overrides (Hydra's syntax; conf/ holds the vocabulary):
  data=digits|mnist|fashion_mnist|cifar10|image_folder|npz|file|windows|table|linear_gaussian|sines|weather|wage|...
  model=mlp|conv|linear|conditional_mlp|autoencoder_mlp|gan_mlp|... model.latent_dim=16  likelihood=gaussian|bernoulli
  loss.alpha=1 loss.beta=1 loss.reduction=sum|mean trainer.max_epochs=12 seed=0
  sampler=[prior,posterior,gmm]   samplers.gmm.n_components=20   n_samples=10000
  metric=standard  features=[classifier,pixels,rocket]  calibrate=false|true|both
  tracking=offline|online|off  study=NAME  experiment=ID  data.root=DIR  data.download=true
  hydra/launcher=joblib|ray|slurm   hydra.launcher.n_jobs=4   trainer=default|batched   (docs/sweeps.md)
  hydra.launcher.shared_disk=false  with ray: the nodes do not see the output root
"""

_STAGE_HELP = {
    "run": "Run every stage for one model, or for each model of a sweep, then the study's report.\n"
    "Finished work is skipped; a killed run goes on where it stopped.\n\n"
    "examples:\n"
    "  priorgap run data=mnist loss.alpha=10 loss.beta=1 seed=0\n"
    "  priorgap run -m data=digits loss.alpha=1,10,100 seed=0,1,2 study=alpha\n"
    "  priorgap run experiment=e01_alpha\n",
    "prepare": "Get the data set (verified by checksum), split it, store it as tensors.\n",
    "reference": "Train the real-data classifiers and measure the floors of each feature space.\n",
    "train": "Train the models; training resumes from the last finished epoch.\n",
    "calibrate": "Make the calibrated variants (calibrate=true or both): same reconstructions, moments matched.\n",
    "encode": "Encode the training, validation and test images of each model.\n",
    "sample": "Fit each selected sampler and draw n_samples latents.\n",
    "measure": "Measure each model and each sampler.\n",
    "report": "Write the study's report; with study=NAME alone, of all that is complete in the study.\n",
    "plan": "Say how many results of each stage a command would make, and how many are there.\n"
    "The plan of each stage is written to outputs/STUDY/plan: settings, inputs and code of its results.\n"
    "DVC's stages depend on these files.\n",
    "publish": "Write the report of a committed study anew, and copy results.csv, provenance.json and the\n"
    "study's figures to experiments/ID. Nothing else writes there.\n\n"
    "example:\n  priorgap publish experiment=e01_alpha\n",
}

_GENERATE_HELP = """\
usage: priorgap generate study=NAME n=COUNT out=PATH [model_id=best] [sampler=NAME] [class=CLASS] [seed=0] ...

Draw a synthetic data set from a finished study.
  study=NAME      the study's name (required)
  n=COUNT         how many samples (required, 1 or more)
  out=PATH        .npz, .parquet or .csv file, or a folder of PNGs (required); PATH.card.md says what they are
  format=FORMAT   npz, parquet, csv or png; by the ending of out when left out
  class=CLASS     rows of this class alone, by its name or number; default all classes in their shares
  given=FILE      of models that are told columns (model=given_mlp): a table of these columns, its rows in turn;
                  default those of random test rows
  decode=RULE     mean or draw of p(x|z); default as it was measured
  model_id=ID     any unique prefix of a model's id; default best: the best model for the sampler
  sampler=NAME    default: the verdict's best sampler that neither copies nor reconstructs
  seed=SEED       default 0
  plugins=[NAME]  packages whose samplers, models or data the study used, if you trust them
  output_root=DIR where the studies are; default outputs
"""

# Errors of the disk (full, read-only, quota, file-size limit, permissions) are no bugs, so they give one line and no
# traceback.
_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)

# Commands that read no configuration.
_PLAIN = ("audit", "schema", "generate", "ls", "verify", "gc", "merge", "completion")
# Commands that read a configuration and are no stages.
_ON_STUDIES = ("plan", "publish")
# Commands that need only the library, not the pipeline's extra.
_LIBRARY = ("audit",)

COMMANDS = (*_STAGE_HELP, *_PLAIN)
STAGES = ("prepare", "reference", "train", "calibrate", "encode", "sample", "measure")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the console script and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal lacks is written as its code instead of raising an error.
            stream.reconfigure(errors="backslashreplace")
    with as_interrupts() as received:
        try:
            status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        except KeyboardInterrupt:
            # The terminal may be closed already.
            with suppress(OSError):
                say("interrupted; the same command goes on where it stopped")
            status = received.status
        except OSError as error:
            if error.errno not in _STORAGE:
                raise
            say(f"{error}; the same command goes on where it stopped")
            status = 1
        sys.exit(status)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if arguments[0] == "--version":
        from priorgap import __version__

        sys.stdout.write(f"priorgap {__version__}\n")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        arguments = ["run", *arguments]
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(command, COMMANDS, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        say(f"{command}: unknown command; {meant}expected one of {', '.join(COMMANDS)}")
        return 2
    if "-h" in rest or "--help" in rest:
        sys.stdout.write(_help(command))
        return 0
    try:
        if command not in _LIBRARY:
            with refusing():
                extras.require(f"priorgap {command}", "pipeline", extras.PIPELINE)
        if command in _PLAIN:
            status: int = import_module(f"priorgap.pipeline.commands.{command}").main(rest)
            return status
        with refusing():
            typed = flags.parse(rest)
            if typed.shows:
                from priorgap.pipeline.config import shown

                return shown.show(typed, COMMANDS)
            LINE.quiet, LINE.verbose = typed.quiet, typed.verbose
            LINE.begin()
            LINE.at("reading the configuration")
            # Importing this module refuses an unsuitable version of Hydra.
            from priorgap.pipeline.commands import run
        if command in _ON_STUDIES:
            own = import_module(f"priorgap.pipeline.commands.{command}")
            return int(own.main(typed.overrides, typed.multirun, typed.config_dir))
        return run.main(command, typed.overrides, typed.multirun, typed.config_dir)
    except BadInput as error:
        say(str(error))
        return 2
    finally:
        LINE.close()


def _help(command: str) -> str:
    if command == "generate":
        return _GENERATE_HELP
    if command == "audit":
        from priorgap.pipeline.commands.usage import AUDIT_HELP

        return AUDIT_HELP
    if command == "completion":
        from priorgap.pipeline.commands.usage import COMPLETION_HELP

        return COMPLETION_HELP
    if command == "schema":
        from priorgap.pipeline.commands.usage import SCHEMA_HELP

        return SCHEMA_HELP
    if command in _PLAIN:
        from priorgap.pipeline.commands.usage import STORE_HELP

        return STORE_HELP[command]
    usage = f"usage: priorgap {command} [-m] [--config-dir DIR] [--cfg [job|hydra|all]] [OVERRIDE ...]\n\n"
    from priorgap.core.build import configuration_directory
    from priorgap.pipeline.commands.keys import help_of

    keys = help_of(command, configuration_directory())
    return f"{usage}{_STAGE_HELP[command]}\n{_OVERRIDES}\n{keys}"
