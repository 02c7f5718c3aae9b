"""The gallery shows every example, with the command that made what it shows."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "gallery" / "examples.md").read_text(encoding="utf-8")


def examples():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "tools/gallery.py")
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    return gallery.EXAMPLES


def test_every_program_is_shown():
    files = [*ROOT.glob("examples/*.py"), *ROOT.glob("examples/rl/*.py")]
    programs = [p for p in files if "\nif __name__" in p.read_text(encoding="utf-8")]
    assert len(programs) > 20
    for program in programs:
        assert f"python {program.relative_to(ROOT)}" in PAGE


def test_what_is_shown_was_made_by_the_command_beside_it():
    kept = set()
    for name, example in examples().items():
        assert f"    {example.command}\n" in PAGE
        kept |= {f"{picture}.png" for picture in example.pictures}
        kept |= {f"{name}.txt"} if example.text else set()
        kept |= {f"{name}.gif"} if example.film else set()
    assert {p.name for p in (ROOT / "docs/images/gallery").iterdir()} == kept
    for file in kept:
        assert f"../images/gallery/{file}" in PAGE
