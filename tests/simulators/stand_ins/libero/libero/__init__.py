"""As LIBERO's, it would ask a question on the terminal where it is not configured."""

import os
from pathlib import Path

if not (Path(os.environ.get("LIBERO_CONFIG_PATH", "~/.libero")).expanduser() / "config.yaml").is_file():
    input("Do you want to specify a custom path for the dataset folder? (Y/N): ")


def get_assets_path():
    return str(Path(__file__).parent / "assets")
