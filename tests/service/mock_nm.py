# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of NetworkManager as the service talks to, on a private bus: devices, their applied connections, their states,
and the faults that the tests need. Lives in the process of the test."""

from gi.repository import Gio, GLib

from mock_peer import MockPeer

NAME = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
DEVICE = NAME + ".Device"
ACTIVE = NAME + ".Connection.Active"
SETTINGS = NAME + ".Settings"
SETTINGS_PATH = PATH + "/Settings"
PROFILE = SETTINGS + ".Connection"
TUNNEL = NAME + ".underpass"  # the service type of tunnel profiles
UUID = "11111111-2222-3333-4444-555555555555"

# NM_DEVICE_STATE_*
UNMANAGED, UNAVAILABLE, DISCONNECTED = 10, 20, 30
PREPARE, CONFIG, IP_CONFIG, IP_CHECK, SECONDARIES, ACTIVATED = 40, 50, 70, 80, 90, 100
DEACTIVATING, FAILED = 110, 120

# NM_ACTIVE_CONNECTION_STATE_DEACTIVATED, and NM_ACTIVE_CONNECTION_STATE_REASON_*
DEACTIVATED = 4
USER_DISCONNECTED, DEVICE_DISCONNECTED, SERVICE_STOPPED = 2, 3, 4

XML = f"""<node>
<interface name="{NAME}">
 <method name="GetDeviceByIpIface"><arg type="s" direction="in"/><arg type="o" direction="out"/></method>
 <method name="ActivateConnection">
  <arg type="o" direction="in"/><arg type="o" direction="in"/><arg type="o" direction="in"/>
  <arg type="o" direction="out"/>
 </method>
 <method name="DeactivateConnection"><arg type="o" direction="in"/></method>
 <property name="ActiveConnections" type="ao" access="read"/>
 <property name="Startup" type="b" access="read"/>
</interface>
<interface name="{DEVICE}">
 <method name="GetAppliedConnection">
  <arg type="u" direction="in"/><arg type="a{{sa{{sv}}}}" direction="out"/><arg type="t" direction="out"/>
 </method>
 <property name="ActiveConnection" type="o" access="read"/>
 <property name="State" type="u" access="read"/>
 <signal name="StateChanged"><arg type="u"/><arg type="u"/><arg type="u"/></signal>
</interface>
<interface name="{ACTIVE}">
 <property name="Uuid" type="s" access="read"/>
 <signal name="StateChanged"><arg type="u"/><arg type="u"/></signal>
</interface>
<interface name="{SETTINGS}">
 <method name="ListConnections"><arg type="ao" direction="out"/></method>
 <signal name="NewConnection"><arg type="o"/></signal>
 <signal name="ConnectionRemoved"><arg type="o"/></signal>
</interface>
<interface name="{PROFILE}">
 <method name="GetSettings"><arg type="a{{sa{{sv}}}}" direction="out"/></method>
 <signal name="Updated"/>
</interface>
</node>"""


def connection(name, user=None, **settings):
    """An applied connection. user: keys of user.data without "underpass."; settings: further settings by their
    name with "_" for "-", as dictionaries of variants."""
    found = {
        "connection": {
            "id": GLib.Variant("s", name),
            "uuid": GLib.Variant("s", UUID),
            "type": GLib.Variant("s", "802-3-ethernet"),
        },
        "802-3-ethernet": {},
    }
    if user is not None:
        data = {f"underpass.{key.replace('_', '-')}": value for key, value in user.items()}
        found["user"] = {"data": GLib.Variant("a{ss}", data)}
    for setting, values in settings.items():
        found.setdefault(setting.replace("_", "-"), {}).update(values)
    return found


def tunnel(name, data, uuid=None, **settings):
    """A tunnel profile. data: vpn.data, "_" stands for "-"; settings: as above."""
    uuid = uuid or f"22222222-3333-4444-5555-{sum(name.encode()):012d}"
    pairs = {key.replace("_", "-"): value for key, value in data.items()}
    found = {
        "connection": {
            "id": GLib.Variant("s", name),
            "uuid": GLib.Variant("s", uuid),
            "type": GLib.Variant("s", "vpn"),
        },
        "vpn": {"service-type": GLib.Variant("s", TUNNEL), "data": GLib.Variant("a{ss}", pairs)},
    }
    for setting, values in settings.items():
        found.setdefault(setting.replace("_", "-"), {}).update(values)
    return found


class MockNm(MockPeer):
    """NetworkManager."""

    name = NAME

    def __init__(self, bus):
        super().__init__(bus)
        self._paths = {}  # interface: object path
        self._states = {}
        self._generation = 0
        self.profiles = {}  # object path: a stored profile
        self._profile_ids = {}
        self.actives = {}  # object path: UUID of the profile that is active by it
        self._active_ids = {}
        self._actives_made = 0
        self.base_paths = {}  # interface: object path of its active connection
        self._property = None  # that Get asks for
        self.applied = {}  # interface: an applied connection; without one the device is not active
        self.startup = False
        interfaces = {
            interface.name: interface for interface in Gio.DBusNodeInfo.new_for_xml(XML).interfaces
        }
        self._manager_info, self._device_info = interfaces[NAME], interfaces[DEVICE]
        self._active_info = interfaces[ACTIVE]
        self._settings_info, self._profile_info = interfaces[SETTINGS], interfaces[PROFILE]

    def start(self, startup=False):
        """Comes on the bus; paths of devices are new each time, as those of a new process are."""
        self._generation += 1
        self._connection = self._bus.connect()
        self._paths, self.startup, self.actives = {}, startup, {}
        self._connection.register_object(PATH, self._manager_info, self._call, None, None)
        self._connection.register_object(SETTINGS_PATH, self._settings_info, self._call, None, None)
        for interface in self._states:
            self._register(interface)
        stored, self.profiles = list(self.profiles.values()), {}
        for profile in reversed(stored):
            self.add_profile(profile)
        self._appear()

    def add_profile(self, profile):
        """A new stored profile; its path."""
        path = f"{SETTINGS_PATH}/{max([0, *map(self._number, self.profiles)]) + 1}"
        if self._connection:
            self._profile_ids[path] = self._connection.register_object(
                path, self._profile_info, self._call, None, None
            )
        self.profiles[path] = profile
        self._emit(SETTINGS_PATH, SETTINGS, "NewConnection", GLib.Variant("(o)", (path,)))
        return path

    @staticmethod
    def _number(path):
        return int(path.rpartition("/")[2])

    def update_profile(self, path, profile):
        """Another text for a stored profile."""
        self.profiles[path] = profile
        self._emit(path, PROFILE, "Updated", None)

    def remove_profile(self, path):
        """A stored profile is deleted."""
        del self.profiles[path]
        self._connection.unregister_object(self._profile_ids.pop(path))
        self._emit(SETTINGS_PATH, SETTINGS, "ConnectionRemoved", GLib.Variant("(o)", (path,)))

    def begin(self, uuid):
        """A profile becomes active, as if a person had activated it; its path."""
        self._actives_made += 1
        path = f"{PATH}/ActiveConnection/{self._actives_made}"
        self._active_ids[path] = self._connection.register_object(
            path, self._active_info, self._call, None, None
        )
        self.actives[path] = uuid
        self._tell_actives()
        return path

    def end(self, path, reason):
        """What is active by this path is no longer."""
        del self.actives[path]
        self._emit(path, ACTIVE, "StateChanged", GLib.Variant("(uu)", (DEACTIVATED, reason)))
        self._connection.unregister_object(self._active_ids.pop(path))
        self._tell_actives()

    def _tell_actives(self):
        changed = {"ActiveConnections": GLib.Variant("ao", list(self.actives))}
        arguments = GLib.Variant("(sa{sv}as)", (NAME, changed, []))
        self._emit(PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", arguments)

    def base_path(self, interface):
        """Path of the active connection of a device."""
        if interface not in self.applied:
            return "/"
        if interface not in self.base_paths:
            self._actives_made += 1
            self.base_paths[interface] = f"{PATH}/ActiveConnection/{self._actives_made}"
        return self.base_paths[interface]

    def _emit(self, path, interface, member, arguments):
        if self._connection and not self._connection.is_closed():
            self._connection.emit_signal(None, path, interface, member, arguments)

    def _register(self, interface):
        path = f"{PATH}/Devices/{self._generation * 100 + len(self._paths)}"
        self._paths[interface] = path
        self._connection.register_object(path, self._device_info, self._call, None, None)

    def add_device(self, interface, applied=None, state=DISCONNECTED):
        """A device, active with this connection or in another state. It may be known already; no signal tells
        that it has changed."""
        self._states[interface] = ACTIVATED if applied else state
        if applied:
            self.applied[interface] = applied
        if self._connection and interface not in self._paths:
            self._register(interface)

    def set_state(self, interface, state):
        """The device enters a state."""
        before, self._states[interface] = self._states[interface], state
        arguments = GLib.Variant("(uuu)", (state, before, 0))
        self._connection.emit_signal(None, self._paths[interface], DEVICE, "StateChanged", arguments)

    def activate(self, interface, applied):
        """The way up, to the end."""
        self.applied[interface] = applied
        self.base_paths.pop(interface, None)
        for state in (PREPARE, CONFIG, IP_CONFIG, IP_CHECK, SECONDARIES, ACTIVATED):
            self.set_state(interface, state)

    def deactivate(self, interface):
        """The way down, to the end; what is active on top of it goes first."""
        self.set_state(interface, DEACTIVATING)
        for path in list(self.actives):
            self.end(path, DEVICE_DISCONNECTED)
        del self.applied[interface]
        self.set_state(interface, DISCONNECTED)

    def finish_startup(self):
        """Everything that was active before is so again."""
        self.startup = False
        changed = GLib.Variant("(sa{sv}as)", (NAME, {"Startup": GLib.Variant("b", False)}, []))
        self._connection.emit_signal(
            None, PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", changed
        )

    def send_signal(self, interface, arguments):
        """A StateChanged with any arguments."""
        self._connection.emit_signal(None, self._paths[interface], DEVICE, "StateChanged", arguments)

    def _subject(self, path, method, arguments):
        if method == "Get":
            self._property = arguments[-1]
        if method == "ActivateConnection":
            return arguments
        if path == PATH:
            return arguments[-1]  # of Get, the property
        if path in self.actives:
            return path
        if path.startswith(SETTINGS_PATH):
            return path
        return next(interface for interface, known in self._paths.items() if known == path)

    def _answer(self, method, subject):
        if method == "ActivateConnection":
            profile = self.profiles[subject[0]]
            if profile["connection"]["uuid"].unpack() in self.actives.values():
                return NAME + ".ConnectionAlreadyActive"
            return GLib.Variant("(o)", (self.begin(profile["connection"]["uuid"].unpack()),))
        if method == "DeactivateConnection":
            self.end(subject, USER_DISCONNECTED)
            return GLib.Variant("()", ())
        if method == "Get" and subject in self.actives:
            return GLib.Variant("(v)", (GLib.Variant("s", self.actives[subject]),))
        if method == "Get" and subject == "ActiveConnections":
            return GLib.Variant("(v)", (GLib.Variant("ao", list(self.actives)),))
        if method == "Get" and self._property == "ActiveConnection":
            return GLib.Variant("(v)", (GLib.Variant("o", self.base_path(subject)),))
        if method == "ListConnections":
            return GLib.Variant("(ao)", (list(self.profiles),))
        if method == "GetSettings" and subject not in self.profiles:
            return "org.freedesktop.DBus.Error.UnknownObject"
        if method == "GetSettings":
            return GLib.Variant("(a{sa{sv}})", (self.profiles[subject],))
        if method == "Get" and subject in self._paths:
            return GLib.Variant("(v)", (GLib.Variant("u", self._states[subject]),))
        if method == "Get":
            return GLib.Variant("(v)", (GLib.Variant("b", self.startup),))
        if method == "GetDeviceByIpIface":
            if subject not in self._paths:
                return NAME + ".UnknownDevice"
            return GLib.Variant("(o)", (self._paths[subject],))
        if subject not in self.applied:
            return DEVICE + ".NotActive"
        return GLib.Variant("(a{sa{sv}}t)", (self.applied[subject], 1))
