#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Makes manual pages: of a program from its README.md and its settings, of the configuration from its text and all settings.

    page.py program NAME README.md KINGPOST      page.py text FILE.in KINGPOST
"""
import re
import subprocess
import sys


def troff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"\*\*([^*]+)\*\*", r"\\fB\1\\fR", text)
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
    return "\\&" + text if text[:1] in ".'" else text


def settings(kingpost, *args):
    return subprocess.run([kingpost, "manual", "settings", *args], check=True, stdout=subprocess.PIPE, text=True).stdout


def paragraphs(lines):
    """(kind, text) of a simple Markdown text: heading, item, pre, row, para."""
    out, pre = [], None
    for line in lines:
        if line.startswith("```"):
            if pre is None:
                pre = []
            else:
                out.append(("pre", "\n".join(pre)))
                pre = None
        elif pre is not None:
            pre.append(line)
        elif line.startswith("    ") and (not out or out[-1][0] != "item"):
            out.append(("pre", line[4:]))
        elif line.startswith("|"):
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if not all(re.fullmatch(r":?-+:?", c) for c in cells):
                out.append(("row", " | ".join(cells)))
        elif line.startswith("#"):
            out.append(("heading", line.lstrip("# ")))
        elif re.match(r"[-*] |\d+\. ", line):
            out.append(("item", re.sub(r"^([-*]|\d+\.) ", "", line)))
        elif not line.strip():
            out.append(("gap", ""))
        elif out and out[-1][0] in ("item", "para"):
            out[-1] = (out[-1][0], out[-1][1] + " " + line.strip())
        else:
            out.append(("para", line.strip()))
    return out


def body(lines):
    out = []
    for kind, text in paragraphs(lines):
        if kind == "heading":
            out.append(f".SS {troff(text)}")
        elif kind == "item":
            out.append(f".IP \\(bu 2\n{troff(text)}")
        elif kind in ("pre", "row"):
            out.append(".PP\n.nf\n" + "\n".join(troff(t) for t in text.split("\n")) + "\n.fi")
        elif kind == "para":
            out.append(f".PP\n{troff(text)}")
    return "\n".join(out)


def program(name, readme, kingpost):
    with open(readme) as f:
        lines = f.read().split("\n")[1:]
    first = next(line for line in lines if line.strip())
    print(f'.TH KINGPOST\\-{name.upper()} 8 "" kingpost\n.SH NAME\nkingpost\\-{name} \\- {troff(first.rstrip("."))}')
    print(f".SH DESCRIPTION\n{body(lines)}\n.SH SETTINGS\nBeside those that all programs have, see\n"
          f".BR kingpost.conf (5).\n{settings(kingpost, name)}.SH SEE ALSO\n.BR kingpost (8),\n.BR kingpost.conf (5)")


def text(path, kingpost):
    with open(path) as f:
        print(f.read().replace("@settings@\n", settings(kingpost)), end="")


if __name__ == "__main__":
    {"program": program, "text": text}[sys.argv[1]](*sys.argv[2:])
