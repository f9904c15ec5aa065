"""What the commands on a store say of themselves."""

STORE_HELP = {
    "ls": """\
usage: priorgap ls [study=NAME] [output_root=DIR]

List the studies of a store: models, how many are trained or failed, whether there is a report, size, last result.
With study=NAME, the study's models: for each stage how many results are there of those that its cells name,
what is complete, failed or incomplete, size, seconds of training and when it ended.
  study=NAME       one study
  output_root=DIR  where the studies are; default outputs
""",
    "verify": """\
usage: priorgap verify [study=NAME] [output_root=DIR]

Read every file of a study (or of all), and of the data and references it stands on, and compare its checksum.
What is wrong is named, with what a rerun makes again. A rerun by itself reads what was touched since it was
written; a byte that a disk turned by itself is found here.
  study=NAME       one study
  output_root=DIR  where the studies are; default outputs

exit status: 0 all sound, 1 something is wrong, 2 bad input
""",
    "gc": """\
usage: priorgap gc [study=NAME] [--dry-run | --yes] [output_root=DIR]

Show what nothing needs: what killed processes left, checkpoints of no training that goes on, artifacts that no
cell of the study names (its cells are in outputs/NAME/cells; the last command that named a model says which
samplers and metrics it has). Without study=, also data and references that no study stands on.
What a running sweep works on is left alone. Nothing is removed without --yes.
  --dry-run        show only; the default
  --yes            remove
  study=NAME       one study
  output_root=DIR  where the studies are; default outputs
""",
    "merge": """\
usage: priorgap merge study=NAME from=DIR[,DIR...] [output_root=DIR]

Copy what other machines made of a study into this store, each artifact checked and whole; what is here stays.
Then `priorgap report study=NAME` reports on all of it, with the numbers of one run.
  study=NAME       the study's name (required)
  from=DIR[,DIR]   the output roots to take from (required)
  output_root=DIR  where to; default outputs

exit status: 0 done, 1 something was damaged or differs, 2 bad input
""",
}
