"""The files of a service's texts: one for each text and language, like ``request.kk.txt``, UTF-8."""

from pathlib import Path

from gateway.consent.texts import LANGUAGES, NAMES, Template, TemplateError, Templates, parse_template

PACKAGE_TEMPLATES = Path(__file__).parent.parent / "templates"
"""The package's own templates, a folder for each service's name."""


def load_templates(directory: Path) -> Templates:
    """The templates of the folder. Raises TemplateError, its message beginning with the file, for one missing,
    unreadable or misspelt.
    """
    return Templates(_read(directory, name, language) for name in NAMES for language in LANGUAGES)


def _read(directory: Path, name: str, language: str) -> Template:
    file = directory / f"{name}.{language}.txt"
    try:
        return parse_template(name, language, file.read_text(encoding="utf-8-sig"))  # some editors put a BOM
    except OSError as error:
        raise TemplateError(f"{file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TemplateError(f"{file}: is not UTF-8") from error
    except TemplateError as error:
        raise TemplateError(f"{file}: {error}") from error
