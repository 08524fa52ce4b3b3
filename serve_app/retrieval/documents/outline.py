"""Collects headings and blocks in the order of reading, and makes sections of them.

Knows no format: Markdown and HTML are both read into one of these.
"""

from __future__ import annotations

from serve_app.retrieval.documents.base import Section


class Outline:
    """A document that is being read from its top to its end."""

    def __init__(self) -> None:
        self.first_heading: str | None = None
        self._path: list[tuple[int, str]] = []  # (level, heading), levels strictly growing
        self._blocks: list[str] = []
        self._is_heading_alone = False  # nothing has come since the last heading
        self._sections: list[Section] = []

    def heading(self, level: int, text: str) -> None:
        """A heading: ends the section before it, and stands under the nearest one of a smaller level."""
        text = text.strip()
        if not text:
            return
        self._end_section(next_level=level)
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, text))
        self._is_heading_alone = True
        self.first_heading = self.first_heading or text

    def block(self, text: str) -> None:
        """A paragraph, list, table or block of code."""
        if text.strip():
            self._blocks.append(text.strip("\n"))
            self._is_heading_alone = False

    def sections(self) -> list[Section]:
        """All sections; ends the last one."""
        self._end_section(next_level=0)
        return self._sections

    def _end_section(self, next_level: int) -> None:
        headings = tuple(heading for _, heading in self._path)
        if self._blocks:
            self._sections.append(Section(headings, "\n\n".join(self._blocks), None))
        elif self._is_heading_alone and next_level <= self._path[-1][0]:
            # A heading with nothing under it, not even a smaller heading, is itself the text.
            self._sections.append(Section(headings[:-1], headings[-1], None))
        self._blocks = []
        self._is_heading_alone = False
