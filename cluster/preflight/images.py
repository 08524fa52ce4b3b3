"""Whether images can be pulled, by digest: from ECR by its API, from others by the registry's HTTP API.

The protocol is OCI's distribution spec 1.1; tokens are asked for without credentials, so images of private
registries other than ECR are found to need some, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import httpx

from cluster.preflight.account import Clients
from cluster.preflight.findings import Finding, State

AREA = "images"
TIMEOUT_S = 20.0
_ECR = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$")
_REFERENCE = re.compile(
    r"^(?P<host>[^/]+)/(?P<name>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?$"
)
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Image:
    """A reference in its parts; `version` is the digest, else the tag."""

    host: str
    name: str
    version: str

    @property
    def is_pinned(self) -> bool:
        return self.version.startswith("sha256:")


def read_reference(text: str) -> Image | None:
    """The parts of a reference with its registry's host; None: it is not one."""
    found = _REFERENCE.match(text)
    if not found or not ("." in found["host"] or ":" in found["host"]):
        return None
    return Image(found["host"], found["name"], found["digest"] or found["tag"] or "latest")


def check_images(
    references: Iterable[str], clients: Clients | None, transport: httpx.BaseTransport | None = None
) -> Iterator[Finding]:
    """A finding for each reference, each once. Without `clients` ECR's are skipped."""
    with httpx.Client(timeout=TIMEOUT_S, transport=transport, follow_redirects=True) as http:
        for text in dict.fromkeys(references):
            image = read_reference(text)
            if image is None:
                state, said = _short_name(text)
            elif _ECR.match(image.host):
                state, said = _in_ecr(image, clients)
            else:
                state, said = _in_registry(image, http)
            if state == "ok" and image is not None and not image.is_pinned:
                state, said = "warn", f"{said}; not pinned by digest"
            yield Finding(AREA, text.partition("@")[0], state, said)


def _short_name(text: str) -> tuple[State, str]:
    return "bad", f"{text} names no registry: give HOST/NAME@sha256:DIGEST"


def _in_ecr(image: Image, clients: Clients | None) -> tuple[State, str]:
    from botocore.exceptions import BotoCoreError, ClientError

    if clients is None:
        return "skipped", "ECR is asked with AWS credentials, which are not used (--no-aws)"
    found = _ECR.match(image.host)
    assert found is not None
    chosen = {"imageDigest": image.version} if image.is_pinned else {"imageTag": image.version}
    if image.is_pinned and set(image.version.partition(":")[2]) == {"0"}:
        return (
            "bad",
            "the digest is all zeros, a placeholder: push the image, and put its digest into the profile",
        )
    try:
        clients("ecr").describe_images(
            registryId=found.group(1), repositoryName=image.name, imageIds=[chosen]
        )
    except ClientError as exc:
        return _refused_by_ecr(image, exc.response.get("Error", {}))
    except BotoCoreError as exc:
        return "skipped", " ".join(str(exc).split())
    return "ok", f"in ECR of account {found.group(1)}"


def _refused_by_ecr(image: Image, error: Mapping[str, str]) -> tuple[State, str]:
    if error.get("Code") == "RepositoryNotFoundException":
        return "bad", f"ECR has no repository {image.name} at {image.host}"
    if error.get("Code") == "ImageNotFoundException":
        return "bad", f"the repository {image.name} has no image {image.version}"
    return "skipped", " ".join(f"{error.get('Code')}: {error.get('Message')}".split())


def _in_registry(image: Image, http: httpx.Client) -> tuple[State, str]:
    scheme = "http" if re.match(r"^(localhost|127\.0\.0\.1)(:|$)", image.host) else "https"
    host = "registry-1.docker.io" if image.host == "docker.io" else image.host
    url = f"{scheme}://{host}/v2/{image.name}/manifests/{image.version}"
    headers = {"Accept": _ACCEPT}
    try:
        answer = http.head(url, headers=headers)
        if answer.status_code == 401 and (token := _token(answer, image, http)):
            answer = http.head(url, headers=headers | {"Authorization": f"Bearer {token}"})
    except (httpx.HTTPError, ValueError) as exc:
        return "bad", f"{host} cannot be reached: {exc or exc.__class__.__name__}"
    if answer.status_code in (401, 403):
        return "warn", f"{host} asks for credentials; give the pods an imagePullSecret for it"
    if answer.status_code == 404:
        return "bad", f"{host} has no {image.name} {image.version}"
    if answer.status_code != 200:
        return "bad", f"{host} answers {answer.status_code} for {image.name}"
    told = answer.headers.get("docker-content-digest")
    if image.is_pinned and told and told != image.version:
        return "bad", f"{host} gives {told} for {image.version}"
    return "ok", f"at {host}"


def _token(answer: httpx.Response, image: Image, http: httpx.Client) -> str | None:
    """A token for pulling without credentials, from where the registry's challenge says; None: it gives none."""
    kind, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
    said = dict(_CHALLENGE.findall(rest))
    if kind.lower() != "bearer" or "realm" not in said:
        return None
    parameters = {"scope": said.get("scope", f"repository:{image.name}:pull")}
    if "service" in said:
        parameters["service"] = said["service"]
    given = http.get(said["realm"], params=parameters)
    if given.status_code != 200:
        return None
    document = given.json()
    token = document.get("token") or document.get("access_token")
    return str(token) if token else None
