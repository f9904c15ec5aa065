"""The stages: each has `work(job, desk)`, which yields every result of a job as soon as it is made."""
