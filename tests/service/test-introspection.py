#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The interfaces that the service exports are those of data/org.underpass1.xml, to the last annotation.

Usage: test-introspection.py UNDERPASSD-FAKE XML [TEST…]
"""

import difflib
import pathlib
import xml.etree.ElementTree as ElementTree

import harness

EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
IGNORED = ("org.freedesktop.systemd1.",)  # what sd-bus says about itself
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"


def annotations(element):
    """Lines for the annotations of a member, sorted."""
    return sorted(
        f"  annotation {found.get('name')} = {found.get('value')}"
        for found in element.findall("annotation")
        if not found.get("name").startswith(IGNORED) and found.get("name") != EMITS
    )


def describe_member(interface, member):
    """Lines for a method, a signal or a property. Arguments keep their order; the default of a direction, and
    of the annotation about changes, is written out."""
    lines = [f"{interface}: {member.tag} {member.get('name')}"]
    if member.tag == "property":
        lines[0] += f" {member.get('type')} {member.get('access')}"
        emits = [found.get("value") for found in member.findall("annotation") if found.get("name") == EMITS]
        lines.append(f"  changes are announced: {emits[0] if emits else 'true'}")
    for argument in member.findall("arg"):
        direction = argument.get("direction") or ("out" if member.tag == "signal" else "in")
        lines.append(f"  {direction} {argument.get('type')} {argument.get('name')}")
    return lines + annotations(member)


def describe(text):
    """An interface description as blocks of lines, one for each interface and member, comments gone. Only the
    interfaces of the project count."""
    found = []
    for interface in ElementTree.fromstring(text).iter("interface"):
        name = interface.get("name")
        if not name.startswith(harness.NAME):
            continue
        found.append([f"interface {name}", *annotations(interface)])
        found += [describe_member(name, member) for member in interface if member.tag != "annotation"]
    return found


def lines_of(blocks):
    """The lines of such blocks in the order of their names, to be compared."""
    return [line for block in sorted(blocks) for line in block]


class Introspection(harness.ServiceTest):
    """Both objects."""

    def introspect(self, path):
        """What an object says about itself."""
        return self.client.call(path, INTROSPECTABLE, "Introspect")[0]

    def test_same(self):
        self.add_link("up0")
        self.start()
        link = self.client.manager("GetLink", "up0")[0]
        exported = describe(self.introspect(harness.ROOT)) + describe(self.introspect(link))
        written = describe(pathlib.Path(self.xml).read_text(encoding="utf-8"))
        difference = "\n".join(
            difflib.unified_diff(lines_of(written), lines_of(exported), self.xml, "the service", lineterm="")
        )
        if difference:
            self.fail(f"the service does not export what is written:\n{difference}")

    def test_object_manager(self):
        """The standard interfaces are there, and the tree leads to the links."""
        self.add_link("up0")
        self.start()
        link = self.client.manager("GetLink", "up0")[0]
        root = self.introspect(harness.ROOT)
        self.assertIn('"org.freedesktop.DBus.ObjectManager"', root)
        self.assertIn('"org.freedesktop.DBus.Properties"', root)
        nodes = ElementTree.fromstring(self.introspect(harness.ROOT + "/link")).findall("node")
        self.assertIn(link.rpartition("/")[2], [node.get("name") for node in nodes])

    def test_comparison_notices(self):
        """Each kind of difference changes the lines; order, comments and sd-bus's own words do not."""
        member = '<method name="M"><arg type="s" name="a" direction="in"/><arg type="o" name="b" direction="out"/></method>'
        prop = f'<property name="P" type="s" access="read"><annotation name="{EMITS}" value="const"/></property>'
        own = '<annotation name="org.freedesktop.systemd1.Privileged" value="true"/>'

        def lines(*parts):
            return lines_of(
                describe(f'<node><interface name="org.underpass1.T">{"".join(parts)}</interface></node>')
            )

        reference = lines(member, prop)
        self.assertEqual(reference, lines("<!-- P --> ", prop, member))
        self.assertEqual(reference, lines(member.replace("</method>", own + "</method>"), prop))
        for old, new in [
            ('"M"', '"N"'),
            ('type="o"', 'type="s"'),
            ('name="a"', 'name="c"'),
            ('direction="in"', 'direction="out"'),
            ('access="read"', 'access="readwrite"'),
            ('value="const"', 'value="false"'),
            (f'<annotation name="{EMITS}" value="const"/>', ""),
            ("</method>", '<annotation name="x.Y" value="1"/></method>'),
            (member, ""),
        ]:
            self.assertNotEqual(reference, lines((member + prop).replace(old, new)), (old, new))


if __name__ == "__main__":
    harness.main("xml")
