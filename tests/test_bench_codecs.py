"""Checks the bench's codecs: bytes alone decode, more bits are better, what lacks is said."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import inrcodec
from bench.codecs import coin, own, reference, registry, stills, video, ycbcr, zoo
from bench.codecs.codec import Codec, Picture
from inrcodec.codec import as_signal
from inrcodec.fitting.samples import Samples

ROOT = Path(__file__).resolve().parents[1]

CLASSICAL = [*stills.STILLS, *video.VIDEOS]


@pytest.fixture(scope="module")
def odd() -> Picture:
    """Rows and columns in odd numbers: 47 x 61 of a face."""
    picture = np.ascontiguousarray(skimage.data.astronaut()[80:127, 190:251])
    picture.flags.writeable = False
    return picture


def found(name: str) -> Codec:
    """The codec, or the test is skipped with what it lacks."""
    codecs, missing = registry.find([name])
    if missing:
        pytest.skip(missing[0])
    return codecs[0]


def psnr(one: Picture, other: Picture) -> float:
    error = float(np.square(one.astype(float) - other).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


@pytest.mark.parametrize("name", CLASSICAL)
def test_bytes_alone_decode_and_more_of_them_are_better(name: str, odd: Picture) -> None:
    codec = found(name)
    sizes, qualities = [], []
    for setting in codec.quick:
        data = codec.encode(odd, setting).data
        decoded = codec.decode(data)
        assert (decoded.shape, decoded.dtype) == (odd.shape, np.uint8)
        sizes.append(len(data))
        qualities.append(psnr(odd, decoded))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert qualities == sorted(qualities)
    assert qualities[0] > 12  # a picture, not its mean or a shifted one
    assert qualities[-1] > max(25, qualities[0] + 3)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_same_picture_gives_the_same_file(name: str, odd: Picture) -> None:
    codec = found(name)
    # A copy with other memory below: nothing of the encoder's own picture may reach the decoder.
    first, second = codec.encode(odd, codec.quick[2]), codec.encode(odd.copy(), codec.quick[2])
    assert first.data == second.data
    assert (codec.decode(first.data) == codec.decode(bytes(second.data))).all()


@pytest.mark.parametrize("name", CLASSICAL)
def test_settings_run_from_low_to_high_rate(name: str) -> None:
    codec = found(name)
    assert set(codec.quick) < set(codec.settings)
    assert len(codec.quick) in (5, 6)
    steps = np.diff(codec.settings)
    assert (steps > 0).all() or (steps < 0).all()
    assert len(codec.versions) > 1
    assert codec.whole == (name != "jpeg2000")
    assert pickle.loads(pickle.dumps(codec)).settings == codec.settings  # for other processes


@pytest.mark.parametrize("name", CLASSICAL)
def test_limits_are_settings_and_hold_the_others_between(name: str, odd: Picture) -> None:
    codec = found(name)
    assert codec.limits
    least, most = codec.limits
    assert sorted([least, *codec.settings, most]) in (
        [least, *codec.settings, most],
        [most, *reversed(codec.settings), least],
    )
    small, large = (codec.encode(odd, setting).data for setting in codec.limits)
    assert codec.decode(small).shape == codec.decode(large).shape == odd.shape
    assert len(small) <= len(codec.encode(odd, codec.settings[0]).data)
    assert len(large) > len(codec.encode(odd, codec.settings[-1]).data)


def test_a_fresh_process_decodes_the_bytes(odd: Picture, tmp_path: Path) -> None:
    names = [name for name in CLASSICAL if registry.find([name])[0]]
    for name in names:
        codec = found(name)
        data = codec.encode(odd, codec.quick[1]).data
        (tmp_path / f"{name}.file").write_bytes(data)
        np.save(tmp_path / f"{name}.npy", codec.decode(data))
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom bench.codecs import registry\n"
        "folder = Path(sys.argv[1])\n"
        "for codec in registry.find(sys.argv[2:])[0]:\n"
        "    out = codec.decode((folder / f'{codec.name}.file').read_bytes())\n"
        "    assert (out == np.load(folder / f'{codec.name}.npy')).all(), codec.name\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path, *names], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["x265-444", "svtav1-420", "x265-420"])
@pytest.mark.parametrize("size", [(1, 1), (7, 40), (33, 16), (64, 65)])
def test_video_keeps_any_size(name: str, size: tuple[int, int]) -> None:
    codec = found(name)
    rows, columns = np.mgrid[: size[0], : size[1]]
    picture = np.stack([3 * rows, 3 * columns, rows + columns], axis=-1).astype(np.uint8)
    decoded = codec.decode(codec.encode(picture, 20).data)
    assert decoded.shape == picture.shape
    assert psnr(picture, decoded) > 33


def test_colours_survive_the_way_through_video(odd: Picture) -> None:
    codec = found("x265-444")
    assert psnr(odd, codec.decode(codec.encode(odd, 4).data)) > 45
    assert (ycbcr.from_planes(ycbcr.to_planes(odd)) == odd).all()
    assert psnr(odd, ycbcr.from_planes(ycbcr.to_planes(odd, depth=8), depth=8)) > 48


def test_half_chroma_is_not_shifted() -> None:
    rows, columns = np.mgrid[:32, :32]
    picture = np.stack([8 * columns, 255 - 8 * columns, 4 * (rows + columns)], axis=-1)
    picture = picture.astype(np.uint8)
    back = ycbcr.from_planes(ycbcr.to_planes(picture, half_chroma=True))
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(back[inner].astype(int) - picture[inner]).max() <= 1


@pytest.mark.parametrize(
    ("name", "module", "says"),
    [
        ("jxl", "pillow_jxl", "jxl: pillow-jxl-plugin is not installed: pip install"),
        ("heic-444", "pillow_heif", "heic-444: pillow-heif is not installed: pip install"),
        ("svtav1-420", "av", "svtav1-420: av is not installed: pip install"),
    ],
)
def test_a_missing_library_is_one_line(
    name: str, module: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    codecs, missing = registry.find(["jpeg", name])
    assert [codec.name for codec in codecs] == ["jpeg"]
    assert len(missing) == 1
    assert missing[0].startswith(says)
    assert "\n" not in missing[0]


def test_a_pillow_without_a_format_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stills.features, "check", lambda feature: feature != "avif")
    codecs, missing = registry.find(["avif-420-s6", "webp"])
    assert [codec.name for codec in codecs] == ["webp"]
    assert missing == [
        "avif-420-s6: this Pillow is built without avif: pip install --force-reinstall pillow"
    ]


def test_unknown_names_are_refused_with_those_near() -> None:
    with pytest.raises(ValueError, match=r"codec 'jpg' is unknown; did you mean jpeg") as caught:
        registry.find(["webp", "jpg", "avif"])
    assert "codec 'avif' is unknown; did you mean avif-" in str(caught.value)
    for name in ("", "zzz", "coin-0", "coin-x", "inrcodec-siren-e10", "jpeg\n"):
        with pytest.raises(ValueError, match="is unknown"):
            registry.find([name])


def test_every_name_is_known_and_either_runs_or_says_why_not() -> None:
    names = [entry.name for entry in registry.ENTRIES if entry.name != "coin-STEPS"]
    assert {*registry.known()} == {*names, "coin-STEPS"}
    assert all(line and "\n" not in line for line in registry.known().values())
    assert len(set(names)) == len(names)
    codecs, missing = registry.find(names)
    assert len(codecs) + len(missing) == len(names)
    assert len({*(codec.name for codec in codecs), *(m.split(":")[0] for m in missing)}) == len(
        names
    )


def test_a_coin_file_is_its_parameters_and_four_bytes(odd: Picture) -> None:
    codec = found("coin-3")
    assert list(coin.NETS.values()) == ["5x20", "5x30", "10x28", "10x40", "13x49"]
    coded = codec.encode(odd, codec.settings[0])
    assert len(coded.data) == 2 * codec.settings[0] + 4
    assert (coded.notes["net"], coded.notes["steps"]) == ("5x20", 3)
    decoded = codec.decode(coded.data)
    assert decoded.shape == odd.shape
    # What the fit measured of its half-precision net is what the file gives, but for rounding.
    assert psnr(odd, decoded) == pytest.approx(coded.notes["float_psnr"], abs=0.05)


def test_coin_learns_and_half_floats_hold_it(odd: Picture) -> None:
    small = coin.fit_coin(as_signal(odd), "5x20", 3)
    long = coin.fit_coin(as_signal(odd), "5x20", 150)
    assert long.psnr > small.psnr + 2
    assert all((layer == layer.half().float()).all() for layer in long.layers)
    assert long.bpp == 16 * 1803 / odd[..., 0].size


def test_larger_nets_of_coin_do_not_lose_to_the_smallest(odd: Picture) -> None:
    """At one rate for all, the two largest end as a plain colour."""
    signal = as_signal(odd[:32, :40])
    small = coin.fit_coin(signal, "5x20", 120).psnr
    assert small > 28
    for net in ("10x40", "13x49"):
        assert coin.fit_coin(signal, net, 120).psnr > small


def test_coin_as_published_is_another_rival(odd: Picture) -> None:
    plain, asked = found("coin"), found("coin-50000")
    assert plain.versions != asked.versions  # rows of one don't stand for the other
    signal = as_signal(odd)
    published = [coin.fit_coin(signal, "5x20", steps, published=True).psnr for steps in (2, 150)]
    assert published[0] + 2 < published[1] < coin.fit_coin(signal, "5x20", 150).psnr
    with pytest.raises(ValueError, match="setting 1804: COIN's nets have 1803, "):
        asked.encode(odd, 1804)


def test_coordinates_of_published_coin_go_by_the_height() -> None:
    """Its code: `2 * (index / (height - 1) - 0.5)` along both axes."""
    for height, width in ((512, 768), (768, 512)):
        signal = as_signal(np.zeros((height, width, 3), np.uint8))
        ours = Samples(signal, "cpu", 0).coordinates(torch.tensor([0, width - 1, width]))
        theirs = coin.coordinate_scale(signal) * ours
        assert theirs[1, 1] - theirs[0, 1] == pytest.approx(2 * (width - 1) / (height - 1))
        assert theirs[2, 0] - theirs[0, 0] == pytest.approx(2 / (height - 1), rel=1e-3)


@pytest.mark.parametrize(("kind", "setting", "most"), [("siren", 4.0, 4.0), ("pyramid", 1e-3, 8)])
def test_own_files_are_the_packages_own(
    odd: Picture, kind: str, setting: float, most: float
) -> None:
    codec = found(f"inrcodec-{kind}-e1")
    assert codec.family == f"inrcodec-{kind}"
    picture = odd[:32, :32]
    coded = codec.encode(picture, setting)
    assert inrcodec.info(coded.data)["tracks"][0]["kind"] == kind
    assert 8 * len(coded.data) / picture[..., 0].size <= most
    decoded = codec.decode(coded.data)
    assert decoded.shape == picture.shape
    assert psnr(picture, decoded) > 15
    assert coded.macs_per_pixel
    assert set(coded.notes) == {"net", "steps", "float_psnr"}


def test_own_settings_go_from_low_to_high_rate(odd: Picture) -> None:
    bpp, weights = (
        next(kind for kind in own.KINDS if kind.name == name) for name in ("siren", "pyramid")
    )
    for kind, falling in ((bpp, False), (weights, True)):
        for settings in (kind.settings, kind.quick):
            assert list(settings) == sorted(settings, reverse=falling)
    codec = found("inrcodec-pyramid-e1")
    files = [codec.encode(odd[:32, :32], setting).data for setting in weights.settings[::6]]
    assert len(files[0]) < len(files[1])


def test_codecs_compute_on_one_thread_and_leave_the_number_alone() -> None:
    before = torch.get_num_threads()
    with own.one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


FAKE = """#!{python}
import sys, zlib
words = sys.argv[1:]
if "--help" in words:
    print("Fake Software: Version 1.2")
elif "{name}" == "encode":
    given = dict(zip(words[::2], words[1::2]))
    assert given["-wdt"] + "x" + given["-hgt"] == "61x47"
    data = open(given["-i"], "rb").read()
    open(given["-b"], "wb").write(zlib.compress(data, int(given["-q"]) % 10))
else:
    given = dict(zip(words[::2], words[1::2]))
    open(given["-o"], "wb").write(zlib.decompress(open(given["-b"], "rb").read()))
"""


def test_a_reference_encoder_is_called_with_the_raw_planes(
    odd: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INRCODEC_VTM", str(tmp_path / "with space"))
    assert registry.find(["compressai-vtm"])[1] == [
        "compressai-vtm: no bin/EncoderAppStatic below the folder in INRCODEC_VTM"
    ]
    for file, name in (("bin/EncoderAppStatic", "encode"), ("bin/DecoderAppStatic", "decode")):
        path = tmp_path / "with space" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FAKE.format(python=sys.executable, name=name))
        path.chmod(0o755)
    config = tmp_path / "with space/cfg/encoder_intra_vtm.cfg"
    config.parent.mkdir()
    config.touch()
    codec = found("compressai-vtm")
    assert codec.versions == {"EncoderAppStatic": "Version 1.2"}
    data = codec.encode(odd, 37).data
    assert data[:4] == bytes([61, 0, 47, 0])
    assert psnr(odd, codec.decode(data)) > 48
    with pytest.raises(RuntimeError, match=r"^DecoderAppStatic: exit code 1: zlib\.error"):
        codec.decode(data[:4] + b"no stream")


@pytest.mark.parametrize("name", list(reference.REFERENCES))
def test_a_missing_program_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("INRCODEC_VTM", raising=False)
    monkeypatch.delenv("INRCODEC_HM", raising=False)
    codecs, missing = registry.find([name])
    assert not codecs
    assert len(missing) == 1
    assert missing[0].startswith(f"{name}: no ")


def test_without_compressai_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.importlib.util, "find_spec", lambda name: None)
    assert registry.find(["mbt2018"]) == (
        [],
        ["mbt2018: compressai is not installed: make bench-compressai"],
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["bmshj2018-factorized", "mbt2018-mean", "cheng2020-anchor"])
def test_zoo_models_write_real_strings(
    model: str, odd: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("compressai") is None:
        pytest.skip("CompressAI has an environment of its own")
    monkeypatch.setenv("INRCODEC_ZOO", str(tmp_path))
    codecs, missing = registry.find([model])
    assert not codecs
    assert missing[0].startswith(f"{model}: no weights such as {model}")
    zoo_module = zoo._zoo()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = zoo_module._load_model(model, "mse", 1)
    net.update(force=True)
    stem = "bmshj2018-factorized-prior" if "factorized" in model else model
    torch.save(net.state_dict(), tmp_path / f"{stem}-1-00000000.pth.tar")
    codec = found(model)
    assert codec.settings == (1,)
    assert codec.prepare
    codec.prepare(1)
    with monkeypatch.context() as patch:  # what is timed loads nothing
        patch.setattr(zoo.torch, "load", None)
        data = codec.encode(odd, 1).data
    zoo._model.cache_clear()
    decoded = codec.decode(data)
    assert decoded.shape == odd.shape
    with torch.no_grad():
        padded = np.pad(odd, ((8, 9), (1, 2), (0, 0))).transpose(2, 0, 1)[None] / 255
        wanted = net.eval()(torch.from_numpy(padded).float())["x_hat"][0, :, 8:55, 1:62]
    wanted_picture = np.rint(wanted.clamp(0, 1).permute(1, 2, 0).numpy() * 255)
    # Context models predict from rounded latents here and from all of them there.
    assert np.abs(decoded - wanted_picture).mean() < (1 if "cheng" in model else 0.01)
