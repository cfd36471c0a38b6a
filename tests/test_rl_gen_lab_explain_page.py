"""The page of an explanation holds everything itself."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from rl_gen_lab.explain import page


def test_a_page_loads_nothing_and_escapes_text(tmp_path: Path) -> None:
    picture, film = tmp_path / "a.png", tmp_path / "b.mp4"
    Image.new("RGB", (4, 4)).save(picture)
    film.write_bytes(b"film")
    parts = [page.heading("a < b"), page.picture(picture, "a"), page.film(film), page.table(["x"], [["<y>"]])]
    text = page.write(tmp_path / "page.html", "title & more", parts).read_text(encoding="utf-8")
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', text))
    assert "a &lt; b" in text and "&lt;y&gt;" in text and "title &amp; more" in text


def test_a_large_film_is_named_instead(tmp_path: Path) -> None:
    film = tmp_path / "b.mp4"
    film.write_bytes(bytes(page.LARGEST_BYTES + 1))
    assert "too large" in page.film(film) and "data:" not in page.film(film)
