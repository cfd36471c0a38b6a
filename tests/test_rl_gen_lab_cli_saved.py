"""Settings of a run that another version wrote: unknown keys are left out in one line, at every depth."""

from dataclasses import dataclass, field

import pytest

from rl_gen_lab.cli import saved
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.cli.values import from_dict


@dataclass(frozen=True)
class Inner:
    size: int = 1
    normalize_obs: bool = False


@dataclass(frozen=True)
class Outer:
    rate: float = 0.5
    inner: Inner = field(default_factory=Inner)


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "_reported", set())


def test_unknown_keys_are_left_out_and_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"rate": 2, "gone": {"a": 1}, "inner": {"size": 3, "new": 4, "normalise_obs": True}}
    assert from_saved(Outer, values, "config.json") == Outer(2.0, Inner(3, normalize_obs=True))
    from_saved(Inner, values["inner"], "config.json", "inner")  # type: ignore[arg-type]
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "config.json: left out, for this version has no such settings: gone, inner.new"
    from_saved(Outer, values, "another.json")
    assert capsys.readouterr().out.startswith("another.json: left out")


def test_missing_keys_take_the_default_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert from_saved(Outer, {"inner": {}}, "config.json") == Outer()
    assert capsys.readouterr().out == ""


def test_a_wrong_type_is_refused_as_in_a_preset() -> None:
    with pytest.raises(ConfigError, match=r"inner\.size' must be a whole number, not 'big'"):
        from_saved(Outer, {"inner": {"size": "big"}}, "config.json")


def test_a_preset_goes_on_refusing_unknown_keys() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'inner\.new'"):
        from_dict(Outer, {"inner": {"new": 4}}, "preset.toml")
