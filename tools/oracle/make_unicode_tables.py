#!/usr/bin/env python3
"""Writes src/text/unidata_tables.h: where the Unicode tables inside Hugging Face tokenizers differ from those of libutf8proc 2.8 (Unicode 15.0) and
PCRE2 10.42 (Unicode 14.0). Every table is measured by asking the Python package about each code point; nothing is copied from its sources.
Needs: tokenizers 0.23.3, libutf8proc.so.2, a Python whose unicodedata is 14.0 (3.11).  usage: make_unicode_tables.py > src/text/unidata_tables.h"""
import ctypes
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

assert unicodedata.unidata_version == "14.0.0"
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
u8 = ctypes.CDLL("libutf8proc.so.2")
u8.utf8proc_category_string.restype = ctypes.c_char_p
u8.utf8proc_decompose_char.restype = ctypes.c_ssize_t
u8.utf8proc_tolower.restype = ctypes.c_int32


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("ccc", ctypes.c_int16)]


u8.utf8proc_get_property.restype = ctypes.POINTER(Property)
CAT = {c: u8.utf8proc_category_string(c).decode() for c in ALL}


def members(pattern, between):
    """Code points that a regular expression of one character matches."""
    mark = normalizers.Replace(Regex(pattern), "\x01")
    out = set()
    for i in range(0, len(ALL), 4096):
        part = ALL[i:i + 4096]
        text = mark.normalize_str("".join(chr(c) + between for c in part))
        out.update(c for k, c in enumerate(part) if c != 1 and text[2 * k] != chr(c))
    return out


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def decomposed(c, options):
    buf, last = (ctypes.c_int32 * 64)(), ctypes.c_int(0)
    n = u8.utf8proc_decompose_char(c, buf, 64, options, ctypes.byref(last))
    return "".join(chr(buf[i]) for i in range(n))


def table(name, what, points):
    print(f"/* {what} */\nstatic const cs_uni_range {name}[] = {{")
    row = "   "
    for a, b in ranges(points):
        item = f" {{0x{a:x}, 0x{b:x}}},"
        if len(row) + len(item) > 148:
            print(row)
            row = "   "
        row += item
    print(row + "\n};\n")


print("/* Made by tools/oracle/make_unicode_tables.py. */\n#ifndef CS_TEXT_UNIDATA_TABLES_H\n#define CS_TEXT_UNIDATA_TABLES_H\n")

cats = ["Lu", "Ll", "Lt", "Lm", "Lo", "M", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So"]
newer = {}
for cat in cats:
    have = members(r"\p{%s}" % cat, " ")
    for c in have:
        if not unicodedata.category(chr(c)).startswith(cat):
            assert unicodedata.category(chr(c)) == "Cn", (hex(c), cat)
            newer[c] = cat
    assert {c for c in ALL if CAT[c].startswith(cat)} <= have, cat
print("/* Code points that Unicode 15 and 16 added to 14. */\nstatic const cs_uni_addition additions[] = {")
row, items = "   ", []
for c in sorted(newer):
    if items and items[-1][1] == c - 1 and items[-1][2] == newer[c]:
        items[-1][1] = c
    else:
        items.append([c, c, newer[c]])
for a, b, cat in items:
    name = "MN" if cat == "M" else cat.upper()
    item = f" {{0x{a:x}, 0x{b:x}, UTF8PROC_CATEGORY_{name}}},"
    if len(row) + len(item) > 148:
        print(row)
        row = "   "
    row += item
print(row + "\n};\n")

han = members(r"\p{Han}", " ")
table("new_han", "Han of Unicode 15 and 16.", {c for c in newer if c in han})

digits = pre_tokenizers.Digits(True)
numeric = {c for c in ALL if len(digits.pre_tokenize_str("a" + chr(c) + "b")) == 3}
regex_numeric = {c for c in ALL if CAT[c][0] == "N"} | {c for c in newer if newer[c][0] == "N"}
assert regex_numeric <= numeric
table("newest_numbers", "Numbers that Unicode 17 added, known to Digits only.", numeric - regex_numeric)

punctuation = pre_tokenizers.Punctuation()
punct = {c for c in ALL if len(punctuation.pre_tokenize_str("a" + chr(c) + "b")) == 3}
table("not_punctuation", "Punctuation (P) that Punctuation does not know.", {c for c in ALL if CAT[c][0] == "P"} - punct)
table("also_punctuation", "What Punctuation takes for punctuation besides P.", punct - {c for c in ALL if CAT[c][0] == "P"})

DECOMPOSE, COMPAT = 1 << 4, 1 << 2
nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
plain = set()
for c in ALL:
    s = chr(c)
    if nfd.normalize_str(s) != decomposed(c, DECOMPOSE) or nfkd.normalize_str(s) != decomposed(c, DECOMPOSE | COMPAT):
        assert nfkd.normalize_str(s) == s, hex(c)
        plain.add(c)
    if u8.utf8proc_get_property(c).contents.ccc != 0 and nfd.normalize_str(s) == s:
        moves = nfd.normalize_str("a\u0345" + s) != "a\u0345" + s or nfd.normalize_str("a" + s + "\u0334") != "a" + s + "\u0334"
        if not moves:
            plain.add(c)
table("plain", "Code points newer than the normalisation forms' tables: no decomposition, combining class 0.", plain)

accents = normalizers.StripAccents()
marks = {c for c in ALL if accents.normalize_str("a" + chr(c) + "b") == "ab"}
table("not_marks", "Marks (M) that StripAccents does not know.", {c for c in ALL if CAT[c][0] == "M"} - marks)
table("also_marks", "What StripAccents takes for marks besides M.", marks - {c for c in ALL if CAT[c][0] == "M"})

lower = normalizers.Lowercase()
print("/* Lower case that libutf8proc does not know: code points [first, last] of a step go up by `up`. */")
print("static const struct {\n    uint32_t first, last, step;\n    int32_t up;\n} new_lower[] = {")
items = []
for c in ALL:
    to = lower.normalize_str(chr(c))
    if c == 0x130:
        assert to == "i\u0307"
    elif to != chr(u8.utf8proc_tolower(c)):
        up = ord(to) - c
        if items and items[-1][3] == up and c - items[-1][1] in (1, 2) and items[-1][2] in (0, c - items[-1][1]):
            items[-1][2] = c - items[-1][1]
            items[-1][1] = c
        else:
            items.append([c, c, 0, up])
for i in range(0, len(items), 4):
    print("   " + "".join(f" {{0x{a:x}, 0x{b:x}, {s or 1}, {u}}}," for a, b, s, u in items[i:i + 4]))
print("};\n")
print("#endif")
