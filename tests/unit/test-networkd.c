/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of the networkd source without networkd: answers of DescribeLink() as systemd 252, 257 and 262 give
 * them, the rule for drop-ins, sections of files. May touch: one scratch folder in /tmp, which it removes.
 */

#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>

#include "source/networkd-files.h"

#define FILE_NAME "/etc/systemd/network/10-lte.network"
#define NAME "\"Index\":3,\"Name\":\"c0\",\"Kind\":\"veth\",\"Type\":\"ether\",\"Flags\":69699,"
#define ROUTES                                                                                       \
        "\"DNSSettings\":[{\"LLMNR\":\"yes\",\"ConfigSource\":\"static\"}],\"Addresses\":[{\"Family\":2," \
        "\"Address\":[10,5,0,2],\"PrefixLength\":24,\"ConfigState\":\"configured\"}],\"Routes\":"        \
        "[{\"Family\":2,\"Destination\":[10,5,0,0],\"Preference\":0,\"FlagsString\":\"\"}]"
#define STATE(state) "\"AdministrativeState\":\"" state "\",\"OperationalState\":\"routable\","
#define FILE_IS(path) "\"NetworkFile\":\"" path "\","
#define NETWORK FILE_IS(FILE_NAME)
#define CONFIGURED "{" NAME STATE("configured") NETWORK
#define DROPIN "/run/systemd/network/10-lte.network.d/a.conf"

static void assert_answer(const char *text, NetworkdClaim claim, bool dropins_told, const char *dropin) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};

        assert(networkd_answer_parse(text, 3, &answer) == 0);
        assert(answer.claim == claim);
        assert((claim == NETWORKD_MANAGED) == (answer.network_file != NULL));
        if (answer.network_file)
                assert_text(answer.network_file, FILE_NAME);
        assert(answer.dropins_told == dropins_told);
        assert(strings_count(answer.dropins) == (dropin ? 1 : 0));
        if (dropin)
                assert_text(answer.dropins[0], dropin);
}

static void answers_of_all_releases_are_read(void) {
        static const struct {
                const char *text;
                NetworkdClaim claim;
                bool dropins_told;
                const char *dropin;
        } cases[] = {
                /* 252 does not tell drop-ins, 257 always does, 262 when there are any. */
                { CONFIGURED "\"RequiredForOnline\":true," ROUTES "}", NETWORKD_MANAGED, false, NULL },
                { CONFIGURED "\"NetworkFileDropins\":[]," ROUTES "}", NETWORKD_MANAGED, true, NULL },
                { CONFIGURED "\"NetworkFileDropins\":null," ROUTES "}", NETWORKD_MANAGED, true, NULL },
                { CONFIGURED "\"NetworkFileDropins\":[\"" DROPIN "\"]," ROUTES "}\n", NETWORKD_MANAGED, true,
                  DROPIN },
                /* 249 called the state otherwise. */
                { "{" NAME "\"SetupState\":\"configured\"," NETWORK ROUTES "}", NETWORKD_MANAGED, false,
                  NULL },
                { "{" NAME STATE("configuring") NETWORK ROUTES "}", NETWORKD_MANAGED, false, NULL },
                { "{" NAME STATE("failed") NETWORK ROUTES "}", NETWORKD_MANAGED, false, NULL },
                { "{" NAME STATE("unmanaged") "\"OnlineState\":null}", NETWORKD_UNMANAGED, false, NULL },
                /* A file that says Unmanaged=yes is named by some releases. */
                { "{" NAME STATE("unmanaged") NETWORK ROUTES "}", NETWORKD_UNMANAGED, false, NULL },
                { "{" NAME STATE("failed") ROUTES "}", NETWORKD_UNMANAGED, false, NULL },
                { "{" NAME STATE("pending") ROUTES "}", NETWORKD_UNDECIDED, false, NULL },
                { "{" NAME STATE("initialized") ROUTES "}", NETWORKD_UNDECIDED, false, NULL },
                { "{" NAME STATE("initialized") NETWORK ROUTES "}", NETWORKD_MANAGED, false, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_answer(cases[i].text, cases[i].claim, cases[i].dropins_told, cases[i].dropin);
}

static void answers_that_make_no_sense_are_refused(void) {
        static const char *const cases[] = {
                "",
                "null",
                "[]",
                "\"text\"",
                "3",
                "{",
                "{}",
                "no JSON at all",
                CONFIGURED ROUTES,
                CONFIGURED ROUTES "} {}",
                CONFIGURED ROUTES "}garbage",
                "{\"Index\":4," STATE("configured") NETWORK ROUTES "}", /* another link */
                "{\"Index\":\"3\"," STATE("configured") NETWORK ROUTES "}",
                "{\"Index\":4294967299," STATE("configured") NETWORK ROUTES "}",
                "{" NAME NETWORK ROUTES "}", /* no state */
                "{" NAME "\"AdministrativeState\":7," NETWORK ROUTES "}",
                "{" NAME STATE("configured") FILE_IS("10-lte.network") ROUTES "}",
                "{" NAME STATE("configured") FILE_IS("/etc/shadow") ROUTES "}",
                "{" NAME STATE("configured") FILE_IS("/etc/systemd/network/10-lte.conf") ROUTES "}",
                "{" NAME STATE("configured") FILE_IS("/etc/systemd/network/../x.network") ROUTES "}",
                "{" NAME STATE("configured") FILE_IS("/etc/systemd/network/\xff.network") ROUTES "}",
                CONFIGURED "\"NetworkFileDropins\":\"a.conf\"}",
                CONFIGURED "\"NetworkFileDropins\":[7]}",
                CONFIGURED "\"NetworkFileDropins\":[\"/etc/shadow\"]}",
                CONFIGURED "\"X\":[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}",
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                NetworkdAnswer answer = { .claim = NETWORKD_MANAGED };
                int r = networkd_answer_parse(cases[i], 3, &answer);

                if (r != -EBADMSG)
                        printf("# %d for %s\n", r, cases[i]);
                assert(r == -EBADMSG);
                assert(answer.claim == NETWORKD_MANAGED && !answer.network_file); /* untouched */
        }
}

/* A NUL in the middle of a path must not hide what stands behind it. */
static void a_path_with_a_nul_is_refused(void) {
        static const char *const cases[] = {
                "{\"Index\":3,\"AdministrativeState\":\"configured\\u0000\"}",
                "{\"Index\":3," STATE("configured") FILE_IS(FILE_NAME "\\u0000.network") ROUTES "}",
                CONFIGURED "\"NetworkFileDropins\":[\"" DROPIN "\\u0000.conf\"]}",
        };
        NetworkdAnswer answer = {};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert(networkd_answer_parse(cases[i], 3, &answer) == -EBADMSG);
}

static void long_answers_are_read_and_endless_ones_refused(void) {
        static const char head[] = CONFIGURED "\"Routes\":[",
                          route[] = "{\"Family\":2,\"Destination\":[10,5,0,0],\"PreferenceString\":\"x\"},";
        const size_t limit = 17 * 1024 * 1024;
        _cleanup_(freep) char *text = malloc(limit + 2 * sizeof(route));
        NetworkdAnswer answer = {};
        size_t length = strlen(head);

        assert(text);
        memcpy(text, head, length);
        while (length < 1024 * 1024) {
                memcpy(text + length, route, strlen(route));
                length += strlen(route);
        }
        memcpy(text + length, "{}]}", sizeof("{}]}"));
        assert_answer(text, NETWORKD_MANAGED, false, NULL);

        while (length < limit) {
                memcpy(text + length, route, strlen(route));
                length += strlen(route);
        }
        memcpy(text + length, "{}]}", sizeof("{}]}"));
        assert(networkd_answer_parse(text, 3, &answer) == -EFBIG);
}

/* A scratch folder with four folders of .network files, as /etc, /run, /usr/local/lib and /usr/lib. */
typedef struct Tree {
        char root[32];
        char folders[4][64];
        const char *list[5];
} Tree;

static void tree_make(Tree *tree) {
        static const char *const names[] = { "etc", "run", "local", "lib" };

        strcpy(tree->root, "/tmp/test-networkd-XXXXXX");
        assert(mkdtemp(tree->root));
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                snprintf(tree->folders[i], sizeof(tree->folders[i]), "%s/%s", tree->root, names[i]);
                assert(mkdir(tree->folders[i], 0700) == 0);
                tree->list[i] = tree->folders[i];
        }
        tree->list[4] = NULL;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
        return remove(path);
}

static void tree_done(Tree *tree) {
        assert(nftw(tree->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Writes a file below one of the folders; its folder is made. */
static void tree_write(const Tree *tree, size_t folder, const char *name, const char *text) {
        _cleanup_(freep) char *path = string_format("%s/%s", tree->folders[folder], name);
        char *slash = strrchr(path, '/');
        FILE *file;

        *slash = '\0';
        assert(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
        file = fopen(path, "w");
        assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* Paths of drop-ins without the root, one a line. */
static void assert_dropins(const Tree *tree, const char *wanted) {
        _cleanup_(strings_freep) char **paths = NULL;
        _cleanup_(section_done) Section section = {};
        char text[512] = "";

        assert(networkd_dropins(tree->list, "/usr/lib/systemd/network/10-lte.network", &paths, &section) ==
               0);
        assert(!section.warnings && !section.unread);
        for (size_t i = 0; i < strings_count(paths); i++) {
                assert(strncmp(paths[i], tree->root, strlen(tree->root)) == 0);
                strcat(strcat(text, paths[i] + strlen(tree->root) + 1), "\n");
        }
        assert_text(text, wanted);
}

static void dropins_follow_the_rule_of_systemd(void) {
        Tree tree;

        tree_make(&tree);
        assert_dropins(&tree, "");
        tree_write(&tree, 3, "10-lte.network.d/50-a.conf", "x");
        tree_write(&tree, 3, "10-lte.network.d/20-b.conf", "x");
        tree_write(&tree, 0, "10-lte.network.d/30-c.conf", "x");
        tree_write(&tree, 0, "10-lte.network.d/.hidden.conf", "x");
        tree_write(&tree, 0, "10-lte.network.d/.conf", "x");
        tree_write(&tree, 0, "10-lte.network.d/30-c.conf~", "x");
        tree_write(&tree, 0, "10-lte.network.d/README", "x");
        tree_write(&tree, 0, "11-lte.network.d/10-other.conf", "x");
        tree_write(&tree, 0, "10-lte.network", "x");
        /* By name, whatever the folder. */
        assert_dropins(&tree, "lib/10-lte.network.d/20-b.conf\netc/10-lte.network.d/30-c.conf\n"
                              "lib/10-lte.network.d/50-a.conf\n");
        /* The same name in a folder that comes first. */
        tree_write(&tree, 1, "10-lte.network.d/50-a.conf", "x");
        tree_write(&tree, 2, "10-lte.network.d/50-a.conf", "x");
        assert_dropins(&tree, "lib/10-lte.network.d/20-b.conf\netc/10-lte.network.d/30-c.conf\n"
                              "run/10-lte.network.d/50-a.conf\n");
        tree_done(&tree);
}

static NetworkdAnswer managed(const Tree *tree, size_t folder) {
        return (NetworkdAnswer) {
                .claim = NETWORKD_MANAGED,
                .network_file = string_format("%s/10-lte.network", tree->folders[folder]),
        };
}

/* "key=value file:line" of all sections, one a line, the root left out. */
static void assert_sections(const Tree *tree, const NetworkdAnswer *answer, const char *wanted) {
        _cleanup_(section_done) Section sections = {};
        char text[1024] = "";

        assert(networkd_section_read(tree->list, answer, &sections) == 0);
        for (size_t i = 0; i < strings_count(sections.keys); i++) {
                const size_t used = strlen(text);

                snprintf(text + used, sizeof(text) - used, "%s=%s %s\n", sections.keys[i],
                         sections.values[i], sections.origins[i] + strlen(tree->root) + 1);
        }
        assert_text(text, wanted);
}

static void sections_come_from_all_files_in_order(void) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        Tree tree;

        tree_make(&tree);
        answer = managed(&tree, 3);
        assert_sections(&tree, &answer, "");
        tree_write(&tree, 3, "10-lte.network",
                   "[Match]\nName=c0\n[Network]\nTunnel=x\n[X-Underpass]\nTunnel=yes\n[X-Other]\nMTU=1\n");
        tree_write(&tree, 3, "10-lte.network.d/a.conf", "[X-Underpass]\n\nRemotePorts=443,\\\n 80\n");
        tree_write(&tree, 1, "10-lte.network.d/b.conf", "[Network]\n[X-Underpass]\nTunnel=auto\n");
        assert_sections(&tree, &answer,
                        "Tunnel=yes lib/10-lte.network:6\n"
                        "RemotePorts=443,  80 lib/10-lte.network.d/a.conf:3\n"
                        "Tunnel=auto run/10-lte.network.d/b.conf:3\n");
        /* An empty one masks. */
        tree_write(&tree, 0, "10-lte.network.d/b.conf", "");
        tree_write(&tree, 2, "10-lte.network.d/a.conf", "[X-Underpass]\nRemotePorts=1\n");
        assert_sections(&tree, &answer,
                        "Tunnel=yes lib/10-lte.network:6\nRemotePorts=1 local/10-lte.network.d/a.conf:2\n");
        /* What networkd tells itself has precedence over the rule. */
        answer.dropins_told = true;
        assert_sections(&tree, &answer, "Tunnel=yes lib/10-lte.network:6\n");
        answer.dropins = NULL;
        assert(strings_addf(&answer.dropins, "%s/10-lte.network.d/b.conf", tree.folders[1]) == 0);
        assert_sections(&tree, &answer,
                        "Tunnel=yes lib/10-lte.network:6\nTunnel=auto run/10-lte.network.d/b.conf:3\n");
        answer.claim = NETWORKD_UNMANAGED;
        assert_sections(&tree, &answer, "");
        tree_done(&tree);
}

/* Whether what is read now may only lack something of before because it cannot be read. */
static bool lacks(const Tree *tree, const NetworkdAnswer *answer, const Section *before) {
        _cleanup_(section_done) Section now = {};

        assert(networkd_section_read(tree->list, answer, &now) == 0);
        return section_lacks(&now, before);
}

static void what_cannot_be_read_takes_nothing_away(void) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        _cleanup_(section_done) Section before = {};
        _cleanup_(freep) char *folder = NULL, *file = NULL;
        Tree tree;

        tree_make(&tree);
        answer = managed(&tree, 3);
        folder = string_format("%s/10-lte.network.d", tree.folders[3]);
        file = string_format("%s/10-lte.network.d/a.conf", tree.folders[1]);
        tree_write(&tree, 3, "10-lte.network", "[Match]\nName=c0\n");
        tree_write(&tree, 3, "10-lte.network.d/a.conf", "[X-Underpass]\nTunnel=yes\n");
        tree_write(&tree, 1, "10-lte.network.d/b.conf", "[X-Underpass]\nTunnel=no\n");
        assert(networkd_section_read(tree.list, &answer, &before) == 0);
        assert(!lacks(&tree, &answer, &before));
        assert(chmod(folder, 0777) == 0);
        assert(lacks(&tree, &answer, &before));
        assert(chmod(folder, 0700) == 0);
        tree_write(&tree, 1, "10-lte.network.d/a.conf", "[X-Underpass]\nTunnel=no\n");
        assert(!lacks(&tree, &answer, &before));
        assert(chmod(file, 0666) == 0);
        assert(lacks(&tree, &answer, &before));
        tree_done(&tree);
}

/* The profile that the sections of one file make; default_first: no source has said anything before. */
static Profile *profile_of(const char *text, bool default_first) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        _cleanup_(section_done) Section sections = {};
        Profile *profile;
        Tree tree;

        tree_make(&tree);
        answer = managed(&tree, 0);
        tree_write(&tree, 0, "10-lte.network", text);
        assert(profile_new(&profile) == 0);
        if (!default_first)
                assert(profile_set(profile, key_get(KEY_ID_MPTCP_ENDPOINT), "backup",
                                   PROFILE_SOURCE_FILE, "f:1") == 0);
        assert(networkd_section_read(tree.list, &answer, &sections) == 0);
        assert(networkd_section_apply(&sections, profile) == 0);
        tree_done(&tree);
        return profile;
}

static void endpoints_are_ours_by_default(void) {
        static const struct {
                const char *text;
                bool default_first;
                uint32_t endpoint;
                const char *where;
        } cases[] = {
                { "[Match]\nName=*\n", true, 0, "" },
                { "[X-Underpass]\n", true, 0, "" },
                { "[X-Underpass]\nRemotePorts=443\n", true, ENDPOINT_SUBFLOW,
                  "default for systemd-networkd" },
                { "[X-Underpass]\nRemotePorts=443\n", false, ENDPOINT_BACKUP, "f:1" },
                { "[X-Underpass]\nLocalPorts=443\n", true, 0, "" },
                { "[X-Underpass]\nMPTCPEndpoint=none\n", true, 0, ".network:2" },
                { "[X-Underpass]\nMPTCPEndpoint=signal\n", false, ENDPOINT_SIGNAL, ".network:2" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Profile *profile = profile_of(cases[i].text, cases[i].default_first);

                assert(profile->settings.mptcp_endpoint == cases[i].endpoint);
                assert_contains(profile->origins[KEY_ID_MPTCP_ENDPOINT].where, cases[i].where);
                profile_free(profile);
        }
}

static void bad_input_is_named(void) {
        static const struct {
                const char *text;
                const char *error;   /* part of the sentence; NULL: none */
                const char *warning;
        } cases[] = {
                { "[X-Underpass]\nTunnel=perhaps\n", "Tunnel=perhaps in ", NULL },
                { "[X-Underpass]\nTunel=yes\n", "did you mean Tunnel?", NULL },
                { "[X-Underpass]\nRemotePorts=70000\n", "10-lte.network:2", NULL },
                { "[X-Underpass]\nTunnel\n", NULL, "10-lte.network:2: neither" },
                /* networkd's own business. */
                { "[Network]\nTunnel\n[X-Underpass]\nTunnel=no\n", NULL, NULL },
                { "[Network]\nDescription=\xff\n", NULL, NULL },
                { "[Network]\nDescription=\xff\n[X-Underpass]\nTunnel=no\n",
                  ":2: \"Description=\\xff\" is not", NULL },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Profile *profile = profile_of(cases[i].text, true);

                assert((cases[i].error != NULL) == (profile->error != NULL));
                assert((cases[i].warning != NULL) == (profile->warnings != NULL));
                if (cases[i].error)
                        assert_contains(profile->error, cases[i].error);
                if (cases[i].warning)
                        assert_contains(profile->warnings[0], cases[i].warning);
                profile_free(profile);
        }
}

/* A tree with a file that says one thing to us, and the answer that names it. */
static NetworkdAnswer tree_make_managed(Tree *tree) {
        tree_make(tree);
        tree_write(tree, 0, "10-lte.network", "[X-Underpass]\nTunnel=yes\n");
        return managed(tree, 0);
}

/* Others may have written it: what it says does not count, and a warning says so where it concerns us. */
static void files_that_others_can_change_are_not_used(void) {
        static const struct {
                const char *path;
                mode_t mode;
                const char *warning;
        } cases[] = {
                { "10-lte.network", 0666, "10-lte.network can be changed by" },
                { "10-lte.network", 0664, "chmod go-w" },
                { "10-lte.network.d/a.conf", 0602, "a.conf can be changed by" },
                { "10-lte.network.d/other.conf", 0666, NULL },
                { "10-lte.network.d", 0777, "10-lte.network.d can be changed by" },
                { ".", 0770, "can be changed by" },
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                Tree tree;
                _cleanup_(networkd_answer_done) NetworkdAnswer answer = tree_make_managed(&tree);
                _cleanup_(section_done) Section sections = {};

                tree_write(&tree, 0, "10-lte.network.d/a.conf", "[X-Underpass]\nTunnel=no\n");
                tree_write(&tree, 0, "10-lte.network.d/other.conf", "[Network]\nDescription=\xff\n");
                _cleanup_(freep) char *path = string_format("%s/%s", tree.folders[0], cases[i].path);
                assert(chmod(path, cases[i].mode) == 0);

                assert(networkd_section_read(tree.list, &answer, &sections) == 0);
                assert(strings_count(sections.keys) == (cases[i].warning ? 1 : 2));
                assert((cases[i].warning != NULL) == (strings_count(sections.warnings) == 1));
                if (cases[i].warning)
                        assert_contains(sections.warnings[0], cases[i].warning);
                tree_done(&tree);
        }
}

static void a_fifo_holds_nobody_up(void) {
        Tree tree;
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = tree_make_managed(&tree);
        _cleanup_(section_done) Section sections = {};

        tree_write(&tree, 0, "10-lte.network.d/b.conf", "");
        _cleanup_(freep) char *path = string_format("%s/10-lte.network.d/a.conf", tree.folders[0]);
        assert(mkfifo(path, 0600) == 0);
        assert(networkd_section_read(tree.list, &answer, &sections) == 0);
        assert(strings_count(sections.keys) == 1 && strings_count(sections.warnings) == 1);
        assert_contains(sections.warnings[0], "a.conf is not a regular file");
        assert(networkd_any_section(tree.list));
        tree_done(&tree);
}

static void a_section_anywhere_is_found(void) {
        Tree tree;

        tree_make(&tree);
        assert(!networkd_any_section(tree.list));
        tree_write(&tree, 3, "80-x.network", "[Match]\nName=*\n[X-Underpass]\n");
        tree_write(&tree, 3, "80-x.network.d/a.conf", "[Network]\nTunnel=yes\n");
        tree_write(&tree, 2, "80-x.link", "[X-Underpass]\nTunnel=yes\n");
        assert(!networkd_any_section(tree.list));
        tree_write(&tree, 2, "80-y.network.d/a.conf", "[X-Underpass]\nTunnel=yes\n");
        assert(networkd_any_section(tree.list));
        tree_write(&tree, 2, "80-y.network.d/a.conf", "");
        assert(!networkd_any_section(tree.list));
        tree_write(&tree, 0, "80-z.network", "[X-Underpass]\nTunnel=no\n");
        assert(networkd_any_section(tree.list));
        tree_done(&tree);
}

int main(void) {
        static const Test tests[] = {
                { "answers of all releases are read", answers_of_all_releases_are_read },
                { "answers that make no sense are refused", answers_that_make_no_sense_are_refused },
                { "a path with a NUL is refused", a_path_with_a_nul_is_refused },
                { "long answers are read and endless ones refused",
                  long_answers_are_read_and_endless_ones_refused },
                { "drop-ins follow the rule of systemd", dropins_follow_the_rule_of_systemd },
                { "sections come from all files in order", sections_come_from_all_files_in_order },
                { "what cannot be read takes nothing away", what_cannot_be_read_takes_nothing_away },
                { "endpoints are ours by default", endpoints_are_ours_by_default },
                { "bad input is named", bad_input_is_named },
                { "files that others can change are not used", files_that_others_can_change_are_not_used },
                { "a FIFO holds nobody up", a_fifo_holds_nobody_up },
                { "a section anywhere is found", a_section_anywhere_is_found },
        };

        umask(022); /* what its group can change is not read */
        return run_tests(tests, ELEMENTS(tests));
}
