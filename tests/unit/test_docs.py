"""README and docs are true: their commands, files, settings and links exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployments.settings import DeploymentSettings, ReasoningSettings, SecretSettings
from model_store.settings import StoreSettings
from serve_app.settings import ClientSettings, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = re.compile(r"^\s*(?:echo .* \| )?(?:\.venv/bin/)?(make|muster|serve) +([^#|\n]*)", re.MULTILINE)


def blocks(page):
    return "\n".join(re.findall(r"```(?:bash|sh)\n(.*?)```", page.read_text(), re.DOTALL))


def commands(tool):
    return sorted({words.strip() for page in PAGES for name, words in COMMANDS.findall(blocks(page)) if name == tool})


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {words.split()[0] for words in commands("make")}
    assert asked
    assert asked <= targets


@pytest.mark.parametrize("words", commands("muster"))
def test_muster_commands_exist(words):
    """Every option of a documented command is one that its help names."""
    names = [word for word in re.split(r"\s+&&.*|\s+", words) if word]
    path = []
    for name in names:
        if name.startswith("-") or len(path) == 2 or (path and path[0] not in ("models", "skills", "heads")):
            break
        path.append(name)
    help_page = subprocess.run(
        [sys.executable, "-m", "serve_app.cli.main", *path, "--help"], capture_output=True, text=True
    )
    assert help_page.returncode == 0, help_page.stderr
    for option in re.findall(r"--[a-z-]+", words.split("&&")[0]):
        assert option in help_page.stdout


def test_every_setting_is_documented_and_every_documented_setting_exists():
    text = (ROOT / "docs/operations.md").read_text()
    known = {
        field.validation_alias or f"{settings.model_config['env_prefix']}{name.upper()}"
        for settings in (
            Settings, ClientSettings, DeploymentSettings, StoreSettings, ReasoningSettings, SecretSettings,
        )
        for name, field in settings.model_fields.items()
    }  # fmt: skip
    documented = set(re.findall(r"`(MUSTER_[A-Z_]+)`", text))
    assert known <= documented
    assert documented <= known


def test_links_to_files_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_named_in_the_docs_exist():
    for page in PAGES:
        for name in re.findall(
            r"`((?:serve_app|deployments|model_store|benchmarks|deploy|tests)/[\w/.-]+)`", page.read_text()
        ):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_changelog_names_the_version():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


def test_curl_lines_of_the_readme_are_what_the_start_prints():
    from serve_app.cli import serving

    printed = Path(serving.__file__).read_text()
    for route in re.findall(r"curl .*?http://127\.0\.0\.1:8000(/\S+)", (ROOT / "README.md").read_text()):
        assert f"{{url}}{route}" in printed


def test_the_topology_is_yaml_that_serve_reads():
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(yaml.safe_load((ROOT / "serve_config.yaml").read_text()))
