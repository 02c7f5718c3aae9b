"""Renders a chat template; a program of its own, see `chat_templates.py`.

Reads `{"template": ..., "variables": {...}}` from the input and writes `{"text": ...}`
or `{"error": ...}`. A template is someone else's program: it runs in Jinja's sandbox,
and this process has limits of time and memory and can write no file.
"""

import datetime
import json
import sys

MEMORY = 1 << 29  # bytes, beyond those of Python and Jinja
SECONDS = 5
LONGEST = 1 << 24  # characters of a text


class Refused(Exception):
    """What a template itself refuses, by `raise_exception`."""


def limit():
    """Sets the limits of this process, where the system has them."""
    try:
        import resource
    except ImportError:  # Windows: the caller's time-out is all there is
        return
    for name, value in (
        ("RLIMIT_AS", MEMORY + (1 << 28)),
        ("RLIMIT_CPU", SECONDS),
        ("RLIMIT_FSIZE", 0),
    ):
        resource.setrlimit(getattr(resource, name), (value, value))


def render(template, variables):
    """The text of a template."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message):
        raise Refused(str(message))

    def as_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(
        form
    )
    limit()
    text = environment.from_string(template).render(variables)
    if len(text) > LONGEST:
        raise ValueError(f"the text has {len(text)} characters, more than {LONGEST}")
    return text


def main():
    """Renders what the input says."""
    given = json.load(sys.stdin)
    try:
        found = {"text": render(given["template"], given["variables"])}
    except Refused as error:
        found = {"refused": str(error)}
    except MemoryError:
        found = {"error": "it needs too much memory"}
    except BaseException as error:  # whatever a template raises
        found = {"error": f"{type(error).__name__}: {error}"}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
