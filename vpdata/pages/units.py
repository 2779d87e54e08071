"""Numbers in, short texts with units out."""


def as_duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 05 s` or `2 h 07 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def as_bytes(count: float) -> str:
    """Decimal units with three digits: `91 kB`, `1.39 MB`, `1.92 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def as_count(count: int) -> str:
    """Groups of three digits, apart by narrow spaces."""
    return f"{count:,}".replace(",", "\u202f")


def as_millions(count: int) -> str:
    """`4.1 M`."""
    return f"{count / 1e6:.3g} M"


def as_digits(value: float) -> str:
    """Three digits, or all before the point: `0.0123`, `4.5`, `1350`."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
