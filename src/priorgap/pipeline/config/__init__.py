"""From typed words to a plan: composed configurations, typed groups, their objects, all results that they name."""
