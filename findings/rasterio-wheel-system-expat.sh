#!/usr/bin/env bash
# Wheels of rasterio 1.4.4 and 1.5.0 against pyogrio 0.13.0 (manylinux, x86_64), which all carry a GDAL of their own.
#
# Expected: a wheel brings GDAL's libraries, so beside those of the compiler and of C it needs nothing of the system.
# Seen: GDAL in rasterio's wheels is linked to libexpat.so.1, which they do not bring (manylinux lets a wheel expect it); GDAL in
# pyogrio's does without. Where a system has no libexpat, as a minimal container with a Python of its own, `pip install rasterio`
# is quiet, pyogrio opens vectors, and `import rasterio` ends with "libexpat.so.1: cannot open shared object file".
# Who is hurt: anyone who installs rasterio in a slim or distroless image, or uses pyogrio to test that GDAL works there.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check pyelftools==0.32
for wheel in rasterio==1.4.4 rasterio==1.5.0 pyogrio==0.13.0; do
  "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.12 \
    --platform manylinux_2_28_x86_64 -d "$dir/wheels" "$wheel"
done
cd "$dir"
venv/bin/python - <<'E'
import io
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

missing = {}
for wheel in sorted(Path("wheels").glob("*.whl")):
    name = "-".join(wheel.name.split("-")[:2])
    with zipfile.ZipFile(wheel) as archive:
        libraries = [n for n in archive.namelist() if ".so" in Path(n).name]
        brought = {Path(n).name for n in libraries}
        needed = {}
        for library in libraries:
            dynamic = ELFFile(io.BytesIO(archive.read(library))).get_section_by_name(".dynamic")
            for tag in dynamic.iter_tags("DT_NEEDED"):
                if tag.needed not in brought:
                    needed.setdefault(tag.needed, set()).add(Path(library).name.split("-")[0].split(".")[0])
    missing[name] = needed
    print(name, {library: sorted(by)[:3] for library, by in sorted(needed.items())})
for name, needed in missing.items():
    assert any("libgdal" in by for by in needed.values()), name
    assert ("libexpat.so.1" in needed) == name.startswith("rasterio"), name
assert "libgdal" in missing["rasterio-1.4.4"]["libexpat.so.1"]
E
