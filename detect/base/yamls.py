"""Read YAML that people write: safely, and with each key once."""

from __future__ import annotations

from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which the safe loader would drop the first without a word."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping as it is written; ``yaml.YAMLError`` if a key stands twice. Keys that ``<<`` takes from elsewhere come later."""
        node = super().compose_mapping_node(anchor)
        known: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in known:
                    raise yaml.constructor.ConstructorError(None, None, f"its key '{key.value}' stands twice", key.start_mark)
                known.add((key.tag, key.value))
        return node
