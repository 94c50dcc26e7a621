"""Options are the settings: every field has one, and the settings alone decide what is right."""

from dataclasses import fields

import pytest

from redetail.cli.options import encoding_of, number, settings_of
from redetail.cli.parser import build_parser, joined_values
from redetail.engines.architectures import all_presets
from redetail.errors import SettingsError
from redetail.settings import Settings, resolve, settings_by_group


def settings_from(*arguments: str) -> dict[str, object]:
    return settings_of(build_parser().parse_args(["detail", "in.mp4", *arguments]))


def test_every_setting_stands_in_exactly_one_group() -> None:
    grouped = [item.name for group in settings_by_group().values() for item in group]
    assert sorted(grouped) == sorted(item.name for item in fields(Settings))


def test_only_what_was_given_is_passed_on() -> None:
    assert settings_from() == {}
    assert settings_from("--steps", "7", "--prompt", "a face") == {"steps": 7, "prompt": "a face"}


def test_every_default_survives_the_way_through_the_command_line() -> None:
    arguments = []
    for item in fields(Settings):
        flag = "--" + item.name.replace("_", "-")
        if isinstance(item.default, bool):
            arguments.append(flag if item.default else f"--no-{flag[2:]}")
        elif item.default != ():  # what may be given several times has no flag for "none"
            arguments += [flag, str(item.default)]
    assert Settings(**settings_from(*arguments)) == Settings()


def test_presets_and_loras_are_passed_on() -> None:
    given = settings_from("--preset", "lcm", "--lora", "a.safetensors:0.5", "--lora", "b.safetensors", "--cfg", "1.5")
    assert given == {"preset": "lcm", "loras": ["a.safetensors:0.5", "b.safetensors"], "cfg": 1.5}
    settings = resolve(given, {"steps": 30}, all_presets())
    assert (settings.sampler, settings.scheduler, settings.steps, settings.cfg) == ("lcm", "sgm_uniform", 6, 1.5)
    assert settings.loras == ("a.safetensors:0.5", "b.safetensors")


def test_the_speed_of_the_encoding_is_no_preset_of_the_model() -> None:
    options = build_parser().parse_args(["detail", "in.mp4", "--encode-speed", "fast", "--preset", "quality"])
    assert encoding_of(options) == {"preset": "fast"}


def test_numbers_keep_their_kind() -> None:
    assert number("20") == 20
    assert isinstance(number("20"), int)
    assert number("0.5") == 0.5
    assert number("18446744073709551615") == 2**64 - 1
    assert number("soon") == "soon"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--steps", "many"), "steps must be a number, not 'many'."),
        (("--steps", "2.5"), "steps must be a whole number, not 2.5."),
        (("--cfg", "nan"), "cfg must be a finite number, not nan."),
        (("--denoise", "2"), "denoise is 2; it must be between 0.0001 and 1."),
        (("--denoise", "-1"), "denoise is -1; it must be between 0.0001 and 1."),
        (("--guide-size-for", "face"), "There is no guide-size-for named 'face'; choose one of: bbox, crop_region."),
    ],
)
def test_the_settings_say_what_is_wrong(arguments: tuple[str, ...], sentence: str) -> None:
    given = settings_from(*joined_values(arguments))
    with pytest.raises(SettingsError) as caught:
        resolve(given, {})
    assert str(caught.value) == sentence


def test_boxes_are_collected_and_may_begin_with_a_minus() -> None:
    arguments = joined_values(["detail", "in.mp4", "--box", "-5,0,10,10.5", "--box", "1,2,3,4"])
    assert build_parser().parse_args(arguments).box == [(-5.0, 0.0, 10.0, 10.5), (1.0, 2.0, 3.0, 4.0)]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "required: COMMAND"),
        (["detect"], "required: IN; see: redetail detect --help"),
        (["detail", "a.mp4", "--box", "1,2,3"], "'1,2,3' is not a box; give four numbers as x1,y1,x2,y2"),
        (["detail", "a.mp4", "--stepz", "3"], "There is no option or argument --stepz (did you mean --steps?); see: "),
        (["improve", "a.mp4"], "There is no command named 'improve'; choose one of: detail, preview, "),
        (["detial", "a.mp4"], "There is no command named 'detial'; did you mean 'detail'? Choose one of: detail, "),
        (["detail", "--progress", "jsn"], "There is no --progress value named 'jsn'; did you mean 'json'?"),
        (["models", "inspct", "a"], "There is no action named 'inspct'; did you mean 'inspect'?"),
    ],
)
def test_what_cannot_be_understood_is_answered_in_one_sentence(arguments: list[str], part: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build_parser().parse_args(arguments)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
