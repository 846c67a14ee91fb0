"""Prints the JSON Schema of the configuration, for editors: `python -m edge.service.config_schema`."""

import json
import sys
from typing import Any

import msgspec

from edge.service.config import ServiceConfig


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration file, with a description of every property."""
    schema = msgspec.json.schema(ServiceConfig)
    for struct in schema["$defs"].values():
        if "kind" in struct["properties"]:  # msgspec's own tag of a union, to which no Meta can be attached
            struct["properties"]["kind"]["description"] = "The kind of source that this table describes."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(config_schema(), indent=2) + "\n")
