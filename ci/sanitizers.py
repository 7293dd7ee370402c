"""Where the sanitizers of programs under test are to say what they have found, for every suite here."""
import os
import pathlib

_OPTIONS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")


def reporting_to(folder: "str | os.PathLike[str]") -> dict[str, str]:
    """What the environment is to say so that each report is a file in the folder; what it says already stays."""
    return {name: f"{os.environ.get(name, '')}:log_path={pathlib.Path(folder)}/report".lstrip(":") for name in _OPTIONS}
