"""What HTML pages have in common: their style, the units of their numbers, and how their templates are read."""

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined

from vpdata.pages.units import as_bytes, as_count, as_digits, as_duration, as_millions


def environment(package: str) -> Environment:
    """Templates of a package by name, and `pages/style.css`; an unknown name in a template is an error."""
    made = Environment(
        loader=PrefixLoader({"pages": PackageLoader("vpdata.pages", "."), "own": PackageLoader(package, ".")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "bytes": as_bytes,
        "count": as_count,
        "digits": as_digits,
        "duration": as_duration,
        "millions": as_millions,
    }
    return made
