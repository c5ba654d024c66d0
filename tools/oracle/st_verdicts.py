#!/usr/bin/env python3
"""What the reference implementation says about the files of test_badfiles_st.

usage: test_badfiles_st --dump DIR && st_verdicts.py DIR

The file names end in -a (the table says that the reference accepts) or -r (refuses). Prints each file whose verdict is another and exits 1.
"""
import pathlib
import sys

from safetensors import SafetensorError, deserialize


def main():
    wrong = n = 0
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*-[ar].safetensors")):
        try:
            deserialize(path.read_bytes())
            verdict = "a"
        except SafetensorError:
            verdict = "r"
        n += 1
        if path.stem[-1] != verdict:
            wrong += 1
            print(f"{path}: {verdict}")
    print(f"{n} files, {wrong} with another verdict")
    return wrong > 0 or n == 0


if __name__ == "__main__":
    sys.exit(main())
