"""The command line of a stage follows from the signature of its ``main``."""

from __future__ import annotations

from argparse import ArgumentParser

from pipeline.jobs.command_line import add_arguments


def test_a_list_that_may_be_left_out_is_a_list():
    def main(names: list[str] | None = None, one: str | None = None) -> None: ...

    parser = ArgumentParser()
    add_arguments(parser, main)
    assert vars(parser.parse_args([])) == {"names": None, "one": None}
    given = parser.parse_args(["--names", "ab", "cd", "--one", "ef"])
    assert vars(given) == {"names": ["ab", "cd"], "one": "ef"}
