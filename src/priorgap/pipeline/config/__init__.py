"""From what was typed to a plan: composed configurations, typed groups, their objects, every result they name."""
