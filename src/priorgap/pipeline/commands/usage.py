"""The help texts of `priorgap audit`, `priorgap schema` and the commands on a store."""

COMPLETION_HELP = """\
usage: priorgap completion bash|zsh|fish

Print the function by which a shell completes commands, groups, options and keys. To have it in every shell:
  bash   echo 'eval "$(priorgap completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(priorgap completion zsh)"' >> ~/.zshrc
  fish   echo 'priorgap completion fish | source' >> ~/.config/fish/config.fish
"""

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

AUDIT_HELP = """\
usage: priorgap audit model=MODULE:FACTORY data=FILE|DIR [test=FILE|DIR] [out=DIR] ...
       priorgap audit onnx=ENCODER,DECODER data=FILE|DIR [test=FILE|DIR] [out=DIR] ...

Compare ways of sampling a VAE that you have: what to do, how sure that is, and a report, as compare() in Python.
Each key may be written as an option too: --model my_vae:load --onnx ENCODER DECODER.
  model=MODULE:FACTORY   a function of a module in this folder, or installed, that returns (encode, decode), an object
                         with these methods, or a dictionary of compare()'s arguments
  onnx=ENCODER,DECODER   two ONNX files: x to mean and log_var, z to x (extra: onnx)
  data=FILE|DIR          an .npz, .npy, .csv, .tsv, .parquet, .mat or .h5 file, or a folder of images: what the model
                         was trained on, and test rows (x_train, x_test; train/, test/); rows that come in no parts
                         are split by a seed
  test=FILE|DIR          rows that the model was not trained on; all of data are training rows then
  out=DIR                report.html, results.csv, verdict.json, table.md and .tex, figures/; default audit
  samplers=NAME,NAME     of conf/sampler; default those of a study
  metrics=NAME,NAME      of conf/metric, or standard (the default) or full
  features=NAME|FILE     classifier, pixels, rocket (series), efficientnet, inception, or an ONNX file of your own
  n=COUNT                draws per sampler; default one for each test row, at most 10,000
  seed=SEED              default 0
  range=LOW,HIGH         the values of images in the model, as -1,1; default found in the data
  posterior=MEAN,LOGVAR  which outputs of encode they are, by place or name; default told by their form
  data.KEY=VALUE         how data are read: image_size, resize, channels, background; x, target, drop, header, decimal
                         of tables and arrays; test_fraction, split_seed, ...

exit status: 0 done, 1 model or data must be mended first, and the report says how, 2 bad input
"""

SCHEMA_HELP = """\
usage: priorgap schema data.path=FILE [out=FILE.yaml] ...

Write what data=table takes the columns of a table to be (continuous, integer, categorical, ordinal, boolean,
datetime, or id: left out), as YAML. Edit it, and give it to the study: data.schema=FILE.yaml. Columns that it does
not name are told by their values. kind: ordinal needs its categories, in their order.
  data.path=FILE         a .csv, .tsv, .txt or .parquet file (required)
  out=FILE.yaml          a new file; default printed
  data.drop=[NAME,NAME]  columns to leave out
  data.schema=FILE       what is known already
  data.header=BOOL       data.decimal=point|comma: as of data=table

exit status: 0 done, 2 bad input
"""
