"""Odd images: each is read right or refused with a reason."""

import io
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from data_modules.loading.decoding import UnreadableImage, decode_rgb

# What each file of the folder that cannot be used is, as its name and its header say.
REFUSED = {
    "bmp_b_badheadersize.bmp",
    "bmp_b_badwidth.bmp",
    "bmp_b_reallybig.bmp",
    "bmp_b_shortfile.bmp",
    "broken_data_stream.png",
    "combined_larger_than_size.psd",
    "crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif",
    "crash-2020-10-test.tif",
    "crash-4f085cc12ece8cde18758d42608bed6a2a2cfb1c.tif",
    "crash-f46f5b2f43c370fe65706c11449f567ecc345e74.tif",
    "decompression_bomb.ico",
    "hopper_unknown_pixel_mode.tif",
    "libtiff_segfault.tif",
    "not_enough_data.jp2",
    "png_decompression_dos.png",
    "timeout-6646305047838720",
    "truncated_jpeg.jpg",
    "unbound_variable.jp2",
    "unknown_compression_method.png",
}
# Whole icons and game textures: formats left out on purpose.
OTHER_FORMATS = {"black_and_white.ico", "hopper.ico"}
SECONDS = 5.0


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


@pytest.fixture
def bad(shared_data: Path) -> Path:
    return shared_data / "bad-images"


def test_every_odd_file_is_read_or_refused_in_time(bad: Path) -> None:
    read, refused = set(), {}
    for path in sorted(bad.iterdir()):
        if path.name in ("LICENSE", "SOURCE.txt"):
            continue
        start = time.monotonic()
        try:
            image = decode_rgb(path)
        except UnreadableImage as error:
            refused[path.name] = error.reason
        else:
            assert image.mode == "RGB"
            assert min(image.size) > 0
            image.tobytes()
            read.add(path.name)
        assert time.monotonic() - start < SECONDS, path.name
    textures = {name for name in refused if name.endswith((".blp", ".dds"))}
    assert set(refused) == REFUSED | OTHER_FORMATS | textures
    assert (len(read), len(refused), len(textures)) == (60, 27, 6)
    assert all(reason and "\n" not in reason for reason in refused.values())


def test_bytes_and_path_agree(bad: Path) -> None:
    for name in ("pil_sample_cmyk.jpg", "p_16.png", "hopper_orientation_6.webp", "g4_orientation_8.tif"):
        assert decode_rgb(bad / name).tobytes() == decode_rgb((bad / name).read_bytes()).tobytes()


def test_orientation_is_applied(bad: Path) -> None:
    upright = decode_rgb(bad / "hopper.webp")
    for number in range(2, 9):
        assert difference(decode_rgb(bad / f"hopper_orientation_{number}.webp"), upright) < 4
        raw = Image.open(bad / f"hopper_orientation_{number}.webp").convert("RGB")
        assert difference(raw, upright) > 20  # so that the comparison above means something
    scan = decode_rgb(bad / "g4_orientation_2.tif")
    for number in (4, 6, 8):
        assert difference(decode_rgb(bad / f"g4_orientation_{number}.tif"), scan) < 1


def test_one_picture_in_many_formats(bad: Path) -> None:
    hopper = decode_rgb(bad / "hopper.png")
    for name in ("hopper.bmp", "hopper_8bit.ppm", "hopper_lzma.tif"):
        assert decode_rgb(bad / name).tobytes() == hopper.tobytes()
    for name in ("hopper.psd", "hopper_merged.psd", "hopper.webp", "avif_hopper-missing-pixi.avif"):
        assert difference(decode_rgb(bad / name), hopper) < 4


def test_cmyk_is_not_inverted(bad: Path) -> None:
    # the sample is a dark red square: no cyan, and much magenta, yellow and black
    for name in ("pil_sample_cmyk.jpg", "tiff_strip_cmyk_jpeg.tif"):
        red, green, blue = np.asarray(decode_rgb(bad / name)).reshape(-1, 3).mean(axis=0)
        assert red > 2 * max(green, blue)


def test_sixteen_bits_keep_their_levels(bad: Path) -> None:
    for name in ("16_bit_noise.tif", "i_trns.png"):
        grey = np.asarray(decode_rgb(bad / name))[..., 0]
        assert len(np.unique(grey)) > 20
        assert 20 < grey.mean() < 235


@pytest.mark.parametrize("most", [255, 4095, 65535])
def test_sixteen_bit_ramp(most: int) -> None:
    ramp = np.linspace(0, most, 256).round().astype(np.uint16).reshape(16, 16)
    grey = np.asarray(decode_rgb(png(Image.fromarray(ramp))))[..., 0].ravel()
    assert np.abs(grey.astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0, 255.0), (-3.0, 9.0)])
def test_float_ramp(low: float, high: float) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(low, high, 256, dtype=np.float32).reshape(16, 16)).save(buffer, "TIFF")
    grey = np.asarray(decode_rgb(buffer.getvalue()))[..., 0].ravel()
    assert np.abs(grey.astype(int) - np.arange(256)).max() <= 1


def test_constant_float_image_is_read() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), 1e30, dtype=np.float32)).save(buffer, "TIFF")
    assert decode_rgb(buffer.getvalue()).size == (4, 4)


@pytest.mark.parametrize(("mode", "pixel"), [("RGBA", (9, 9, 9, 0)), ("LA", (9, 0))])
def test_transparent_becomes_white(mode: str, pixel: tuple[int, ...]) -> None:
    assert decode_rgb(png(Image.new(mode, (2, 2), pixel))).getpixel((0, 0)) == (255, 255, 255)


def test_half_transparent_is_mixed_with_white() -> None:
    assert decode_rgb(png(Image.new("RGBA", (1, 1), (255, 0, 0, 128)))).getpixel((0, 0)) == (255, 127, 127)


def test_transparent_palette_entry_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    rgb = decode_rgb(png(image, transparency=1))
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]


def test_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode_rgb(buffer.getvalue()).getpixel((0, 0)) == (255, 0, 0)


def test_pixel_limit_comes_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(Image.new("RGB", (100, 11)))
    assert decode_rgb(data, max_pixels=1100).size == (100, 11)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    with pytest.raises(UnreadableImage, match="100x11, the limit is 1099"):
        decode_rgb(data, max_pixels=1099)


@pytest.mark.parametrize(("mode", "name"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG"), ("I;16", "PNG")])
@pytest.mark.parametrize(
    ("size", "longest_side", "shrunk"),
    [
        ((400, 200), 100, (100, 50)),
        ((200, 400), 100, (50, 100)),
        ((400, 200), 399, (399, 200)),
        ((400, 200), 400, (400, 200)),
        ((40, 20), 100, (40, 20)),
        ((900, 1), 90, (90, 1)),
        ((300, 200), 1, (1, 1)),
    ],
)
def test_longest_side(mode: str, name: str, size: tuple[int, int], longest_side: int, shrunk: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    image = Image.linear_gradient("L").resize(size).convert("I") if mode == "I;16" else Image.new("RGB", size, "red")
    image.convert(mode).save(buffer, name)
    found = decode_rgb(buffer.getvalue(), longest_side=longest_side)
    assert (found.mode, found.size) == ("RGB", shrunk)


@pytest.mark.parametrize("longest_side", [500, 130, 97, 40])
def test_shrinking_averages_as_pillow_does_on_the_whole_picture(longest_side: int) -> None:
    soft = Image.effect_noise((40, 30), 90).resize((800, 600), Image.Resampling.BICUBIC)
    photograph = Image.merge("RGB", [soft, soft.transpose(Image.Transpose.ROTATE_180), soft.point(lambda v: 255 - v)])
    buffer = io.BytesIO()
    photograph.save(buffer, "JPEG", quality=95)
    whole = decode_rgb(buffer.getvalue())
    expected = whole.resize((longest_side, round(longest_side * 0.75)), Image.Resampling.BICUBIC)
    found = decode_rgb(buffer.getvalue(), longest_side=longest_side)
    assert found.size == expected.size
    assert difference(found, expected) < 2
    assert difference(found, expected.transpose(Image.Transpose.ROTATE_180)) > 20  # so that this means something


def test_turned_pictures_are_shrunk_upright(bad: Path) -> None:
    upright = decode_rgb(bad / "hopper.webp", longest_side=50)
    for number in range(2, 9):
        assert difference(decode_rgb(bad / f"hopper_orientation_{number}.webp", longest_side=50), upright) < 4


def test_shrinking_refuses_the_same_files(bad: Path) -> None:
    for path in sorted(bad.iterdir()):
        sizes = []
        for longest_side in (None, 50):
            try:
                sizes.append(decode_rgb(path, longest_side=longest_side).size)
            except UnreadableImage:
                continue
        assert len(sizes) in (0, 2), path.name
        if sizes:
            assert max(sizes[1]) == min(50, max(sizes[0])), path.name


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"GIF89a", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode_rgb(data)
    assert caught.value.reason == str(caught.value) != ""


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    for path in (tmp_path, tmp_path / "absent.png", tmp_path / "pipe.png", tmp_path / ("x" * 300)):
        with pytest.raises(UnreadableImage):
            decode_rgb(path)


def test_no_global_is_changed_and_warnings_do_no_harm(bad: Path) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_rgb(bad / "hopper_bad_exif.jpg").size == (500, 500)
        # 100 million pixels: Pillow itself would warn
        assert decode_rgb(png(Image.new("1", (10000, 10000))), max_pixels=10**8).size == (10000, 10000)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]), st.data())
def test_damaged_bytes_raise_nothing_else(name: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(buffer, name)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        image = decode_rgb(bytes(content), max_pixels=10**6)
    except UnreadableImage:
        return
    assert image.mode == "RGB"


def test_an_opened_image_is_read_as_its_file_is_and_stays_as_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.linear_gradient("L").convert("RGBA").resize((40, 20)).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        assert decode_rgb(image, longest_side=10).tobytes() == decode_rgb(tmp_path / "x.png", longest_side=10).tobytes()
        assert (image.mode, image.size) == ("RGBA", (40, 20))
    with pytest.raises(UnreadableImage, match="has no pixels"):
        decode_rgb(Image.new("RGB", (0, 3)))
