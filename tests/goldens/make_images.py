"""Writes ../io_image_samples.h: tiny images of every kind that is read, and what Pillow's convert("RGB") makes of them.

    /tmp/venv/bin/python make_images.py          (pip install pillow==12.3.0)
"""
import io
import os
import struct
import zlib

from PIL import Image

WIDTH, HEIGHT = 7, 5


def encoded(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png(depth, colour, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def samples():
    pixels = bytes((x * 37 + y * 11 + c * 90) % 256 for y in range(HEIGHT) for x in range(WIDTH) for c in range(3))
    rgb = Image.frombytes("RGB", (WIDTH, HEIGHT), pixels)
    smooth = Image.frombytes("RGB", (WIDTH, HEIGHT), bytes(
        v for y in range(HEIGHT) for x in range(WIDTH) for v in (40 + 8 * x, 60 + 9 * y, 120 - 4 * x)))
    grey = rgb.convert("L")
    alpha = Image.frombytes("L", (WIDTH, HEIGHT), bytes(i * 7 for i in range(WIDTH * HEIGHT)))
    rgba, grey_alpha = rgb.copy(), grey.copy()
    rgba.putalpha(alpha)
    grey_alpha = Image.merge("LA", (grey, alpha))
    palette = rgb.quantize(11)
    orientation = Image.Exif()
    orientation[0x0112] = 6  # turn by a quarter: ignored
    yield "png_rgb", encoded(rgb, "PNG")
    yield "png_grey", encoded(grey, "PNG")
    yield "png_grey_alpha", encoded(grey_alpha, "PNG")
    yield "png_rgba", encoded(rgba, "PNG")
    yield "png_palette", encoded(palette, "PNG")
    yield "png_palette_transparent", encoded(palette, "PNG", transparency=3)
    yield "png_bits", encoded(rgb.convert("1"), "PNG")
    yield "png_rgb16", png(16, 2, [bytes((y * 50 + i * 5) % 256 for i in range(WIDTH * 6)) for y in range(HEIGHT)])
    yield "png_grey16", png(16, 0, [bytes((y * 50 + i * 15) % 256 for i in range(WIDTH * 2)) for y in range(HEIGHT)])
    yield "bmp_rgb", encoded(rgb, "BMP")
    yield "bmp_palette", encoded(palette, "BMP")
    yield "bmp_bits", encoded(rgb.convert("1"), "BMP")
    yield "jpeg_rgb", encoded(smooth, "JPEG", quality=95, subsampling=0)
    yield "jpeg_subsampled", encoded(smooth, "JPEG", quality=90)
    yield "jpeg_progressive", encoded(smooth, "JPEG", quality=95, subsampling=0, progressive=True)
    yield "jpeg_grey", encoded(smooth.convert("L"), "JPEG", quality=95)
    yield "jpeg_turned", encoded(smooth, "JPEG", quality=95, subsampling=0, exif=orientation)
    yield "jpeg_cmyk", encoded(smooth.convert("CMYK"), "JPEG", quality=95)


def array(name, data):
    lines = [", ".join(str(b) for b in data[i:i + 28]) for i in range(0, len(data), 28)]
    body = ",\n    ".join(lines)
    return f"inline constexpr unsigned char {name}[] = {{\n    {body}}};\n"


def main():
    parts, rows = [], []
    for name, data in samples():
        image = Image.open(io.BytesIO(data))
        parts.append(array(name, data))
        if name == "png_grey16":  # Pillow clips at 255, so that a photo turns white; the upper 8 bits are kept instead
            image = Image.frombytes("L", image.size, bytes(v >> 8 for v in struct.unpack(f"<{WIDTH * HEIGHT}H", image.tobytes())))
        parts.append(array(name + "_rgb", image.convert("RGB").tobytes()))
        rows.append(f'    {{"{name}", std::as_bytes(std::span({name})), std::as_bytes(std::span({name}_rgb))}}')
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "io_image_samples.h")
    with open(path, "w") as file:
        file.write("// Made by tests/goldens/make_images.py: image files of 7x5 pixels and their RGB as Pillow reads them.\n"
                   "#pragma once\n\n#include <cstddef>\n#include <span>\n\nnamespace octet::test::samples {\n\n"
                   "// clang-format off\n")
        file.write("".join(parts))
        file.write("\nstruct Sample {\n  const char* name;\n  std::span<const std::byte> file, rgb;\n};\n\n"
                   "inline const Sample kSamples[] = {\n" + ",\n".join(rows) + "};\n// clang-format on\n\n"
                   f"inline constexpr int kWidth = {WIDTH}, kHeight = {HEIGHT};\n\n}}  // namespace octet::test::samples\n")


main()
