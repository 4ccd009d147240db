"""Load a function app through the public API of azure.functions and check its declarations."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devhost.errors import AppError
from devhost.worker.messages import Function
from devhost.worker.signatures import Signature, match


@dataclass(frozen=True)
class LoadedFunction:
    """One indexed function: its declaration and its code."""

    declared: Function
    call: Callable[..., Any]
    signature: Signature
    is_async: bool


def load_functions(root: Path) -> list[LoadedFunction]:
    """Import an app and index it, once per process. Raises AppError naming the function and the cause."""
    from azure.functions import FunctionRegister

    module_name = Path(os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")).stem
    if not (root / f"{module_name}.py").is_file():
        raise AppError(f"there is no {module_name}.py in {root}")
    if str(root) not in sys.path[:1]:
        sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise AppError(f"{module_name}.py cannot be imported: {_where(error, root)}") from error
    apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
    if len(apps) != 1:
        raise AppError(f"{module_name}.py: one function app at its top level is needed, {len(apps)} found")
    try:
        declared = apps[0].get_functions()
    except Exception as error:
        raise AppError(f"{module_name}.py cannot be indexed: {type(error).__name__}: {error}") from error
    if not declared:
        raise AppError(f"{module_name}.py declares no functions")
    return [_index(function) for function in declared]


def _where(error: BaseException, root: Path) -> str:
    """The error and the innermost line of the app in its trace, in one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(root) and "site-packages" not in path.parts:
            place = f" ({path.relative_to(root)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return text + place


def _index(declared: Any) -> LoadedFunction:
    name = declared.get_function_name()
    call = declared.get_user_function()
    bindings = tuple(json.loads(text) for text in declared.get_raw_bindings())
    triggers = [b for b in bindings if str(b["type"]).lower().endswith("trigger")]
    if len(triggers) != 1:
        raise AppError(f"cannot load the {name} function: one trigger is needed, {len(triggers)} found")
    function = Function(
        name=name,
        bindings=bindings,
        trigger=triggers[0],
        entry_point=str(getattr(declared, "_name", "") or name),
        retry_policy=declared.get_settings_dict("retry_policy"),
    )
    return LoadedFunction(function, call, match(name, call, bindings), inspect.iscoroutinefunction(call))
