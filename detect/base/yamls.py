"""Read YAML that people write: safely, and with each key once."""

from __future__ import annotations

from typing import Any

import yaml


class Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which the safe loader would drop the first without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping; ``yaml.YAMLError`` if a key stands twice."""
        known: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in known:
                    raise yaml.constructor.ConstructorError(None, None, f"its key '{key.value}' stands twice", key.start_mark)
                known.add(key.value)
        return super().construct_mapping(node, deep)
