"""Settings: every threshold says where it is from, and TOML goes in and out unchanged."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoimg.errors import UsageError
from hoimg.settings import Settings, read_settings


def every_threshold():
    for name, section in Settings.model_fields.items():
        for key, field in type(section.default).model_fields.items():
            yield pytest.param(field, id=f"{name}.{key}")


@pytest.mark.parametrize("field", list(every_threshold()))
def test_every_threshold_states_unit_meaning_source_and_status(field):
    extra = field.json_schema_extra
    assert set(extra) >= {"unit", "source", "status"}
    assert extra["status"] in {"established", "borrowed", "default"}
    assert extra["source"]
    assert field.description.endswith((".", "?"))


def test_no_file_means_the_defaults():
    assert read_settings(None) == Settings()


def test_toml_out_and_in_gives_equal_settings(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(Settings().to_toml())
    again = read_settings(path)
    assert again == Settings()
    assert again.sha256 == Settings().sha256


def test_what_is_unset_is_left_out_of_the_toml_and_what_is_set_comes_back(tmp_path):
    assert "calibration_slope_hu" not in Settings().to_toml()
    path = tmp_path / "s.toml"
    path.write_text(
        "[measure]\ncalibration_rods = ['200=sphere:1,2,3,4', '0=box:0,0,0,9,9,9']\n"
        "calibration_material = 'K2HPO4'\n"
    )
    given = read_settings(path)
    assert given.measure.calibration_rods == ("200=sphere:1,2,3,4", "0=box:0,0,0,9,9,9")
    again = tmp_path / "again.toml"
    again.write_text(given.to_toml())
    assert read_settings(again) == given


def test_one_value_changes_the_hash_and_leaves_the_rest(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[segment]\nmineral_hu_120kvp = 200.0\n")
    changed = read_settings(path)
    assert changed.segment.mineral_hu_120kvp == 200.0
    assert changed.segment.metal_hu == Settings().segment.metal_hu
    assert changed.maturity == Settings().maturity
    assert changed.sha256 != Settings().sha256


def test_the_hash_does_not_depend_on_how_the_file_is_laid_out(tmp_path):
    one, two = tmp_path / "1.toml", tmp_path / "2.toml"
    one.write_text("[serial]\nseed = 3\nmax_residual_mm = 2\n")
    two.write_text("# same\nserial = { max_residual_mm = 2.0, seed = 3 }\n")
    assert read_settings(one).sha256 == read_settings(two).sha256


@given(st.floats(100, 400), st.integers(2, 50))
def test_any_legal_values_survive_the_round_trip(hu, slices):
    base = Settings()
    changed = base.model_copy(
        update={
            "segment": base.segment.model_copy(update={"mineral_hu_120kvp": hu}),
            "intake": base.intake.model_copy(update={"min_slices": slices}),
        }
    )
    assert Settings.model_validate(tomllib.loads(changed.to_toml())) == changed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[segment]\nminerl = 3\n", "segment.minerl"),
        ("[nosuch]\na = 1\n", "nosuch"),
        ("[intake]\nmin_slices = 'many'\n", "intake.min_slices"),
        ("[intake]\nmin_slices = 1\n", "intake.min_slices"),
        ("[intake\n", "no TOML"),
        ("segment = 3\n", "segment"),
        ("[measure]\ncalibration_slope_hu = 1.3\n", "calibration_kvp"),
        ("[measure]\ncalibration_slope_hu = 0\ncalibration_kvp = 120\n", "calibration_slope_hu"),
        # mg/cm3 for each HU, the other way round:
        ("[measure]\ncalibration_slope_hu = 0.72\ncalibration_kvp = 120\n", "calibration_slope_hu"),
        ("[measure]\ncalibration_rods = ['0=sphere:1,2,3,4']\n", "with mineral"),
        ("[measure]\ncalibration_rods = ['sphere:1,2,3,4']\n", "calibration_rods sphere"),
        ("[measure]\ncalibration_rods = ['200=sphere:1,2,3']\n", "calibration_rods sphere:1,2,3"),
        ("[measure]\ncalibration_phantom_mg_cm3 = [200]\n", "two different"),
        (
            "[measure]\ncalibration_phantom_mg_cm3 = [0, 200]\n"
            "calibration_rods = ['200=sphere:1,2,3,4']\n",
            "one of",
        ),
        ("[measure]\ncalibration_material = 'CaCO3'\n", "calibration_material"),
    ],
)
def test_a_bad_file_is_a_usage_error_that_names_file_and_place(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_bounds_are_legal_at_the_bound_and_not_past_it(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[intake]\nmin_slices = 2\n")
    assert read_settings(path).intake.min_slices == 2
    path.write_text("[intake]\nspacing_tolerance = 0.5\n")
    with pytest.raises(UsageError, match=r"less than 0\.5"):
        read_settings(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.toml.*cannot be read"):
        read_settings(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(UsageError, match="no TOML"):
        read_settings(tmp_path / "latin.toml")


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Settings().segment.metal_hu = 1.0  # type: ignore[misc]
