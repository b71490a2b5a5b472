"""Checks ``serve_config.yaml`` harder than Serve does: Serve drops unknown keys silently, so a typo changes nothing.

Every mapping in the file is compared with the fields of the schema that Serve reads it with; application ``args`` are
validated by the builders themselves.
"""

import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from model_store.catalogue import load_catalogue
from serve_app.errors import SettingsError
from serve_app.role_plan import check_roles, role_plan_of


def check_topology(config: Mapping[str, Any]) -> None:
    """Raises ``SettingsError`` naming every unknown key with its path and the known ones, or a role's wrong model."""
    from ray.serve.schema import ServeDeploySchema

    problems = list(_unknown(ServeDeploySchema, config, ""))
    if problems:
        raise SettingsError("serve_config.yaml: " + "; ".join(problems))
    check_roles(role_plan_of(config), load_catalogue())


def check_applications(config: Mapping[str, Any]) -> None:
    """Build every application as Serve would; raises ``SettingsError`` for bad ``args`` or a wrong deployment name."""
    from pydantic import ValidationError
    from ray._common.utils import import_attr
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
    from ray.serve._private.build_app import build_app

    for application in config["applications"]:
        name = application["name"]
        try:
            built = call_user_app_builder_with_args_if_necessary(
                import_attr(application["import_path"]), application.get("args", {})
            )
        except (ValidationError, ImportError, AttributeError) as error:
            raise SettingsError(f"serve_config.yaml: application {name} cannot be built: {error}") from error
        known = {deployment.name for deployment in build_app(built, name=name).deployments}
        for deployment in application.get("deployments", ()):
            if deployment["name"] not in known:
                raise SettingsError(
                    f"serve_config.yaml: application {name} has no deployment {deployment['name']!r}, "
                    f"only {', '.join(sorted(known))}"
                )


def _unknown(schema: type[BaseModel], data: Any, path: str) -> Iterator[str]:
    if not isinstance(data, Mapping):
        return
    for key, value in data.items():
        here = f"{path}.{key}" if path else str(key)
        field = schema.model_fields.get(str(key))
        if field is None:
            yield f"unknown key {here} (known here: {', '.join(sorted(schema.model_fields))})"
            continue
        nested = _nested(field.annotation)
        if nested is None:
            continue
        for index, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
            yield from _unknown(nested, item, here if index is None else f"{here}[{index}]")


def _nested(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as ``Optional[Union[Dict, List[Model]]]``."""
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    for part in typing.get_args(annotation):
        found = _nested(part)
        if found is not None:
            return found
    return None
