"""Sweeps over many models: Hydra's launchers, the engines behind them, batched training, time and progress."""
