"""Corrects the stub that stubgen writes of TensorRT's bindings, so that a type checker can read it.

    PYTHONPATH=FOLDER-OF-BINDINGS python tensorrt_stub.py STUB

What is added to the stub is tried on the bindings first; they must be importable.
"""

import ast
import re
import sys
from pathlib import Path

import tensorrt_bindings as trt  # type: ignore[import-not-found]  # from a scratch folder


class _Logger(trt.ILogger):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        trt.ILogger.__init__(self)


class _Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # as above
    def __init__(self) -> None:
        trt.IProgressMonitor.__init__(self)


def check_bindings() -> None:
    """Try what the stub is given by hand: subclassing, looping over dimensions, an enum as a bit."""
    _Logger()
    _Monitor()
    if tuple(trt.Dims((1, 12, 1000))) != (1, 12, 1000) or int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) < 0:
        raise TypeError("TensorRT's dimensions or enums have changed")


def correct(text: str) -> str:
    """Return a stub that parses, has `bool` for bool, and declares what the bindings' signatures leave out."""
    text = re.sub(r"^bool: DataType.*\n", "", text, flags=re.MULTILINE)  # hides the builtin in the signatures
    text = text.replace("typing.SupportsInt", "int")
    text = re.sub(r"def get_error\(.*", "def get_error(self, index: int) -> ParserError: ...", text)
    text = re.sub(r"(class Dims:\n)", r"\1    def __iter__(self) -> typing.Iterator[int]: ...\n", text)
    host_memory = r"\1    def __buffer__(self, flags: int, /) -> memoryview: ...  # as NVIDIA's samples use it\n"
    text = re.sub(r"(class IHostMemory:\n)", host_memory, text)
    lines = text.splitlines(keepends=True)
    while True:
        try:
            ast.parse("".join(lines))
        except SyntaxError as exc:  # a default before an argument without one; Python has no such signature
            at = (exc.lineno or 1) - 1
            corrected = re.sub(r"\(.*\) ->", "(self, *args: Any, **kwargs: Any) ->", lines[at])
            if corrected == lines[at]:
                raise
            lines[at] = corrected
        else:
            return "".join(lines) + "\n__version__: str  # from the package's __init__\n"


if __name__ == "__main__":
    check_bindings()
    sys.stdout.write(correct(Path(sys.argv[1]).read_text(encoding="utf-8")))
