"""Configuration, payloads and manifest as tables, made from the JSON Schemas of their structs."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from edge.alarms.specs import AlarmOverride
from edge.bundle.manifest import Manifest
from edge.publish.schemas import PAYLOADS
from edge.service.config_schema import config_schema

Schema = dict[str, Any]
_HEADINGS = {  # of the tables of the configuration file, in the order of the page
    "ServiceConfig": "Top level",
    "DeviceConfig": "[device]",
    "WfdbConfig": '[[source]], kind = "wfdb"',
    "SyntheticConfig": '[[source]], kind = "synthetic"',
    "SerialConfig": '[[source]], kind = "serial"',
    "MqttConfig": '[[source]], kind = "mqtt"',
    "BrokerConfig": "[broker]",
    "ClassifierConfig": "[classifier]",
    "BundleConfig": "[bundle]",
    "PublishConfig": "[publish]",
    "HomeAssistantConfig": "[publish.home_assistant]",
    "HealthConfig": "[health]",
    AlarmOverride.__name__: "[alarm.LABEL]",
}


_WORDS = {"array": "list", "object": "table", "string": "text", "boolean": "true or false", "null": "nothing"}


def configuration(_: str) -> str:
    """Return a section for each table of the configuration file."""
    definitions = _definitions(config_schema())
    order = sorted(definitions, key=lambda name: list(_HEADINGS).index(name) if name in _HEADINGS else len(_HEADINGS))
    return "\n\n".join(_section(_HEADINGS.get(name, name), definitions[name]) for name in order)


def payload(name: str) -> str:
    """Return the properties of one payload and of the structs in it."""
    (kind,) = (kind for kind in PAYLOADS if kind.__name__ == name)
    definitions = _definitions(msgspec.json.schema(kind))
    first = definitions.pop(name)
    parts = [_text(first), f"JSON Schema: [`{name}.json`](schemas/{name}.json)", _table(first)]
    parts += [f"`{inner}`: {_text(schema)}\n\n{_table(schema)}" for inner, schema in definitions.items()]
    return "\n\n".join(parts)


def manifest(_: str) -> str:
    """Return the properties of a bundle's manifest."""
    definitions = _definitions(msgspec.json.schema(Manifest))
    first = definitions.pop("Manifest")
    return "\n\n".join([_table(first), *(_section(name, schema) for name, schema in definitions.items())])


def schema_files() -> dict[str, str]:
    """Return the text of each JSON Schema by its file's name."""
    files = {f"{kind.__name__}.json": msgspec.json.schema(kind) for kind in PAYLOADS}
    files["ecg-edge.json"] = config_schema()
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in files.items()}


def _definitions(schema: Schema) -> dict[str, Schema]:
    """Return the structs in a schema that are objects with properties, by name."""
    return {name: each for name, each in schema.get("$defs", {}).items() if each.get("properties")}


def _section(heading: str, schema: Schema) -> str:
    return f"## {heading}\n\n{_text(schema)}\n\n{_table(schema)}"


def _text(schema: Schema) -> str:
    return inspect.cleandoc(str(schema.get("description", ""))).partition("\n\nParameters\n")[0]


def _table(schema: Schema) -> str:
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_kind(each)} | {_default(each, required=name in required)} | {_meaning(each)} |"
        for name, each in schema["properties"].items()
    ]
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def _kind(schema: Schema) -> str:
    """Return the type of a property in a few words."""
    match schema:
        case {"$ref": path}:
            name = path.rpartition("/")[2]
            words = f"`{_HEADINGS.get(name, name).removeprefix('[[source]], ')}`"
        case {"anyOf": kinds}:
            words = " or ".join(dict.fromkeys(map(_kind, kinds)))
        case {"enum": choices}:
            words = " or ".join(f"`{json.dumps(choice)}`" for choice in choices)
        case {"type": "array", "items": dict(items)} if items:
            words = f"list of {_kind(items)}"
        case {"type": "object", "additionalProperties": dict(values)} if values:
            words = f"table of {_kind(values)}"
        case {"type": "string", "format": "date-time"}:
            words = "time"
        case {"type": "string", "contentEncoding": "base64"}:
            words = "bytes as base64"
        case {"type": str(kind)}:
            words = " ".join([_WORDS.get(kind, kind), *_bounds(schema)])
        case _:
            words = "any"
    return words


def _bounds(schema: Schema) -> Iterator[str]:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    for key, word in words.items():
        if key in schema:
            yield f"{word} {schema[key]:g}"


def _default(schema: Schema, *, required: bool) -> str:
    if required:
        return "required"
    value = schema.get("default")
    return "" if value is None or value == [] or isinstance(value, dict) else f"`{json.dumps(value)}`"


def _meaning(schema: Schema) -> str:
    inner = (str(each.get("description", "")) for each in schema.get("anyOf", ()) if "$ref" not in each)
    text = schema.get("description") or next(filter(None, inner), "")
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
