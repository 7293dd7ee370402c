"""Builds the extension module with the project's own CMake files; all else is in pyproject.toml. CMAKE_ARGS is passed on."""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PROJECT = pathlib.Path(__file__).resolve().parent.parent


class CMakeBuild(build_ext):
    def build_extension(self, extension: Extension) -> None:
        build = PROJECT / "build-python"  # beside the other builds: what a compiler cache kept of those serves this one
        target = pathlib.Path(self.get_ext_fullpath(extension.name)).resolve()
        subprocess.run(["cmake", "-S", str(PROJECT), "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                        "-DVPN_BUILT_ONCE=ON", f"-DPYTHON_EXECUTABLE={sys.executable}", *shlex.split(os.environ.get("CMAKE_ARGS", ""))], check=True)
        subprocess.run(["cmake", "--build", str(build), "--target", "vpnlab_core", "-j", str(os.cpu_count())], check=True)
        (made,) = (build / "python" / "vpnlab").glob("_core.*.so")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made, target)


setup(ext_modules=[Extension("vpnlab._core", sources=[])], cmdclass={"build_ext": CMakeBuild})
