/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The VPN service that NetworkManager starts for an activated tunnel profile. It makes the state of the
 * tunnel visible to nmcli, and changes nothing: the tunnel itself is underpassd's, which needs none of
 * this.
 *
 * NetworkManager starts one process for each activation and gives each a name on the bus. A failure here
 * would take a link down that has the profile among its connection.secondaries, so an activation always
 * succeeds, and what is wrong is told in the banner. The process ends with the activation, and with
 * NetworkManager.
 */

#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/i18n.h"
#include "base/util.h"
#include "config.h"

#define VPN_NAME "org.freedesktop.NetworkManager.underpass"
#define VPN_PATH "/org/freedesktop/NetworkManager/VPN/Plugin"
#define VPN_INTERFACE "org.freedesktop.NetworkManager.VPN.Plugin"
#define NM_NAME "org.freedesktop.NetworkManager"
#define SERVICE_NAME "org.underpass1"
#define SERVICE_PATH "/org/underpass1"

enum {
        DESCRIBE_US = 3 * 1000 * 1000,  /* the service may have to be started */
        REFRESH_US = 200 * 1000,        /* changes of the service often come in bursts */
        UNUSED_US = 30 * 1000 * 1000,   /* that nothing is activated, or nothing again */
};

/* NM_VPN_SERVICE_STATE_* (libnm). */
typedef enum VpnState {
        VPN_INIT = 1,
        VPN_STARTING = 3,
        VPN_STARTED = 4,
        VPN_STOPPED = 6,
} VpnState;

typedef struct Vpn {
        sd_event *event;
        sd_bus *bus;
        sd_bus_track *manager;     /* NetworkManager, which must not leave */
        sd_event_source *unused;   /* ends the process; NULL: something is activated */
        sd_event_source *refresh;
        sd_bus_slot *describing;
        VpnState state;
        char *uuid;                /* of the tunnel profile that is activated */
        char *banner;              /* as NetworkManager has it; NULL: it has none yet */
} Vpn;

static int set_state(Vpn *vpn, VpnState state) {
        vpn->state = state;
        return sd_bus_emit_signal(vpn->bus, VPN_PATH, VPN_INTERFACE, "StateChanged", "u", (uint32_t) state);
}

/*
 * NetworkManager insists on a gateway and adds routes to it through the link. This one, the group of all
 * routers, is the only known one that leaves the routing tables as they are on every kind of link.
 */
static int append_gateway(sd_bus_message *message) {
        static const uint8_t all_routers[16] = { 0xff, 0x02, [15] = 0x01 };
        int r;

        r = sd_bus_message_open_container(message, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", "gateway");
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(message, 'y', all_routers, sizeof(all_routers));
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* Neither a device nor addresses: the activation belongs to the device of the link, and shows a banner. */
static int send_config(const Vpn *vpn) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = sd_bus_message_new_signal(vpn->bus, &message, VPN_PATH, VPN_INTERFACE, "Config");
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(message, "{sv}{sv}{sv}", "has-ip4", "b", false, "has-ip6", "b",
                                          false, "banner", "s", vpn->banner);
        if (r >= 0)
                r = append_gateway(message);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_send(vpn->bus, message, NULL);
}

/* NetworkManager escapes quotes and all that is not ASCII. What our own sentences have of that is spelt in
 * another way. Caller frees; NULL when out of memory. */
static char *plain(const char *text) {
        static const struct {
                const char *typographic, *ascii;
        } words[] = { { "…", "..." }, { "“", "'" }, { "”", "'" }, { "\"", "'" }, { "→", "->" } };
        char *result = calloc(1, strlen(text) + 1), *end = result; /* no word gets longer */

        while (result && *text) {
                size_t i = 0, length = 0;

                for (; i < ELEMENTS(words); i++) {
                        length = strlen(words[i].typographic);
                        if (strncmp(text, words[i].typographic, length) == 0)
                                break;
                }
                if (i < ELEMENTS(words)) {
                        end = stpcpy(end, words[i].ascii);
                        text += length;
                } else
                        *end++ = *text++;
        }
        return result;
}

/* The first banner completes the activation. */
static int show(Vpn *vpn, const char *text) {
        _cleanup_(freep) char *banner = plain(text);
        int r;

        if (!banner)
                return -ENOMEM;
        if (vpn->banner && streq(vpn->banner, banner))
                return 0;
        r = string_replace(&vpn->banner, banner);
        if (r >= 0)
                r = send_config(vpn);
        if (r >= 0 && vpn->state == VPN_STARTING)
                r = set_state(vpn, VPN_STARTED);
        return r;
}

static int on_described(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Vpn *vpn = userdata;
        const char *text = NULL;

        vpn->describing = sd_bus_slot_unref(vpn->describing);
        if (!sd_bus_message_is_method_error(reply, NULL) && sd_bus_message_read(reply, "s", &text) >= 0)
                return show(vpn, text);
        /* Tunnels outlive the service, so its silence does not make wrong what it has said before. */
        if (vpn->banner)
                return 0;
        return show(vpn, _("The state of the tunnel is not known, because underpassd does not answer. See "
                           "`systemctl status underpass`."));
}

/* start: whether the service is to be started for the answer. */
static int describe(Vpn *vpn, bool start) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        vpn->describing = sd_bus_slot_unref(vpn->describing);
        r = sd_bus_message_new_method_call(vpn->bus, &message, SERVICE_NAME, SERVICE_PATH,
                                           SERVICE_NAME ".Manager", "DescribeTunnelProfile");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, start);
        if (r >= 0)
                r = sd_bus_message_append(message, "s", vpn->uuid);
        if (r < 0)
                return r;
        return sd_bus_call_async(vpn->bus, &vpn->describing, message, on_described, vpn, DESCRIBE_US);
}

static int on_refresh(sd_event_source *source, uint64_t usec, void *userdata) {
        Vpn *vpn = userdata;

        return vpn->uuid && !vpn->describing ? describe(vpn, false) : 0;
}

/* Whatever the service tells is a reason to ask it. Who else sends such signals only causes a question. */
static int on_service_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Vpn *vpn = userdata;
        int enabled = SD_EVENT_OFF;

        if (!vpn->refresh)
                return sd_event_add_time_relative(vpn->event, &vpn->refresh, CLOCK_MONOTONIC, REFRESH_US, 0,
                                                  on_refresh, vpn);
        (void) sd_event_source_get_enabled(vpn->refresh, &enabled);
        if (enabled != SD_EVENT_OFF)
                return 0;
        (void) sd_event_source_set_time_relative(vpn->refresh, REFRESH_US);
        return sd_event_source_set_enabled(vpn->refresh, SD_EVENT_ONESHOT);
}

static int on_unused(sd_event_source *source, uint64_t usec, void *userdata) {
        return sd_event_exit(((Vpn *) userdata)->event, 0);
}

static int await_use(Vpn *vpn) {
        vpn->unused = sd_event_source_disable_unref(vpn->unused);
        return sd_event_add_time_relative(vpn->event, &vpn->unused, CLOCK_MONOTONIC, UNUSED_US, 0, on_unused,
                                          vpn);
}

/* One setting of a profile, whose name has been read: finds connection.uuid. */
static int read_setting(sd_bus_message *message, const char *setting, const char **ret_uuid) {
        const char *name, *contents;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r >= 0)
                        r = sd_bus_message_peek_type(message, NULL, &contents);
                if (r >= 0)
                        r = streq(setting, "connection") && streq(name, "uuid") && streq(contents, "s")
                                    ? sd_bus_message_read(message, "v", "s", ret_uuid)
                                    : sd_bus_message_skip(message, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* The whole profile comes with the call. Its settings are none of our business, only which one it is. */
static int read_uuid(sd_bus_message *message, const char **ret_uuid) {
        const char *setting;
        int r;

        *ret_uuid = "";
        r = sd_bus_message_enter_container(message, 'a', "{sa{sv}}");
        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sa{sv}")) > 0) {
                r = sd_bus_message_read(message, "s", &setting);
                if (r >= 0)
                        r = read_setting(message, setting, ret_uuid);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        }
        return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* A NetworkManager that has been started again connects again. */
static int method_connect(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Vpn *vpn = userdata;
        const char *uuid;
        int r;

        r = read_uuid(message, &uuid);
        if (r < 0)
                return r;
        r = string_replace(&vpn->uuid, uuid);
        if (r < 0)
                return r;
        (void) string_replace(&vpn->banner, NULL);
        vpn->unused = sd_event_source_disable_unref(vpn->unused);
        r = sd_bus_reply_method_return(message, "");
        if (r >= 0)
                r = set_state(vpn, VPN_STARTING);
        if (r >= 0)
                r = describe(vpn, true);
        return r < 0 ? r : 1;
}

static int method_need_secrets(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(message, "s", "");
}

/* The answer and the last state leave before the process does. */
static int method_disconnect(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Vpn *vpn = userdata;
        int r;

        r = sd_bus_reply_method_return(message, "");
        if (r >= 0)
                r = set_state(vpn, VPN_STOPPED);
        (void) sd_bus_flush(vpn->bus);
        (void) sd_event_exit(vpn->event, 0);
        return r < 0 ? r : 1; /* 0 would be an answer, too: that there is no such method */
}

/* What other VPN services are told about secrets and addresses. */
static int method_ignored(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        return sd_bus_reply_method_return(message, "");
}

static int property_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "u", (uint32_t) ((const Vpn *) userdata)->state);
}

/* As libnm documents it. The policy of the bus lets only root call, which NetworkManager is. */
static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Connect", "a{sa{sv}}", "", method_connect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ConnectInteractive", "a{sa{sv}}a{sv}", "", method_connect,
                      SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("NeedSecrets", "a{sa{sv}}", "s", method_need_secrets, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("NewSecrets", "a{sa{sv}}", "", method_ignored, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Disconnect", "", "", method_disconnect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetConfig", "a{sv}", "", method_ignored, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetIp4Config", "a{sv}", "", method_ignored, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetIp6Config", "a{sv}", "", method_ignored, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetFailure", "s", "", method_ignored, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("State", "u", property_state, 0, 0),
        SD_BUS_SIGNAL("StateChanged", "u", 0),
        SD_BUS_SIGNAL("SecretsRequired", "sas", 0),
        SD_BUS_SIGNAL("Config", "a{sv}", 0),
        SD_BUS_SIGNAL("Ip4Config", "a{sv}", 0),
        SD_BUS_SIGNAL("Ip6Config", "a{sv}", 0),
        SD_BUS_SIGNAL("LoginBanner", "s", 0),
        SD_BUS_SIGNAL("Failure", "u", 0),
        SD_BUS_VTABLE_END,
};

static int on_manager_gone(sd_bus_track *track, void *userdata) {
        return sd_event_exit(((Vpn *) userdata)->event, 0);
}

/* NetworkManager numbers activations from 1 again when it starts, so a process of an earlier one, which
 * still has its name, would answer for another profile. */
static int watch_manager(Vpn *vpn) {
        int r;

        r = sd_bus_track_new(vpn->bus, &vpn->manager, on_manager_gone, vpn);
        return r < 0 ? r : sd_bus_track_add_name(vpn->manager, NM_NAME);
}

static int start(Vpn *vpn, const char *name) {
        int r;

        r = sd_event_default(&vpn->event);
        if (r >= 0)
                r = sd_event_add_signal(vpn->event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
        if (r >= 0)
                r = sd_bus_open_system_with_description(&vpn->bus, "underpass-vpn");
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(vpn->bus, true);
        if (r >= 0)
                r = sd_bus_attach_event(vpn->bus, vpn->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(vpn->bus, NULL, VPN_PATH, VPN_INTERFACE, vtable, vpn);
        if (r >= 0)
                r = sd_bus_add_match_async(vpn->bus, NULL,
                                           "type='signal',sender='" SERVICE_NAME
                                           "',path_namespace='" SERVICE_PATH "'",
                                           on_service_signal, NULL, vpn);
        if (r >= 0)
                r = watch_manager(vpn);
        if (r >= 0)
                r = await_use(vpn);
        return r < 0 ? r : sd_bus_request_name(vpn->bus, name, 0);
}

static void finish(Vpn *vpn) {
        sd_event_source_disable_unref(vpn->unused);
        sd_event_source_disable_unref(vpn->refresh);
        sd_bus_slot_unref(vpn->describing);
        sd_bus_track_unref(vpn->manager);
        sd_bus_flush_close_unref(vpn->bus);
        sd_event_unref(vpn->event);
        free(vpn->uuid);
        free(vpn->banner);
}

/* -EINVAL: getopt has said why, or this has. */
static int parse(int argc, char **argv, const char **ret_name, bool *ret_done) {
        enum { OPTION_BUS_NAME = 256, OPTION_VERSION };
        static const struct option options[] = {
                { "bus-name", required_argument, NULL, OPTION_BUS_NAME },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int option;

        *ret_name = VPN_NAME;
        while ((option = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (option) {
                case OPTION_BUS_NAME:
                        *ret_name = optarg;
                        break;
                case OPTION_VERSION:
                        printf("underpass-vpn %s\n", PACKAGE_VERSION);
                        *ret_done = true;
                        break;
                case 'h':
                        printf(_("Usage: underpass-vpn [--bus-name NAME]\n"
                                 "Shows NetworkManager the state of a tunnel. NetworkManager starts it for "
                                 "each\nactivated profile of the VPN type “underpass”.\n"));
                        *ret_done = true;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind == argc && sd_bus_service_name_is_valid(*ret_name) > 0)
                return 0;
        fprintf(stderr, _("underpass-vpn: unexpected argument \"%s\"; see --help.\n"),
                optind < argc ? argv[optind] : *ret_name);
        return -EINVAL;
}

int main(int argc, char **argv) {
        const char *name;
        bool done = false;
        Vpn vpn = { .state = VPN_INIT };
        int r;

        setlocale(LC_ALL, "");
        bindtextdomain(GETTEXT_PACKAGE, LOCALEDIR);
        bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
        if (parse(argc, argv, &name, &done) < 0)
                return 2;
        if (done)
                return 0;
        r = start(&vpn, name);
        if (r >= 0)
                r = sd_event_loop(vpn.event);
        finish(&vpn);
        if (r < 0)
                fprintf(stderr, _("underpass-vpn: cannot serve %s on the bus: %s.\n"), name, strerror(-r));
        return r < 0 ? 1 : 0;
}
