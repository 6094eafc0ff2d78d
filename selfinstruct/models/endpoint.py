"""A model that servers serve over HTTP: `http://host:8000/v1#name`.

A served model has no files here, so its identity is what its server tells: the name, the server's
kind, the context length, and how it splits a fixed text into tokens.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.installing import install_line
from selfinstruct.common.records import Endpoint, LocalModel

KEY_VARIABLE = "OPENAI_API_KEY"
_SECONDS = 20.0
_SHORTEST_KEY = 4  # characters; a shorter one is a placeholder, and part of other words
# Splits in other ways by every tokenizer that we know.
_PROBE = "Naïve cafés: 1,234.50 € — 東京で3人。\n\tdef f(x): return x**2  # Привет, thế giới"


# In an address: http://user:password@host, or a query such as ?api_key=…
_SECRET_IN_URL = re.compile(r"//[^/@]*@|\?")
_SECRET_OPTION = re.compile(r"(?:^|[_-])(?:token|api[_-]?key|password|secret)$", re.IGNORECASE)


def is_endpoint(model: str) -> bool:
    """Whether a model's name is the address of a server."""
    return model.startswith(("http://", "https://"))


def split_endpoint(model: str) -> tuple[str, str]:
    """Return the API root and the served name of `http://host:8000/v1#name`; the name may miss.

    Raises:
        ConfigError: the address holds a password or a query: it would be stored with the run.
    """
    url, _, name = model.partition("#")
    _refuse_secret(url)
    return url.rstrip("/"), name


def resolve_endpoint(name: str, urls: Sequence[str] = ()) -> LocalModel:
    """Return the model that servers serve.

    Args:
        name: an address with the served name behind `#`, or the served name alone.
        urls: the API roots of the servers, where `name` has no address.

    Raises:
        ConfigError: no server answers, or none serves the model.
    """
    if is_endpoint(name):
        url, served = split_endpoint(name)
        urls = (url,)
    else:
        served = name
    card, root = _card(urls, served)
    server = _server(root)
    endpoint = Endpoint(tuple(urls), str(card["id"]), server)
    config: dict[str, Any] = {"model_type": "served"}
    length = card.get("max_model_len") or (card.get("meta") or {}).get("n_ctx_train")
    if length:
        config["max_position_embeddings"] = int(length)
    digest = _digest(endpoint, length, _split(root, endpoint))
    shown = f"{root}#{endpoint.served}" if is_endpoint(name) else endpoint.served
    return LocalModel(shown, Path(), digest, config, None, endpoint)


def with_endpoint(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return configuration values in which a model's address is split into address and name.

    The name decides what a run contains; the address is free to change when it goes on. Values
    that name servers choose the engine that asks them.

    Raises:
        ConfigError: a value is a secret, which would be stored in run.yaml.
    """
    model, engine = dict(values.get("model") or {}), dict(values.get("engine") or {})
    name = model.get("name")
    if isinstance(name, str) and is_endpoint(name):
        url, served = split_endpoint(name)
        engine = {"base_url": [url], **engine}
        model["name"] = served or str(_card([url], "")[0]["id"])
    urls = engine.get("base_url")
    for url in [urls] if isinstance(urls, str) else urls or ():
        _refuse_secret(str(url))
    options = engine.get("options")
    for option in options if isinstance(options, Mapping) else ():
        if _SECRET_OPTION.search(str(option)):
            raise ConfigError(
                f"engine.options.{option}: would be stored in run.yaml; leave it out, and set it "
                "in the environment (HF_TOKEN for the hub)"
            )
    if urls:
        engine.setdefault("name", "openai")
    sections = {"model": model, "engine": engine}
    return {**values, **{name: section for name, section in sections.items() if section}}


def require_folder(model: LocalModel) -> None:
    """Raise ConfigError for a model that a server serves: its weights are not here."""
    if model.endpoint is not None:
        raise ConfigError(
            f"model {model.name}: is behind a server, and this needs its weights; "
            "give the folder of its weights, or its name on the hub"
        )


def _refuse_secret(url: str) -> None:
    if _SECRET_IN_URL.search(url):
        shown = _SECRET_IN_URL.sub(lambda found: "//…@" if found[0] != "?" else "?", url)
        raise ConfigError(
            f"{shown.partition('?')[0]}: an address with a password or a query would be stored "
            f"with the run; leave it out, and set {KEY_VARIABLE} in the environment"
        )


def without_key(text: str) -> str:
    """Return a text, such as a server's error, without the key of the environment."""
    key = os.environ.get(KEY_VARIABLE, "")
    return text.replace(key, "…") if len(key) >= _SHORTEST_KEY else text


def client_of(url: str, seconds: float, *, asynchronous: bool = False) -> Any:
    """Return a client of a server, which sends each request once.

    The key comes from the environment alone; servers of one's own need none.

    Raises:
        ConfigError: the package is missing.
    """
    try:
        import openai
    except ImportError as error:
        raise ConfigError(
            f"the package `openai` is missing, which asks servers: {install_line('openai')}"
        ) from error
    kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    key = os.environ.get(KEY_VARIABLE) or "none"
    return kind(base_url=url, api_key=key, max_retries=0, timeout=seconds)


def _card(urls: Sequence[str], served: str) -> tuple[dict[str, Any], str]:
    """Return what the first server that answers tells about the model, and its API root."""
    import openai

    problems = []
    for url in urls:
        try:
            models = client_of(url, _SECONDS).get("/models", cast_to=object)
        except openai.APIStatusError as error:
            advice = f"set {KEY_VARIABLE}" if error.status_code in (401, 403) else "check it"
            raise ConfigError(
                f"{url}: answers {error.status_code} to /models; {advice} (the address usually "
                "ends in /v1)"
            ) from error
        except (openai.APIError, ValueError) as error:
            problems.append(f"{url} ({without_key(why(error))})")
            continue
        cards = [card for card in _listed(models) if isinstance(card.get("id"), str)]
        if not served and len(cards) == 1:
            return cards[0], url
        for card in cards:
            if card["id"] == served:
                return card, url
        names = ", ".join(card["id"] for card in cards[:10]) or "nothing"
        asked = f"not {served!r}" if served else "so name one"
        raise ConfigError(f"{url}: serves {names}, {asked}; give the model as {url}#NAME")
    raise ConfigError(
        f"no server answers at {', '.join(problems) or 'no address'}; start it, or check --base-url"
    )


def _listed(models: Any) -> list[dict[str, Any]]:
    data = models.get("data") if isinstance(models, Mapping) else None
    return [card for card in data or [] if isinstance(card, dict)]


def _server(url: str) -> str:
    """Return the kind and version of a server: each kind has an address of its own that tells."""
    root = url.removesuffix("/v1")
    for kind, path, key in (
        ("ollama", "/api/version", "version"),
        ("vllm", "/version", "version"),
        ("sglang", "/get_model_info", "model_path"),
        ("llama.cpp", "/props", "build_info"),
    ):
        told = _told(root, path)
        if isinstance(told, Mapping) and key in told:
            version = told[key] if key != "model_path" else ""
            return f"{kind} {version}".strip()
    return "unknown"


def _told(root: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    import openai

    client = client_of(root, _SECONDS)
    try:
        if body is None:
            return client.get(path, cast_to=object)
        return client.post(path, body=body, cast_to=object)
    except (openai.APIError, ValueError):
        return None


def _split(url: str, endpoint: Endpoint) -> str:
    """Return how the server splits a fixed text into tokens, where it tells."""
    if not endpoint.is_vllm:
        return ""
    body = {"model": endpoint.served, "prompt": _PROBE}
    told = _told(url.removesuffix("/v1"), "/tokenize", body)
    return str(told.get("tokens")) if isinstance(told, Mapping) else ""


def _digest(endpoint: Endpoint, length: int | None, tokens: str) -> str:
    kind = endpoint.server.split()[0]
    text = "\0".join((endpoint.served, kind, str(length), tokens))
    return f"served-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
