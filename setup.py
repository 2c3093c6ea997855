"""What pyproject.toml cannot say: the files of the repository's root that a wheel holds inside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildPackage(build_py):
    """Builds the package with the migrations and the example configuration (`gateway/resources.py` finds them)."""

    def run(self) -> None:
        """Builds into an empty folder: a module that was renamed since the last build is not shipped."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        package = Path(self.build_lib, "gateway")
        shutil.copyfile(ROOT / "config.toml", package / "config.toml")
        migrations = package / "migrations"
        migrations.mkdir()
        for source in sorted((ROOT / "migrations").glob("*.sql")):
            shutil.copyfile(source, migrations / source.name)


setup(cmdclass={"build_py": BuildPackage})
