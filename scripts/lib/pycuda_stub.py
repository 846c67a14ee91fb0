"""Makes a type stub of `pycuda.driver` from the source of its Boost.Python wrapper (src/wrapper/wrap_cudadrv.cpp).

Parses the few forms in which that file declares classes, methods and functions. Arguments appear where the wrapper
names them, else any are allowed. The source has no types, except for those listed in `_RETURNS`.
"""

import re
import sys
from pathlib import Path

_CLASS = re.compile(r'py::class_<(?:[^;]*?)>\s*(?:wrp|cls)?\s*\(\s*"(\w+)"')
_METHOD = re.compile(r'\.(?:def\(\s*"(\w+)"|DEF_SIMPLE_METHOD(?:_WITH_ARGS)?\((\w+)|add_property\("(\w+)")')
_FUNCTION = re.compile(r'py::def\(\s*"(\w+)"(?P<rest>[^;]*);|DEF_SIMPLE_FUNCTION(?:_WITH_ARGS)?\(\s*(\w+)[^;]*;')
_STATIC = re.compile(r'\.staticmethod\("(\w+)"\)')
_ARGUMENT = re.compile(r'py::arg\("(\w+)"\)(\s*=)?|py::args\(((?:\s*"\w+",?)+)\)')
_ERROR = re.compile(r"DECLARE_EXC\((\w+), (?:NULL|Cuda)")
_RETURNS = {  # from the documentation; a name that the source lacks is left out of the stub
    "Device.count": "int",
    "Device.name": "str",
    "Device.compute_capability": "tuple[int, int]",
    "Device.retain_primary_context": "Context",
    "Device.make_context": "Context",
    "Stream.handle": "int",
    "mem_alloc": "DeviceAllocation",
    "mem_get_info": "tuple[int, int]",
}


def _arguments(text: str) -> str:
    """Return the parameters that the wrapper names; any are allowed where it names none."""
    found = []
    for name, default, several in _ARGUMENT.findall(text):
        if several:
            found += re.findall(r'"(\w+)"', several)
        else:
            found.append(name + (" = ..." if default else ""))
    given = [argument for argument in found if argument != "self"]
    if not given:
        return "*args: Any, **kwargs: Any"
    return ", ".join(re.sub(r"^(\w+)", r"\1: Any", argument) for argument in given)


def _class_stub(name: str, body: str) -> str:
    static = set(_STATIC.findall(body))
    lines = [f"class {name}:"]
    if "py::no_init" not in body.split(".def", maxsplit=1)[0] or '"__init__"' in body:
        lines.append("    def __init__(self, *args: Any, **kwargs: Any) -> None: ...")
    seen = {"__init__"}
    for match in _METHOD.finditer(body):
        method = match[1] or match[2] or match[3]
        if method in seen:
            continue
        seen.add(method)
        returns = _RETURNS.get(f"{name}.{method}", "int" if method in {"__int__", "__index__", "__hash__"} else "Any")
        if match[3]:
            lines += ["    @property", f"    def {method}(self) -> {returns}: ..."]
        elif method in static:
            lines += ["    @staticmethod", f"    def {method}(*args: Any, **kwargs: Any) -> {returns}: ..."]
        else:
            own = "self" if method.startswith("__") else "self, *args: Any, **kwargs: Any"
            lines.append(f"    def {method}({own}) -> {returns}: ...")
    return "\n".join(lines if len(lines) > 1 else [*lines, "    ..."])


def make_stub(source: str) -> str:
    """Return the stub's text."""
    source = re.sub(r"//[^\n]*", "", source)
    parts = ["from typing import Any", "", "class Error(Exception): ..."]
    parts += [f"class {name}(Error): ..." for name in _ERROR.findall(source) if name != "Error"]
    starts = list(_CLASS.finditer(source))
    for match, following in zip(starts, [*starts[1:], None], strict=True):
        end = source.find(";", match.end())
        ends = [
            position for position in (source.find("\n  }", match.end()), following and following.start()) if position
        ]
        body = source[match.start() : max(end, min(ends))]
        parts.append(_class_stub(match[1], body))
    for match in _FUNCTION.finditer(source):
        name = match[1] or match[3]
        parts.append(f"def {name}({_arguments(match['rest'] or '')}) -> {_RETURNS.get(name, 'Any')}: ...")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(make_stub(Path(sys.argv[1]).read_text(encoding="utf-8")))
