"""The engines that run the jobs of a sweep: processes of this machine, a Ray cluster, Slurm."""
