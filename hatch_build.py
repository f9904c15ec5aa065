"""Project links for the built package, made of one setting: `address` in pyproject.toml."""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Links(MetadataHookInterface):
    """Adds the project's links where it has a public address."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `urls`; empty where there is no address."""
        address = str(self.config.get("address", "")).rstrip("/")
        pages = {
            "Repository": address,
            "Documentation": f"{address}/tree/main/docs",
            "Changelog": f"{address}/blob/main/CHANGELOG.md",
            "Issues": f"{address}/issues",
        }
        metadata["urls"] = pages if address else {}
