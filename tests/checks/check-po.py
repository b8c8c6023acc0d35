#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the translations sound: POTFILES names the files that have texts, no translation has a wrong format string, and no
function is given its texts translated here and not yet translated there.
A sentence without translation is no failure, for not everybody who changes a sentence speaks every language: how many there
are is said, for a person to see.

Usage: check-po.py ROOT, or check-po.py --self-test ROOT (spoils copies of the tree; each must be noticed).
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import interrupts  # noqa: E402  pylint: disable=wrong-import-position

FOLDERS = ["plugin", "dispatcher", "data"]
NO_TEXTS = {"plugin/base/i18n.h"}  # the definitions of the markers
MARKER = re.compile(r"\b(?:_|N_|M_|P_)\(\s*\"")
# A text that goes on with a macro is cut short by xgettext, so its translation is never found.
CUT_SHORT = re.compile(r'\b(?:_|N_|M_|P_)\(\s*(?:"(?:\\.|[^"\\])*"\s*)+(?!PRI)[A-Za-z_]')
POLICY_TEXT = re.compile(r"<(?:description|message)>(.*?)</")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
# A marker in code without strings: what translates at once, and what only marks.
TRANSLATED, MARKED = re.compile(r"(?<!\w)(?:_|P_)\("), re.compile(r"\bN_\(")
NO_CODE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.S)
CALL = re.compile(r"(\w+)\s*\(\Z")
XGETTEXT = ["xgettext", "--from-code=UTF-8", "--keyword=_", "--keyword=N_", "--keyword=M_", "--keyword=P_:1,2",
            "--sort-by-file", "--output"]


def files_with_texts(root):
    policies = [str(path.relative_to(root)) for path in (root / "data").glob("*.policy")]
    return sorted(policies + [str(path.relative_to(root)) for folder in FOLDERS for path in (root / folder).rglob("*.[ch]")
                  if MARKER.search(COMMENT.sub("", path.read_text(encoding="utf-8")))
                  and str(path.relative_to(root)) not in NO_TEXTS])


def callee(code, position):
    """The function whose argument begins, or goes on, at this position of code without strings; None: there is none."""
    depth = 0
    for index in range(position - 1, -1, -1):
        if code[index] in ")]}":
            depth += 1
        elif code[index] in "([{" and depth > 0:
            depth -= 1
        elif code[index] in "([{":
            name = CALL.search(code[max(0, index - 80) : index + 1])
            return name and name.group(1)
        elif code[index] == ";" and depth == 0:
            return None
    return None


def calls_with(root, files, marker):
    """{function: where it is called first} of the functions that are given a text with this marker."""
    found = {}
    for name in files:
        code = NO_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), (root / name).read_text(encoding="utf-8"))
        for match in marker.finditer(code):
            found.setdefault(callee(code, match.start()), f"{name}:{code.count(chr(10), 0, match.start()) + 1}")
    found.pop(None, None)
    return found


def words(path):
    """The words of a file, comments left out."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [word for line in lines for word in line.partition("#")[0].split()]


def run(*command, **environment):
    """What the command complains about: its standard error, or that it failed."""
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                            env={**os.environ, **environment})
    if result.returncode != 0 and not result.stderr:
        return [f"{command[0]} failed with {result.returncode}"]
    return result.stderr.splitlines()


def check_language(language, po):
    """Complaints about one language: bad format strings, and what msgfmt cannot read."""
    if not po.exists():
        return [f"{language} is in LINGUAS, but {po.name} does not exist"]
    return run("msgfmt", "--check", "--output-file=/dev/null", str(po))


def count_missing(po, template):
    """How many texts of the sources have no translation, of how many."""
    merged = template.with_suffix(".merged")
    run("msgmerge", "--quiet", "--no-fuzzy-matching", f"--output-file={merged}", str(po), str(template))
    entries = [entry for entry in merged.read_text(encoding="utf-8").split("\n\n") if "msgid" in entry and "#~" not in entry]
    missing = [entry for entry in entries if "#, fuzzy" in entry or re.search(r'^msgstr(?:\[0\])? ""\n*\Z', entry, re.M)]
    return len(missing), len(entries) - 1  # the first one is the header


def check_tree(root, counts):
    """All complaints about a tree, as lines; counts receives (missing, all) of each language."""
    po = root / "po"
    listed, found = words(po / "POTFILES"), files_with_texts(root)
    lines = [f"po/POTFILES does not name {name}" for name in found if name not in listed]
    lines += [f"po/POTFILES names {name}, which has no texts" for name in listed if name not in found]
    if listed != sorted(set(listed)):
        lines.append("po/POTFILES is not sorted")

    lines += [f"{name} has a text that goes on with a macro: xgettext cannot read that"
              for name in found if CUT_SHORT.search((root / name).read_text(encoding="utf-8"))]

    sources = [name for name in found if name.endswith((".c", ".h"))]
    marked, translated = calls_with(root, sources, MARKED), calls_with(root, sources, TRANSLATED)
    lines += [f"{marked[name]}: {name}() is given N_() here, and _() in {translated[name]}: one of the two is wrong"
              for name in sorted(marked.keys() & translated.keys())]

    languages = words(po / "LINGUAS")
    lines += [f"{path.name} is not in po/LINGUAS" for path in po.glob("*.po") if path.stem not in languages]
    with tempfile.TemporaryDirectory(prefix="underpass-po-") as folder:
        template = pathlib.Path(folder) / "underpass.pot"
        lines += run(*XGETTEXT, str(template), f"--directory={root}", *found, GETTEXTDATADIR=str(po), XDG_DATA_DIRS=str(po))
        lines += [f"{name}: \"{text}\" is not among the texts to translate" for name in found if name.endswith(".policy")
                  for text in POLICY_TEXT.findall((root / name).read_text(encoding="utf-8"))
                  if text not in template.read_text(encoding="utf-8").replace('"\n"', "")]
        for language in languages:
            lines += check_language(language, po / f"{language}.po")
            if not lines:
                counts[language] = count_missing(po / f"{language}.po", template)
    return lines


# ---- self-test

def replace(path, pattern, text):
    old = path.read_text(encoding="utf-8")
    new = re.sub(pattern, text, old, count=1, flags=re.M | re.S)
    assert new != old, f"{path.name}: nothing to spoil by {pattern}"
    path.write_text(new, encoding="utf-8")


# What is no failure, and yet has to be counted. The text that is spoilt is one that keys.c still has: the first of ru.po may be
# an obsolete one.
UNTRANSLATED = {
    "a new text": lambda root: replace(root / "plugin/profile/keys.c", r"\Z", '\nconst char *more = N_("Brand new.");\n'),
    "a missing translation": lambda root: replace(root / "po/ru.po", r'^(msgid "yes or no"\nmsgstr ).*?\n\n', r'\1""\n\n'),
    "a fuzzy translation": lambda root: replace(root / "po/ru.po", r'^(msgid "yes or no"\n)', r"#, fuzzy\n\1"),
}

SPOILERS = {
    "a text with a macro": lambda root: replace(root / "plugin/profile/keys.c", r'N_\("yes or no"\)', 'N_("yes or no" G_GUINT64_FORMAT)'),
    "a text that nobody translates": lambda root: replace(root / "plugin/plan/check-link.c", r"NULL,(\s+)_\(", r"NULL,\1N_("),
    "a file with texts": lambda root: (root / "plugin/plan/more.c").write_text('const char *more = N_("no, yes or auto");\n'),
    "a file that is gone": lambda root: replace(root / "po/POTFILES", r"\Z", "plugin/zzz.c\n"),
    "a bad format string": lambda root: replace(root / "po/ru.po", r'(msgid "[^"]*%s[^"]*"\nmsgstr "[^"%]*)%s', r"\1%d"),
    "a policy that is not translated": lambda root: replace(root / "po/its/polkit.its", 'translate="yes"', 'translate="no"'),
    "an unlisted language": lambda root: shutil.copy(root / "po/ru.po", root / "po/xx.po"),
    "a missing language": lambda root: replace(root / "po/LINGUAS", r"\Z", "xx\n"),
}


def spoilt(root, spoil):
    """The complaints and the counts of a copy of the tree that is spoilt first."""
    counts = {}
    with tempfile.TemporaryDirectory(prefix="underpass-po-") as folder:
        copy = pathlib.Path(folder)
        for part in FOLDERS + ["po"]:
            shutil.copytree(root / part, copy / part)
        spoil(copy)
        return check_tree(copy, counts), counts


def self_test(root):
    complaints, before = spoilt(root, lambda copy: None)
    failures = [f"unspoilt: {line}" for line in complaints]
    failures += [f"not noticed: {name}" for name, spoil in SPOILERS.items() if not spoilt(root, spoil)[0]]
    for name, spoil in UNTRANSLATED.items():
        complaints, counts = spoilt(root, spoil)
        if complaints or counts["ru"][0] != before["ru"][0] + 1:
            failures.append(f"not counted as one text without translation: {name}: {complaints} {counts}")
    return failures


def main():
    interrupts.end_once()
    if not shutil.which("msgmerge"):
        print("gettext is missing", file=sys.stderr)
        return 77
    counts = {}
    lines = self_test(pathlib.Path(sys.argv[2])) if sys.argv[1] == "--self-test" else check_tree(pathlib.Path(sys.argv[1]), counts)
    for line in lines:
        print(line)
    for language, (missing, entries) in counts.items():
        print(f"note: {language}: {missing} of {entries} texts are without translation")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
