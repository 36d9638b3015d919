"""The image, as far as it can be told without a container engine: the steps of the Dockerfile, done in a folder."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPONENTS = ("activator", "autoscaler", "controller", "gateway", "queueproxy")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile, continued lines joined."""
    text = "\n".join(line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def copied() -> list[tuple[str, str]]:
    """(source, target) of what the build takes from the checkout."""
    pairs = []
    for word, rest in stages()[0]:
        if word == "COPY":
            *sources, target = rest.split()
            pairs += [(source, target if target != "./" else source) for source in sources]
    return pairs


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the image has its packages in, made as the Dockerfile says."""
    folder = tmp_path_factory.mktemp("image")
    source = folder / "src"
    source.mkdir()
    for name, target in copied():
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, source / target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copy(origin, source / target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # What the wheels of others need comes from where the tests run.
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder / "wheels"), str(source)]
    subprocess.run([*pip, *build], check=True, timeout=100)
    wheels = map(str, (folder / "wheels").glob("*.whl"))
    # Else pip would take the checkout's own installation away from the tests that run beside this one.
    where = ["--ignore-installed", "--prefix", str(folder / "install")]
    install = ["install", "--no-index", "--no-deps", "--no-compile", *where, *wheels]
    subprocess.run([*pip, *install], check=True, timeout=100)
    (packages,) = (folder / "install").rglob("site-packages")
    return packages


def test_every_file_of_every_package_is_in_the_wheel(installed: Path) -> None:
    packages = [pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
    for package in packages:
        wanted = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py")}
        assert wanted <= {path.relative_to(installed) for path in (installed / package).rglob("*.py")}, package
        assert (installed / package / "py.typed").exists() or not (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_starts_from_the_image_alone(installed: Path, component: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    where = f"import {component}, upwell; print({component}.__file__); print(upwell.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert all(Path(line).is_relative_to(installed) for line in found.stdout.splitlines()), "not the checkout"

    command = [sys.executable, "-P", "-m", component, "--help"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("usage:")
    assert component in ran.stdout


def test_the_image_is_the_sidecar_unless_an_argument_says_otherwise() -> None:
    final = dict(stages()[-1])

    assert final["ENTRYPOINT"] == '["python", "-P", "-m"]', "no shell between the kubelet's signals and the process"
    assert final["CMD"] == '["queueproxy"]', "the pods of revisions give no argument"


def test_the_image_runs_as_a_user_that_is_not_root_and_brings_no_tools_for_building() -> None:
    build, final = stages()
    text = " ".join(rest for _, rest in final)

    assert dict(final)["USER"] == "65532:65532"
    assert "gcc" in " ".join(rest for _, rest in build)
    assert not re.search(r"\b(apt-get|gcc|curl|wget)\b", text)
    assert "pip uninstall" in text
    assert not re.search(r":latest\b", text)
    assert "org.opencontainers.image.licenses" in text


def test_the_python_of_the_image_is_one_that_the_project_supports() -> None:
    (_, default) = next(rest.split("=") for word, rest in instructions() if word == "ARG")
    minor = int(default.split("-")[0].split(".")[1])
    low, high = map(int, re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"]))

    assert low <= minor < high


def test_what_is_copied_exists_and_is_let_through_to_the_build() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for source, _ in copied():
        assert (ROOT / source).exists()
        assert f"!{source}" in patterns, "everything else is left out"
    assert not any(fnmatch("tests", pattern.lstrip("!")) for pattern in patterns if pattern.startswith("!"))
